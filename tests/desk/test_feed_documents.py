"""What docs/bi.md says of the feed, the views and the lake, held against them."""

import re

import pytest
from sqlalchemy import text

from desk.__main__ import PORT
from desk.feed.functions import FUNCTIONS
from desk.feed.model import ENTITY_SETS
from desk.feed.power_bi import FILE_NAME, pbids
from desk.feed.routes import MOST_ROWS_OF_A_PAGE, ROWS_OF_A_PAGE
from resources.ledger import Ledger
from tests.conftest import PROJECT

PAGE = (PROJECT / "docs" / "bi.md").read_text(encoding="utf-8")


def test_the_page_names_every_entity_set_with_its_key_and_every_function() -> None:
    table = dict(re.findall(r"^\| `([A-Z]\w+)` \| .* \| `(\w+)`", PAGE, flags=re.MULTILINE))
    assert table == {each.name: each.key for each in ENTITY_SETS.values()}
    [functions] = re.findall(r"`(contains [a-z ]+)`", PAGE)
    assert functions.split() == list(FUNCTIONS)
    assert f"{ROWS_OF_A_PAGE:,} rows" in PAGE
    assert f"up to {MOST_ROWS_OF_A_PAGE:,}" in PAGE


def test_the_power_bi_file_is_the_one_of_a_desk_at_its_usual_address() -> None:
    """Write it anew with `desk.feed.power_bi.pbids`."""
    assert (PROJECT / "docs" / FILE_NAME).read_text() == pbids(f"http://127.0.0.1:{PORT}/odata/")


@pytest.mark.parametrize("statement", re.findall(r"```sql\n(select .*?);\n```", PAGE, flags=re.DOTALL))
def test_the_statements_of_the_page_are_answered(ledger: Ledger, statement: str) -> None:
    with ledger.read_only(timeout_s=5) as connection:
        assert connection.execute(text(statement)).all() == []


def test_a_role_for_bi_reads_the_views_and_nothing_else(ledger: Ledger) -> None:
    [grants] = re.findall(r"```sql\n(create role .*?)```", PAGE, flags=re.DOTALL)
    with ledger._engine.connect() as connection:
        for statement in grants.strip().rstrip(";").split(";\n"):
            connection.execute(text(statement.replace("…", "of the test")))
        connection.execute(text("set local role tieout_bi"))
        for view in ("breaks", "integration_log"):
            assert connection.execute(text(f"select count(*) from tieout.{view}")).scalar_one() == 0
        allowed = "select has_table_privilege('tieout.break', 'select'), has_table_privilege('tieout.breaks', 'update')"
        assert connection.execute(text(allowed)).one() == (False, False)
        connection.rollback()


def test_the_log_and_the_breaks_of_the_feed_are_the_views(ledger: Ledger) -> None:
    of_view = text(
        "select column_name from information_schema.columns where table_schema = 'tieout' and table_name = :view "
        "order by ordinal_position"
    )
    for name in ("IntegrationLog", "Breaks"):
        entity_set = ENTITY_SETS[name]
        with ledger.read_only(timeout_s=5) as connection:
            columns = connection.execute(of_view, {"view": entity_set.relation}).scalars().all()
        assert columns == [each.name for each in entity_set.properties]
