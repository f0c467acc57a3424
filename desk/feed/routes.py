"""The addresses of the feed, and what each answers: the documents, lists in pages, counts, single rows. Reading only."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.desk import desk_of
from desk.feed.access import ADDRESS
from desk.feed.answers import VERSION, json_answer, problem_answer, row_as_json
from desk.feed.filters import number_of
from desk.feed.formats import check_version, json_format, page_size
from desk.feed.metadata import metadata_xml, service_document
from desk.feed.model import ENTITY_SETS, Edm, EntitySet
from desk.feed.options import OF_A_COUNT, OF_A_ROW, Options, options_of
from desk.feed.power_bi import FILE_NAME, pbids
from desk.feed.problems import FeedProblem, missing, unsupported, wrong
from desk.feed.skiptoken import Place, place_of, token_of
from desk.feed.sources import opened
from desk.feed.statements import count_statement, page_statement, row_statement
from tieout.errors import SourceUnavailable

ROWS_OF_A_PAGE = 1_000
MOST_ROWS_OF_A_PAGE = 10_000

_SET = re.compile(r"(?P<set>\w+)(?P<count>/\$count)?", re.ASCII)
_ROW = re.compile(r"(?P<set>\w+)\((?:(?P<name>\w+)=)?(?P<key>'(?:[^']|'')*'|-?\d{1,19})\)(?P<rest>/.*)?", re.DOTALL)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "MERGE"]


def feed(request: Request) -> Response:
    """Any address of the feed; what is wrong is told in OData's form."""
    try:
        check_version(request.headers.get("odata-maxversion", ""))
        path = request.path_params.get("path", "")
        if path == "$batch":
            raise unsupported("$batch is not supported. Send single requests.")
        if request.method not in ("GET", "HEAD"):
            return problem_answer(FeedProblem(405, "The feed can only be read."), {"allow": "GET, HEAD"})
        return _answer_of(path)(request)
    except FeedProblem as problem:
        return problem_answer(problem)
    except SourceUnavailable:
        # What is away is told on the desk's pages; programs need not know the addresses of database and lake.
        return problem_answer(
            FeedProblem(503, "The ledger or the lake cannot be reached at the moment. Ask again later.")
        )


def power_bi_file(request: Request) -> Response:
    """The `.pbids` file with this desk's own address."""
    headers = {"content-disposition": f'attachment; filename="{FILE_NAME}"'}
    return Response(pbids(_root(request)), media_type="application/json", headers=headers)


def _answer_of(path: str) -> Callable[[Request], Response]:
    if path == "":
        return _service
    if path == "$metadata":
        return _metadata
    if found := _SET.fullmatch(path):
        entity_set = _set_named(found["set"])
        return (
            (lambda request: _count(request, entity_set))
            if found["count"]
            else (lambda request: _list(request, entity_set))
        )
    if found := _ROW.fullmatch(path):
        entity_set = _set_named(found["set"])
        if found["rest"]:
            raise unsupported("Single properties have no addresses. Read the row, with $select.")
        key = _key_of(entity_set, found["name"], found["key"])
        return lambda request: _row(request, entity_set, key)
    raise missing(f"There is nothing at this address. The entity sets are {', '.join(ENTITY_SETS)}.")


def _service(request: Request) -> Response:
    form = json_format(request.query_params.get("$format", ""), request.headers.get("accept", ""))
    return json_answer(service_document(_root(request)), form)


def _metadata(_request: Request) -> Response:
    return Response(metadata_xml(), headers={**VERSION, "content-type": "application/xml;charset=utf-8"})


def _list(request: Request, entity_set: EntitySet) -> Response:
    query = request.query_params.multi_items()
    options = options_of(entity_set, query)
    form = json_format(options.format, request.headers.get("accept", ""))
    rows_of_page, was_asked = page_size(request.headers.get("prefer", ""), ROWS_OF_A_PAGE, MOST_ROWS_OF_A_PAGE)
    place = place_of(options.skiptoken, options.order) if options.skiptoken else None
    wanted = rows_of_page if options.top is None else min(options.top, rows_of_page)
    # One row more tells whether there is another page, without counting.
    statement = page_statement(entity_set, options, place.values if place else None, wanted + 1 if wanted else 0)
    desk = desk_of(request)
    with opened(entity_set, desk.ledger, desk.lake, place.version if place else None) as source:
        count = source.number(count_statement(entity_set, options.filter)) if options.count else None
        rows = source.rows(statement)
        version = source.version
    root = _root(request)
    shown = options.select or entity_set.properties
    body: dict[str, object] = {}
    if form.metadata != "none":
        body["@odata.context"] = f"{root}$metadata#{entity_set.name}{_selection(options)}"
    if count is not None:
        body["@odata.count"] = str(count) if form.exact_as_text else count
    body["value"] = [row_as_json(entity_set, shown, row, form, root) for row in rows[:wanted]]
    if len(rows) > wanted > 0 and (options.top is None or options.top > wanted):
        last = rows[wanted - 1]
        end = Place([last[step.property.name] for step in options.order], version)
        body["@odata.nextLink"] = _next_link(f"{root}{entity_set.name}", query, options, wanted, end)
    headers = {"preference-applied": f"odata.maxpagesize={rows_of_page}"} if was_asked else {}
    return json_answer(body, form, headers)


def _count(request: Request, entity_set: EntitySet) -> Response:
    options = options_of(entity_set, request.query_params.multi_items(), OF_A_COUNT)
    desk = desk_of(request)
    with opened(entity_set, desk.ledger, desk.lake, None) as source:
        count = source.number(count_statement(entity_set, options.filter))
    return Response(str(count), headers={**VERSION, "content-type": "text/plain;charset=utf-8"})


def _row(request: Request, entity_set: EntitySet, key: str | int) -> Response:
    options = options_of(entity_set, request.query_params.multi_items(), OF_A_ROW)
    form = json_format(options.format, request.headers.get("accept", ""))
    desk = desk_of(request)
    with opened(entity_set, desk.ledger, desk.lake, None) as source:
        rows = source.rows(row_statement(entity_set, key))
    if not rows:
        raise missing(f"{entity_set.name} has no row with this key.")
    root = _root(request)
    body: dict[str, object] = {}
    if form.metadata != "none":
        body["@odata.context"] = f"{root}$metadata#{entity_set.name}{_selection(options)}/$entity"
    shown = options.select or entity_set.properties
    return json_answer(body | row_as_json(entity_set, shown, rows[0], form, root), form)


def _root(request: Request) -> str:
    """The feed's own address. Without TIEOUT_DESK_URL it is the one that the client used."""
    address = desk_of(request).settings.address or f"{request.url.scheme}://{request.url.netloc}"
    return f"{address}{ADDRESS}/"


def _set_named(name: str) -> EntitySet:
    if name not in ENTITY_SETS:
        raise missing(f"There is no entity set {name[:60]}. There are {', '.join(ENTITY_SETS)}.")
    return ENTITY_SETS[name]


def _key_of(entity_set: EntitySet, name: str | None, text: str) -> str | int:
    if name is not None and name != entity_set.key:
        raise wrong(f"The key of {entity_set.name} is {entity_set.key}.")
    is_text = entity_set.key_property.edm is Edm.TEXT
    if is_text != text.startswith("'"):
        raise wrong(f"The key of {entity_set.name} is a {'text: put it between quotes' if is_text else 'number'}.")
    if not is_text:
        return int(number_of(text))
    if "\x00" in text:
        raise wrong("The key holds a NUL character, which no key has.")
    return text[1:-1].replace("''", "'")


def _selection(options: Options) -> str:
    return f"({','.join(each.name for each in options.select)})" if options.select else ""


def _next_link(address: str, query: Sequence[tuple[str, str]], options: Options, given: int, end: Place) -> str:
    """The same question for the rows behind this page; the count has been told already."""
    kept = [(name, value) for name, value in query if name not in ("$top", "$skip", "$skiptoken", "$count")]
    if options.top is not None:
        kept.append(("$top", str(options.top - given)))
    return f"{address}?{urlencode([*kept, ('$skiptoken', token_of(end))], quote_via=quote, safe='$')}"


routes = [
    Route(ADDRESS, feed, methods=_METHODS),
    Route(f"{ADDRESS}/{{path:path}}", feed, methods=_METHODS),
    Route(f"/{FILE_NAME}", power_bi_file),
]
