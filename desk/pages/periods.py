"""*Periods*: which months are signed off, what was signed, and what has changed since."""

from dataclasses import dataclass
from decimal import Decimal

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.desk import back, decided, desk_of, field_of, viewer_of
from resources.lake import Lake
from resources.ledger.break_queries import BreakFilter
from resources.ledger.periods import SignedPeriod
from resources.signing import VERDICT_KEY, changes_since, sign_period, signed_rows
from resources.workbench import duckdb_connection
from tieout.errors import RecordError

ROWS_A_PAGE = 100
_BRIDGE_KEY = ("reconciliation", "tie_out_bridge")


@dataclass(frozen=True, slots=True)
class MonthTotal:
    """One currency of a month: both totals, their difference (Salesforce minus D365), and the part of it that has no cause."""

    currency: str
    salesforce: Decimal
    d365: Decimal
    difference: Decimal
    unexplained: Decimal


@dataclass(frozen=True, slots=True)
class Month:
    """One month of a company as the newest reconciliation has it, with its newest signature, if it has one."""

    company: str
    month: str
    totals: tuple[MonthTotal, ...]
    signature: SignedPeriod | None
    open_breaks: int


def periods(request: Request) -> Response:
    """Every month of every company that has orders, newest first."""
    desk = desk_of(request)
    company = request.query_params.get("company", "")
    queries = desk.ledger.break_queries
    signatures = desk.ledger.periods.latest()
    totals = _totals(desk.lake)
    waiting = {
        (name, group.value): group.breaks
        for name in sorted({name for name, _ in totals})
        for group in queries.groups(BreakFilter("waiting", company=name), "month")
    }
    months = [
        Month(name, month, tuple(rows), signatures.get((name, month)), waiting.get((name, month), 0))
        for (name, month), rows in totals.items()
        if company in ("", name)
    ]
    return desk.page(
        request,
        "periods.html.j2",
        {
            "months": months,
            "companies": sorted({name for name, _ in totals}),
            "company": company,
            "version": desk.lake.version(VERDICT_KEY) if desk.lake.exists(VERDICT_KEY) else -1,
        },
    )


def period(request: Request) -> Response:
    """One month of a company: its signatures, what the chosen one froze (`signature`, the newest without it), and what changed since."""
    desk = desk_of(request)
    company, month = request.path_params["company"], request.path_params["month"]
    history = desk.ledger.periods.history(company, month)
    if not history:
        raise HTTPException(404)
    wanted = request.query_params.get("signature", "")
    chosen = next((each for each in history if str(each.id) == wanted), history[0])
    number = _page_number(request.query_params.get("page", "1"))
    total = int(chosen.snapshot["rows"])
    last = max(1, -(-total // ROWS_A_PAGE))
    number = min(number, last)
    return desk.page(
        request,
        "period.html.j2",
        {
            "company": company,
            "month": month,
            "history": history,
            "chosen": chosen,
            "rows": signed_rows(desk.lake, chosen, offset=(number - 1) * ROWS_A_PAGE, limit=ROWS_A_PAGE),
            "number": number,
            "last": last,
            "total": total,
            "changes": changes_since(desk.lake, chosen)[:ROWS_A_PAGE],
            "decisions": desk.ledger.decisions.of("period", f"{company}/{month}"),
        },
    )


async def sign(request: Request) -> Response:
    """Sign a month off, as the page showed it."""
    form = await decided(request)
    desk, viewer = desk_of(request), viewer_of(request)
    company, month = field_of(form, "company"), field_of(form, "month")
    version = field_of(form, "version")
    if not (version.isascii() and version.isdigit()):
        raise HTTPException(400, "The form does not say which reconciliation was looked at.")
    await run_in_threadpool(
        sign_period,
        desk.lake,
        desk.ledger,
        company,
        month,
        who=viewer.name,
        note=field_of(form, "note"),
        seen_version=int(version),
    )
    return back(form, "/periods", f"{month} of {company} is signed off.")


async def reopen(request: Request) -> Response:
    """Take a signature back; a reason is needed."""
    form = await decided(request)
    desk, viewer = desk_of(request), viewer_of(request)
    company, month, reason = (field_of(form, name) for name in ("company", "month", "note"))
    if not reason:
        raise RecordError("Say why the month is reopened: whoever signed it will ask.")
    await run_in_threadpool(desk.ledger.periods.reopen, company, month, who=viewer.name, reason=reason)
    return back(form, "/periods", f"{month} of {company} is open again.")


def _totals(lake: Lake) -> dict[tuple[str, str], list[MonthTotal]]:
    """(company, month) → its currencies, newest month first."""
    if not lake.exists(_BRIDGE_KEY):
        return {}
    with duckdb_connection() as con:
        # A lake that an older version wrote has no months yet; the next run brings them.
        lake.register(con, "bridge", _BRIDGE_KEY, empty={"month": "VARCHAR"})
        rows = con.execute(
            """SELECT lower(company), month, currency, sum(salesforce), sum(d365), sum(difference),
    coalesce(sum(difference) FILTER (NOT is_explained), 0)
FROM bridge WHERE coalesce(month, '') <> ''
GROUP BY lower(company), month, currency ORDER BY month DESC, lower(company), currency"""
        ).fetchall()
    found: dict[tuple[str, str], list[MonthTotal]] = {}
    for company, month, *figures in rows:
        found.setdefault((company, month), []).append(MonthTotal(*figures))
    return found


def _page_number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


routes = [
    Route("/periods", periods),
    Route("/periods/sign", sign, methods=["POST"]),
    Route("/periods/reopen", reopen, methods=["POST"]),
    Route("/periods/{company}/{month}", period),
]
