"""What others may read of the ledger: the views, and reading that can change nothing."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from resources.ledger import Ledger
from resources.ledger.break_queries import BreakFilter
from tests.desk.books import NOW, a_break, in_days, keep_breaks


def test_the_view_of_breaks_tells_what_waits_as_the_desk_does(ledger: Ledger) -> None:
    keep_breaks(ledger, a_break("closed"))
    keep_breaks(
        ledger,
        a_break("waits"),
        a_break("machine", needs_a_person=False),
        *(a_break(f"accepted {days}") for days in (0, 1)),
        at=NOW + timedelta(hours=1),
        run_id="run 2",
    )
    for days in (0, 1):
        ledger.breaks.accept(f"accepted {days}", in_days(days), "", "ann")

    with ledger.read_only(timeout_s=5) as connection:
        rows = connection.execute(text("select identity, state from tieout.breaks where is_waiting")).all()

    assert [tuple(row) for row in rows] == [("waits", "open")]
    assert ledger.break_queries.count(BreakFilter("waiting")) == 1


def test_reading_cannot_write_and_sees_one_moment(ledger: Ledger) -> None:
    count = text("select count(*) from tieout.breaks")
    with ledger.read_only(timeout_s=5) as connection:
        assert connection.execute(count).scalar_one() == 0
        keep_breaks(ledger, a_break())
        assert connection.execute(count).scalar_one() == 0
        with pytest.raises(DBAPIError, match="read-only"):
            connection.execute(text("delete from tieout.break"))
    # The connection goes back to the pool as it was.
    ledger.breaks.comment(a_break().identity, "still here", "ann")


def test_a_statement_that_takes_too_long_is_cut_off(ledger: Ledger) -> None:
    with pytest.raises(OperationalError, match="statement timeout"), ledger.read_only(timeout_s=1) as connection:
        connection.execute(text("select pg_sleep(20)"))
