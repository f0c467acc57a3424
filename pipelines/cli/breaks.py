"""`tieout breaks`: list, show, comment, assign, accept."""

from dataclasses import asdict
from datetime import UTC, date, datetime

from pipelines.cli import output
from pipelines.cli.filters import one_of, said
from pipelines.cli.ledger import opened_ledger, who
from resources.ledger.break_queries import BreakFilter
from tieout.breaks import ENTITIES, Cause
from tieout.decisions import checked_acceptance, checked_comment, checked_text
from tieout.errors import ConfigurationError


def list_breaks(*, entity: str | None, company: str | None, cause: str | None, limit: int, as_json: bool) -> None:
    """Print open breaks, largest amount first."""
    wanted = {
        "entity": one_of("entity", entity, ENTITIES),
        "company": said("company", company).casefold(),
        "cause": one_of("cause", cause, (each.value for each in Cause)),
    }
    with opened_ledger() as ledger:
        found = ledger.breaks.find(**wanted, limit=limit)
        counts = ledger.breaks.counts()
        fitting = ledger.break_queries.count(
            BreakFilter(entity=wanted["entity"], company=wanted["company"], cause=wanted["cause"])
        )
    if as_json:
        output.print_json({"counts": counts, "breaks": [asdict(row) for row in found]})
        return
    output.print_table(
        f"Open breaks: {fitting:,} (the {len(found):,} largest)",
        [
            "identity",
            "entity",
            "company",
            "Salesforce",
            "D365",
            "what",
            "Salesforce value",
            "D365 value",
            "amount",
            "cause",
            "owner",
        ],
        [
            [
                row.identity[:12],
                row.entity,
                row.company,
                row.salesforce_key,
                row.d365_key,
                row.field or row.verdict,
                row.salesforce_value,
                row.d365_value,
                f"{row.amount:,.2f} {row.currency}" if row.amount is not None else "",
                row.cause,
                row.owner,
            ]
            for row in found
        ],
        numbers=["amount"],
    )


def show_break(identity: str, *, as_json: bool) -> None:
    """Print one break with all that is known of it."""
    with opened_ledger() as ledger:
        row = ledger.breaks.get(identity)
    if as_json:
        output.print_json(asdict(row))
    else:
        output.print_table(
            "Break", ["", ""], [[name, value] for name, value in asdict(row).items() if value not in (None, "")]
        )


def comment_break(identity: str, text: str) -> None:
    """Write a comment to a break."""
    words = checked_comment(text)
    with opened_ledger() as ledger:
        ledger.breaks.comment(identity, words, who())
    output.console.print("Written.", highlight=False)


def assign_break(identity: str, owner: str) -> None:
    """Give a break to a person or a team."""
    named = checked_text(owner)
    with opened_ledger() as ledger:
        ledger.breaks.assign(identity, named, who())
    output.console.print(f"Assigned to {named}." if named else "Given back to nobody.", highlight=False)


def accept_break(identity: str, *, until: str, comment: str) -> None:
    """Leave a break alone through a day."""
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise ConfigurationError(f"--until {until!r} is no day. Write it as 2026-12-31.") from None
    checked_acceptance(day, datetime.now(UTC).date())
    why = checked_text(comment)
    with opened_ledger() as ledger:
        ledger.breaks.accept(identity, day, who(), why)
    output.console.print(f"Accepted until {day}.", highlight=False)
