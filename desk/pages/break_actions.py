"""What an analyst does about breaks: assign, comment, accept until a day, take that back, send the record again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from starlette.datastructures import FormData

from desk.desk import field_of, seen_of
from desk.writing import day_of
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from tieout.decisions import checked_acceptance, checked_comment, checked_text
from tieout.delivery import State
from tieout.errors import RecordError
from tieout.report.figures import number_of


def act_on(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    """Carry out the form's `action`; what was done, in one sentence. RecordError where it cannot be, and then nothing was."""
    action = field_of(form, "action")
    if action not in _ACTIONS:
        raise RecordError(f"There is no action {action!r}. It is one of {', '.join(_ACTIONS)}.")
    return _ACTIONS[action](ledger, identities, form, who)


def _assign(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    owner = _text(form, "owner")
    if not owner:
        raise RecordError("No owner is named. Name a person or a team, or use Give back.")
    ledger.breaks.assign(identities, owner, who, seen=seen_of(form))
    return f"{_breaks(identities)} assigned to {owner}."


def _give_back(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    ledger.breaks.assign(identities, "", who, seen=seen_of(form))
    return f"{_breaks(identities)} given back to nobody."


def _comment(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    text = checked_comment(field_of(form, "comment"))
    ledger.breaks.comment(identities, text, who, seen=seen_of(form))
    return f"Comment written to {_breaks(identities)}."


def _accept(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    until = checked_acceptance(day_of(field_of(form, "until")), datetime.now(UTC).date())
    ledger.breaks.accept(identities, until, who, _text(form, "comment"), seen=seen_of(form))
    return f"{_breaks(identities)} accepted until {until}."


def _take_back(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    ledger.breaks.accept(identities, None, who, _text(form, "comment"), seen=seen_of(form))
    return f"{_breaks(identities)} accepted no longer."


def _resend(ledger: Ledger, identities: Sequence[str], form: FormData, who: str) -> str:
    """Plans the refused deliveries of the records again; those of other breaks have nothing to send."""
    ledger.decisions.refuse_what_others_decided("break", identities, seen_of(form), who)
    ids: set[int] = set()
    for identity in identities:
        row = ledger.breaks.get(identity)
        # A line has no delivery of its own: it went with its order.
        entity = "sales_order" if row.entity == "sales_order_line" else row.entity
        key = f"{row.salesforce_key}/{row.company}" if entity == "customer" else row.salesforce_key
        if row.salesforce_key:
            refused = DeliveryFilter(state=State.REJECTED, entity=entity, business_key=key)
            ids.update(ledger.deliveries.ids(refused))
    if not ids:
        raise RecordError("Nothing of it was refused by D365, so there is nothing to send again.")
    planned = ledger.deliveries.redrive(sorted(ids), who=who, note=_text(form, "comment"))
    return f"{number_of(len(planned), 'delivery', 'deliveries')} planned again. The next run sends them."


_ACTIONS: dict[str, Callable[[Ledger, Sequence[str], FormData, str], str]] = {
    "assign": _assign,
    "give_back": _give_back,
    "comment": _comment,
    "accept": _accept,
    "take_back": _take_back,
    "resend": _resend,
}


def _text(form: FormData, name: str) -> str:
    return checked_text(field_of(form, name))


def _breaks(identities: Sequence[str]) -> str:
    return number_of(len(identities), "break")
