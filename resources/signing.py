"""Signing a month of a company off: the rows that are signed are frozen in the lake, the signature stands in the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.periods import SignedPeriod
from resources.workbench import duckdb_connection
from tieout.errors import RecordError
from tieout.periods import SIGNED_COLUMNS, Change, changes, digest_of, figures_of, month_statement, reason_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SIGNED_KEY = ("periods", "signed_order")
"""Lake table of the rows that were signed, those of every signature; `digest` says of which."""

VERDICT_KEY = ("reconciliation", "sales_order_verdict")
NOBODY = "Tieout"
"""Who reopens a signed month that changed."""


def sign_period(
    lake: Lake, ledger: Ledger, company: str, month: str, *, who: str, note: str, seen_version: int | None = None
) -> SignedPeriod:
    """Sign off what the newest reconciliation says about a month of a company.

    `seen_version`: the version of the verdict table that the person looked at; RecordError where a run has made a newer one since, where
    the month has no orders, or where it is signed already.
    """
    company = company.lower()
    version = lake.version(VERDICT_KEY)
    if version is None:
        raise RecordError("Nothing was reconciled yet, so there is nothing to sign. Run the main job first.")
    if seen_version is not None and seen_version != version:
        raise RecordError(
            f"A newer reconciliation was made while you looked at {month} of {company}. Look at its figures, then sign again."
        )
    with _month(lake, company, month, version) as con:
        digest, figures = digest_of(con, "signed_now"), figures_of(con, "signed_now")
        if not figures["verdicts"]:
            raise RecordError(f"No order of {company} is in {month}, so there is nothing to sign.")
        if not _is_frozen(lake, con, digest):
            lake.append(SIGNED_KEY, con.sql(f"SELECT '{digest}' AS digest, * FROM signed_now"))
    sweep = ledger.watermarks.latest_sweep("d365", "sales_order")
    return ledger.periods.sign(
        company,
        month,
        who=who,
        note=note,
        run_id=sweep.run_id if sweep else "",
        digest=digest,
        snapshot=figures | {"verdict_version": version, "rows": sum(figures["verdicts"].values())},
    )


def reopen_what_changed(lake: Lake, ledger: Ledger) -> list[tuple[SignedPeriod, list[Change]]]:
    """Reopen every signed month whose orders are no longer as they were signed; says which, and what changed."""
    found = []
    for signed in ledger.periods.signed():
        if different := changes_since(lake, signed):
            ledger.periods.reopen(signed.company, signed.month, who=NOBODY, reason=reason_of(different))
            found.append((signed, different))
    return found


def changes_since(lake: Lake, signed: SignedPeriod) -> list[Change]:
    """What is different in the newest reconciliation from what was signed."""
    version = lake.version(VERDICT_KEY)
    if version is None:
        return []
    with _month(lake, signed.company, signed.month, version) as con:
        if digest_of(con, "signed_now") == signed.digest:
            return []
        _frozen(lake, con, signed.digest)
        return changes(con, "signed_then", "signed_now")


def signed_rows(lake: Lake, signed: SignedPeriod, *, offset: int = 0, limit: int = 100) -> list[dict[str, object]]:
    """One page of the rows that were signed, as they were then."""
    with duckdb_connection() as con:
        _frozen(lake, con, signed.digest)
        listed = ", ".join(SIGNED_COLUMNS)
        rows = con.execute(
            f"SELECT {listed} FROM signed_then ORDER BY salesforce_key NULLS FIRST, d365_key NULLS FIRST LIMIT ? OFFSET ?",
            [limit, offset],
        ).fetchall()
        return [dict(zip(SIGNED_COLUMNS, row, strict=True)) for row in rows]


@contextmanager
def _month(lake: Lake, company: str, month: str, version: int) -> "Iterator[DuckDBPyConnection]":
    """A connection with `signed_now`: the rows of the month in that version of the verdict table."""
    with duckdb_connection() as con:
        # A version that was made before months were kept has none.
        lake.register(con, "sales_order_verdict", VERDICT_KEY, version, empty={"month": "VARCHAR"})
        con.execute(f"CREATE TEMP TABLE signed_now AS {month_statement()}", {"company": company, "month": month})
        yield con


def _frozen(lake: Lake, con: "DuckDBPyConnection", digest: str) -> None:
    """Make `signed_then`: the rows of the signature with this digest."""
    lake.register(con, "every_signed_order", SIGNED_KEY)
    con.execute("CREATE TEMP TABLE signed_then AS SELECT * FROM every_signed_order WHERE digest = ?", [digest])


def _is_frozen(lake: Lake, con: "DuckDBPyConnection", digest: str) -> bool:
    """Whether the very same rows were signed before: a signature that was taken back, or one whose writing was cut off."""
    if not lake.exists(SIGNED_KEY):
        return False
    _frozen(lake, con, digest)
    there = con.execute("SELECT count(*) FROM signed_then").fetchall()
    return bool(there[0][0])
