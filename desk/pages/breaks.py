"""*Breaks*: the work list, page by page, with what an analyst does about it, and as a file."""

from datetime import UTC, date, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.desk import back, decided, desk_of, field_of, viewer_of
from desk.export import export
from desk.pages.break_actions import act_on
from resources.ledger.break_queries import AGES, GROUPS, SORTS, BreakFilter
from tieout.errors import RecordError

ROWS_A_PAGE = 50
MOST_AT_ONCE = 5_000
"""Breaks that one action may be about; more would be a decision that nobody has looked at."""

_FIELDS = ("state", "search", "entity", "company", "currency", "cause", "field", "owner", "month", "age")
_CHOICES = ("company", "cause", "entity", "owner", "currency")


def breaks(request: Request) -> Response:
    """The list. Every part of what is shown stands in the address, so a page can be sent to a colleague."""
    desk, given = desk_of(request), request.query_params
    wanted = filter_of(given)
    sort, descending = _order(given)
    by = given.get("group", "") if given.get("group") in GROUPS else ""
    number = _page_number(given)
    queries = desk.ledger.break_queries
    total = queries.count(wanted)
    last = max(1, -(-total // ROWS_A_PAGE))
    number = min(number, last)
    rows = queries.page(wanted, sort=sort, descending=descending, offset=(number - 1) * ROWS_A_PAGE, limit=ROWS_A_PAGE)
    return desk.page(
        request,
        "breaks.html.j2",
        {
            "wanted": wanted,
            "given": wanted.as_query() | ({"group": by} if by else {}),
            "order": {"sort": sort, "dir": "desc" if descending else "asc"},
            "rows": rows,
            "total": total,
            "number": number,
            "last": last,
            "first_row": (number - 1) * ROWS_A_PAGE + 1,
            "groups": queries.groups(wanted, by) if by else [],
            "by": by,
            "choices": queries.choices(_CHOICES),
            "ages": list(AGES),
            "group_names": GROUPS,
            "today": datetime.now(UTC).date(),
        },
        parts={"list": "break_list.html.j2"},
    )


def one_break(request: Request) -> Response:
    """One break with everything that is known of it and everything that was decided about it."""
    desk = desk_of(request)
    row = desk.ledger.breaks.get(request.path_params["identity"])
    return desk.page(
        request,
        "break.html.j2",
        {
            "row": row,
            "decisions": desk.ledger.decisions.of("break", row.identity),
            "today": datetime.now(UTC).date(),
            "is_accepted": is_accepted(row.accepted_until),
        },
    )


def list_file(request: Request) -> Response:
    """What the list shows, all pages of it, as XLSX or CSV."""
    desk, given = desk_of(request), request.query_params
    sort, descending = _order(given)
    return export(desk.ledger.break_queries, filter_of(given), sort, descending, request.path_params["kind"])


async def act(request: Request) -> Response:
    """Do something about the chosen breaks: one form for one of them, for several, and for all that the filter finds."""
    form = await decided(request)
    desk, viewer = desk_of(request), viewer_of(request)

    def done() -> str:
        return act_on(desk.ledger, _chosen(request, form), form, viewer.name)

    # The ledger waits for Postgres; the loop that answers everybody must not wait with it.
    said = await run_in_threadpool(done)
    return back(form, "/breaks", said)


def _chosen(request: Request, form: FormData) -> list[str]:
    if field_of(form, "scope") != "all":
        chosen = [value for value in form.getlist("identity") if isinstance(value, str)]
        if not chosen:
            raise RecordError("No break is chosen. Tick those that are meant, then repeat.")
        return chosen
    wanted = filter_of(QueryParams(field_of(form, "filter")))
    queries = desk_of(request).ledger.break_queries
    total = queries.count(wanted)
    if total > MOST_AT_ONCE:
        raise RecordError(
            f"{total:,} breaks fit the filter; at most {MOST_AT_ONCE:,} can be decided at once. Narrow the filter."
        )
    return [row.identity for row in queries.page(wanted, sort="first_seen", limit=MOST_AT_ONCE)]


def filter_of(given: QueryParams) -> BreakFilter:
    """The filter that an address asks for; 404 where it asks for what there is not."""
    values: dict[str, Any] = {name: given.get(name, "") for name in _FIELDS if given.get(name)}
    try:
        return BreakFilter(**values)
    except RecordError as problem:
        raise HTTPException(404, str(problem)) from problem


def is_accepted(until: date | None) -> bool:
    """Whether somebody has accepted the break for today."""
    return until is not None and until >= datetime.now(UTC).date()


def _order(given: QueryParams) -> tuple[str, bool]:
    sort = given.get("sort", "amount")
    return (sort if sort in SORTS else "amount"), given.get("dir", "desc") != "asc"


def _page_number(given: QueryParams) -> int:
    text = given.get("page", "1")
    # A number of a thousand digits is no page either.
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


routes = [
    Route("/breaks", breaks),
    Route("/breaks/act", act, methods=["POST"]),
    Route("/breaks/list.{kind}", list_file),
    Route("/breaks/{identity}", one_break),
]
