"""*Record*: one customer or order with both systems' values, the raw rows, who is who, and every attempt on a time line."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.desk import Desk, desk_of
from desk.record_figures import RecordView, Where, as_json, find_records, record_view
from desk.timeline import timeline_of
from resources.ledger.delivery_queries import DeliveryFilter, DeliveryRow

ENTITIES = ("sales_order", "customer")


def find(request: Request) -> Response:
    """Looks a record up by id, number or name (`q`)."""
    desk = desk_of(request)
    words = request.query_params.get("q", "").strip()
    found = find_records(desk.lake, ENTITIES, words) if words else []
    return desk.page(request, "find.html.j2", {"words": words, "found": found})


def record(request: Request) -> Response:
    """One record: `salesforce` (id), or `company` and `d365` (number), or all three."""
    desk, given = desk_of(request), request.query_params
    entity = request.path_params["entity"]
    if entity not in ENTITIES:
        raise HTTPException(404)
    wanted = Where(entity, given.get("salesforce", ""), given.get("company", ""), given.get("d365", ""))
    if not wanted.salesforce_id and not (wanted.company and wanted.number):
        raise HTTPException(404)
    contract = desk.contracts[entity]
    view = record_view(desk.lake, contract, wanted)
    if view is None:
        raise HTTPException(404)
    where = view.where
    deliveries = deliveries_of(desk, view)
    return desk.page(
        request,
        "record.html.j2",
        {
            "view": view,
            "where": where,
            "breaks": desk.ledger.break_queries.of_record(
                salesforce_key=where.salesforce_id, d365_key=where.number, company=where.company
            ),
            "deliveries": [(row, as_json(desk.ledger.deliveries.payload(row.id))) for row in deliveries],
            "timeline": timeline_of(desk.ledger, where, deliveries),
            "to_salesforce": desk.links.to_salesforce(contract, where.salesforce_id) if where.salesforce_id else "",
            "to_d365": desk.links.to_d365(contract, where.company) if where.number else "",
            "to_odata": desk.links.to_odata(contract, where.company, where.number) if where.number else "",
            "as_json": as_json,
        },
    )


def deliveries_of(desk: Desk, view: RecordView) -> list[DeliveryRow]:
    """Every delivery of the record, newest first."""
    where = view.where
    keys = [where.salesforce_id]
    if where.entity == "customer":
        keys = [f"{where.salesforce_id}/{where.company.lower()}", where.salesforce_id]
    found: list[DeliveryRow] = []
    for key in keys:
        if where.salesforce_id:
            found += desk.ledger.deliveries.find(DeliveryFilter(entity=where.entity, business_key=key))
    return found


routes = [Route("/records", find), Route("/records/{entity}", record)]
