"""*Matches*: who may be the same company, with what speaks for and against each proposal."""

from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.desk import back, decided, desk_of, field_of, seen_of, viewer_of
from resources.ledger.matches import SORTS
from tieout.decisions import checked_text
from tieout.errors import RecordError
from tieout.report.figures import number_of

ROWS_A_PAGE = 25
KINDS = {
    "link": "Account and customer",
    "duplicate_in_salesforce": "Two accounts",
    "duplicate_in_d365": "Two customers",
}
MERGING_IS_YOURS = "they are noted as one company, and merging them is for you to do in their system"
_SEPARATOR = "\n"


def matches(request: Request) -> Response:
    """The proposals, page by page: those that wait first."""
    desk, given = desk_of(request), request.query_params
    wanted = {"state": given.get("state", "proposed"), "kind": given.get("kind", ""), "search": given.get("search", "")}
    sort = given.get("sort", "weight") if given.get("sort") in SORTS else "weight"
    text = given.get("page", "1")
    number = max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    try:
        rows, total = desk.ledger.matches.page(
            **wanted,
            sort=sort,
            descending=given.get("dir", "desc") != "asc",
            offset=(number - 1) * ROWS_A_PAGE,
            limit=ROWS_A_PAGE,
        )
    except RecordError as problem:
        raise HTTPException(404, str(problem)) from problem
    return desk.page(
        request,
        "matches.html.j2",
        {
            "wanted": wanted,
            "given": {name: value for name, value in wanted.items() if (name, value) != ("state", "proposed")},
            "rows": rows,
            "total": total,
            "number": number,
            "last": max(1, -(-total // ROWS_A_PAGE)),
            "counts": desk.ledger.matches.counts(),
            "kinds": KINDS,
            "separator": _SEPARATOR,
        },
        parts={"list": "match_list.html.j2"},
    )


async def decide(request: Request) -> Response:
    """Accept or refuse the chosen proposals."""
    form = await decided(request)
    desk, viewer = desk_of(request), viewer_of(request)
    action, note = field_of(form, "action"), checked_text(field_of(form, "note"))
    if action not in ("accept", "refuse"):
        raise RecordError("A proposal is accepted or refused; the form says neither.")
    state: Literal["accepted", "refused"] = "accepted" if action == "accept" else "refused"
    pairs = [
        value.replace("\r\n", _SEPARATOR).split(_SEPARATOR) for value in form.getlist("pair") if isinstance(value, str)
    ]
    if not pairs or any(len(pair) != 3 for pair in pairs):
        raise RecordError("No proposal is chosen. Tick those that are meant, then repeat.")
    chosen = [(kind, left_key, right_key) for kind, left_key, right_key in pairs]
    await run_in_threadpool(desk.ledger.matches.decide, chosen, state, who=viewer.name, note=note, seen=seen_of(form))
    follows = "the next run follows" if any(kind == "link" for kind, _, _ in chosen) else MERGING_IS_YOURS
    done = f"accepted; {follows}" if state == "accepted" else "refused; not proposed again"
    return back(form, "/matches", f"{number_of(len(pairs), 'proposal')} {done}.")


routes = [Route("/matches", matches), Route("/matches/decide", decide, methods=["POST"])]
