"""*Overview*: does it tie out, what waits for people and how long, is it getting better, what is on its way, how fresh is it all."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import charts
from desk.charts import Theme
from desk.desk import desk_of
from desk.tie_out_figures import bridge_steps, tie_out, trend
from resources.ledger.break_queries import BreakFilter

_WAITING = BreakFilter("waiting")
_MOST_ALERTS = 100


def overview(request: Request) -> Response:
    """The first page. `company` and `currency` choose the bridge that is drawn; the largest unexplained one without them."""
    desk = desk_of(request)
    lines = tie_out(desk.lake)
    wanted = (request.query_params.get("company", ""), request.query_params.get("currency", ""))
    chosen = next((line for line in lines if (line.company, line.currency) == wanted), lines[0] if lines else None)
    queries = desk.ledger.break_queries
    causes = queries.groups(BreakFilter(), "cause")
    return desk.page(
        request,
        "overview.html.j2",
        {
            "lines": lines,
            "chosen": chosen,
            "steps": bridge_steps(desk.lake, chosen.company, chosen.currency) if chosen else [],
            "causes": causes,
            "open_breaks": sum(cause.breaks for cause in causes),
            "waiting": queries.count(_WAITING),
            "ages": queries.ages_by_cause(),
            "alerts": desk.ledger.alerts.list(limit=_MOST_ALERTS),
            "points": trend(desk.lake),
            "deliveries": {entity: desk.ledger.deliveries.counts(entity) for entity in ("customer", "sales_order")},
            "flows": [row for row in desk.ledger.flows.all() if row.paused or row.breaker.state != "closed"],
            "sources": [
                (system, table, desk.ledger.watermarks.latest_sweep(system, table.name))
                for system in ("salesforce", "d365")
                for table in desk.contracts.tables(system)
            ],
        },
    )


def chart(request: Request) -> Response:
    """One picture of the overview as SVG: `bridge` (of `company` and `currency`), `ages` or `trend`; `theme` is light or dark."""
    desk = desk_of(request)
    given = request.query_params
    theme: Theme = "dark" if given.get("theme") == "dark" else "light"
    match request.path_params["name"]:
        case "bridge":
            company, currency = given.get("company", ""), given.get("currency", "")
            if (company, currency) not in {(line.company, line.currency) for line in tie_out(desk.lake)}:
                raise HTTPException(404)
            svg = charts.bridge(bridge_steps(desk.lake, company, currency), currency, theme)
        case "ages":
            svg = charts.ages(desk.ledger.break_queries.ages_by_cause(), theme)
        case "trend":
            svg = charts.trend(trend(desk.lake), theme)
        case _:
            raise HTTPException(404)
    return Response(svg, media_type="image/svg+xml")


routes = [Route("/", overview), Route("/charts/{name}.svg", chart)]
