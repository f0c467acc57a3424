"""`tieout deliveries`: list, show, re-drive."""

from dataclasses import asdict

from pipelines.cli import output
from pipelines.cli.filters import one_of, said
from pipelines.cli.ledger import opened_ledger, who
from resources.ledger.delivery_queries import DeliveryFilter, DeliveryRow
from tieout.delivery import State
from tieout.errors import ConfigurationError, RecordError
from tieout.flow import Flow


def list_deliveries(
    *, state: str | None, entity: str | None, company: str | None, reason: str | None, limit: int, as_json: bool
) -> None:
    """Print deliveries, newest change first."""
    wanted = _filter(_state(state), entity=entity, company=company, reason=reason)
    with opened_ledger() as ledger:
        found = ledger.deliveries.find(wanted, limit=limit)
        counts = ledger.deliveries.counts(entity or "")
    if as_json:
        output.print_json({"counts": counts, "deliveries": [asdict(row) for row in found]})
        return
    output.print_table(
        "Deliveries  " + " · ".join(f"{name} {count:,}" for name, count in counts.items() if count),
        ["entity", "what", "Salesforce id", "company", "D365 number", "state", "changed", "reason"],
        [_cells(row) for row in found],
    )


def show_delivery(key: str, *, as_json: bool) -> None:
    """Print the deliveries of one record, and every attempt."""
    with opened_ledger() as ledger:
        found = _of_key(ledger, key)
        attempts = ledger.attempts.of_business_key(found[0].business_key)
    if as_json:
        output.print_json({"deliveries": [asdict(row) for row in found], "attempts": attempts})
        return
    for row in found:
        output.print_table(
            f"{row.entity} {row.operation}",
            ["", ""],
            [[name, value] for name, value in asdict(row).items() if value not in (None, "")],
        )
    output.print_table(
        "Attempts",
        ["at", "direction", "what", "outcome", "state", "status", "ms", "reason"],
        [
            [
                f"{each['at']:%Y-%m-%d %H:%M:%S}",
                each["direction"],
                each["operation"],
                each["outcome"],
                each["state"],
                each["http_status"],
                each["duration_ms"],
                each["reason"],
            ]
            for each in attempts
        ],
        numbers=["status", "ms"],
    )


def redrive(
    key: str | None, *, entity: str | None, company: str | None, reason: str | None, every: bool, comment: str
) -> None:
    """Plan rejected deliveries again; the next run sends them."""
    refused = _filter(State.REJECTED, entity=entity, company=company, reason=reason)
    by_filter = refused != DeliveryFilter(state=State.REJECTED)
    if (key is not None) + by_filter + every != 1:
        raise ConfigurationError("Name one record, or a filter (--entity, --company, --reason), or say --all.")
    with opened_ledger() as ledger:
        if key is None:
            ids = ledger.deliveries.ids(refused)
        else:
            ids = [row.id for row in _of_key(ledger, key) if row.state is State.REJECTED]
            if not ids:
                raise RecordError(
                    f"No rejected delivery of {key}. `tieout deliveries list --state rejected` lists them."
                )
        planned = ledger.deliveries.redrive(ids, who=who(), note=comment)
    follows = "The next run sends them." if planned else "No rejected delivery fits."
    output.console.print(f"Planned again: {len(planned):,}. {follows}", highlight=False)


def _filter(state: State | None, *, entity: str | None, company: str | None, reason: str | None) -> DeliveryFilter:
    return DeliveryFilter(
        state=state,
        entity=one_of("entity", entity, (flow.delivered for flow in Flow if flow.delivered)),
        company=said("company", company).casefold(),
        reason=said("reason", reason),
    )


def _of_key(ledger, key: str) -> list[DeliveryRow]:  # type: ignore[no-untyped-def]
    if not key.strip():
        raise ConfigurationError("The record's key is empty. Give its Salesforce id or its D365 number.")
    found = ledger.deliveries.find(DeliveryFilter(business_key=key)) or ledger.deliveries.find(
        DeliveryFilter(d365_key=key)
    )
    if not found:
        raise RecordError(
            f"There is no delivery of {key}. `tieout deliveries list` lists them by Salesforce id and D365 number."
        )
    return list(found)


def _state(name: str | None) -> State | None:
    known = one_of("state", name, (state.value for state in State))
    return State(known) if known else None


def _cells(row: DeliveryRow) -> list[object]:
    return [
        row.entity,
        row.operation,
        row.business_key,
        row.company,
        row.d365_key,
        row.state.value,
        f"{row.updated_at:%Y-%m-%d %H:%M}",
        row.reason,
    ]
