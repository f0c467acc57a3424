"""What a changed contract does to rows that have already landed: they are other rows, and have to be read again."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from tests.conftest import PROJECT
from tests.landing.conftest import json_page
from tests.landing.rows import an_account
from tieout.contract import Contracts, load_contracts
from tieout.landing import land, landing_rules
from tieout.page_files import PageFiles

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SITE = "  site: {salesforce: Site, d365: KnownAs, owner: salesforce, compare: text}\n"
PHONE = "d365: PrimaryContactPhone\n    owner: salesforce\n    compare: "

Changed = Callable[[str, str], Contracts]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """The project's contracts with one text of customer.yaml replaced by another."""

    def make(old: str, new: str) -> Contracts:
        folder = tmp_path / "contracts"
        shutil.copytree(PROJECT / "contracts", folder, dirs_exist_ok=True)
        text = (folder / "customer.yaml").read_text(encoding="utf-8")
        assert text.count(old) == 1
        (folder / "customer.yaml").write_text(text.replace(old, new), encoding="utf-8")
        return load_contracts(folder)

    return make


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  email:\n", SITE + "  email:\n"),
        (PHONE + "phone", PHONE + "exact"),
        ("known: [USD, EUR,", "known: [USD,"),
        ("max_length: 100", "max_length: 60"),
    ],
    ids=["a field", "a way to compare", "a value map", "a length"],
)
def test_rows_are_landed_by_other_rules_after_a_change_of(
    contracts: Contracts, changed: Changed, old: str, new: str
) -> None:
    now = changed(old, new)

    assert landing_rules(now.table("salesforce", "account")) != landing_rules(contracts.table("salesforce", "account"))
    assert landing_rules(now.table("salesforce", "product")) == landing_rules(contracts.table("salesforce", "product"))


def test_a_change_of_ownership_needs_no_new_read(contracts: Contracts, changed: Changed) -> None:
    now = changed("email\n    on_difference: write", "email\n    on_difference: report")

    assert landing_rules(now.table("salesforce", "account")) == landing_rules(contracts.table("salesforce", "account"))


def test_a_row_that_is_compared_otherwise_is_another_row_although_its_source_is_the_same(
    con: duckdb.DuckDBPyConnection, contracts: Contracts, changed: Changed, tmp_path: Path
) -> None:
    page = tmp_path / "page.json"
    page.write_text(json_page([an_account(Phone="+1 (555) 010-99")]), encoding="utf-8")

    def row_hash(rules: Contracts) -> int:
        table = rules.table("salesforce", "account")
        land(con, table, PageFiles((page,), "json", None, NOW, NOW), run_id="run", extracted_at=NOW)
        return int(con.execute("SELECT _row_hash FROM good").fetchall()[0][0])

    assert row_hash(contracts) == row_hash(contracts)
    assert row_hash(changed(PHONE + "phone", PHONE + "exact")) != row_hash(contracts)
