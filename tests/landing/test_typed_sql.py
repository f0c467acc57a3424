"""The SQL that lands a table is pinned as text: a changed contract or rule shows as a changed file."""

import os
from pathlib import Path

import pytest

from tieout.contract import Contracts
from tieout.landing import typed_sql
from tieout.quality import violations_sql

PINNED = Path(__file__).parent / "pinned"


@pytest.mark.parametrize(("system", "name"), [("salesforce", "opportunity_line"), ("d365", "sales_order")])
def test_the_sql_of_a_table_is_the_pinned_one(contracts: Contracts, system: str, name: str) -> None:
    """Pin it anew, after reading the difference, by running the test with TIEOUT_PIN=1."""
    table = contracts.table(system, name)  # type: ignore[arg-type]
    for step, sql in {"typed": typed_sql(table, "staged"), "violations": violations_sql(table, "arrived")}.items():
        path = PINNED / f"{system}_{name}_{step}.sql"
        if os.environ.get("TIEOUT_PIN"):
            path.write_text(sql + "\n", encoding="utf-8")

        assert path.read_text(encoding="utf-8") == sql + "\n"
