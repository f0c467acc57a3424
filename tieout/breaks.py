"""What a break is: its identity over runs, and the cause that the evidence allows to name.

Pure. The comparison finds the differences (`reconciliation`), the ledger keeps the breaks and their life.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

from tieout.evidence import Evidence, finer_cause
from tieout.reconciliation.after_delivery import LateNotes
from tieout.reconciliation.rows import DifferenceKind, DifferenceRow, Reason, Verdict, VerdictRow

ENTITIES = ("customer", "sales_order", "sales_order_line")
"""What a break may be one of."""


class FixAction(StrEnum):
    """What can be done about a break."""

    WAIT = "wait"
    RESEND = "resend"
    ADOPT = "adopt"
    LINK = "link"
    MERGE = "merge"
    WRITE_BACK = "write_back"
    CORRECT_MAPPING = "correct_mapping"
    CORRECT_AT_SOURCE = "correct_at_source"
    ACCEPT = "accept"


class Cause(StrEnum):
    """Why the two sides differ, as far as the evidence goes."""

    NOT_DELIVERED_YET = "not_delivered_yet"
    DELIVERY_PLANNED = "delivery_planned"
    DELIVERED_IN_THIS_RUN = "delivered_in_this_run"
    DELIVERY_REJECTED = "delivery_rejected"
    DELIVERY_IN_DOUBT = "delivery_in_doubt"
    DELIVERED_AND_GONE = "delivered_and_gone"
    CANNOT_BE_DELIVERED = "cannot_be_delivered"
    QUARANTINED = "quarantined"
    LINK_UNCLEAR = "link_unclear"
    DUPLICATE = "duplicate"
    CANCELED_IN_D365 = "canceled_in_d365"
    NOT_WON = "not_won"
    DELETED_IN_SALESFORCE = "deleted_in_salesforce"
    DAMAGED_CHARACTERS = "damaged_characters"
    WRITE_PENDING = "write_pending"
    EDITED_IN_D365 = "edited_in_d365"
    EDITED_IN_SALESFORCE = "edited_in_salesforce"
    ROUNDING = "rounding"
    MAPPING_MISSING = "mapping_missing"
    ENTERED_IN_D365 = "entered_in_d365"
    VALUE_DIFFERS = "value_differs"
    LINE_DIFFERS = "line_differs"

    @property
    def explains(self) -> bool:
        """Whether it says why the money differs; the others say only that it does."""
        return self not in _NO_EXPLANATION

    @property
    def fix(self) -> str:
        """What somebody should do about it, or why nothing has to be done."""
        return _FIXES[self]

    @property
    def action(self) -> FixAction:
        """What kind of thing the fix is."""
        return _ACTIONS[self]

    @property
    def needs_a_person(self) -> bool:
        """Whether it stays until somebody acts; the others settle by themselves in a later run."""
        return self not in _SETTLES_BY_ITSELF


_NO_EXPLANATION = frozenset({Cause.DELIVERED_AND_GONE, Cause.ENTERED_IN_D365, Cause.VALUE_DIFFERS, Cause.LINE_DIFFERS})

_SETTLES_BY_ITSELF = frozenset(
    {
        Cause.NOT_DELIVERED_YET,
        Cause.DELIVERY_PLANNED,
        Cause.DELIVERED_IN_THIS_RUN,
        Cause.DELIVERY_IN_DOUBT,
        Cause.WRITE_PENDING,
    }
)

_FIXES: Mapping[Cause, str] = {
    Cause.NOT_DELIVERED_YET: "Nothing to do: the next run delivers it.",
    Cause.DELIVERY_PLANNED: "Nothing to do: it is planned and is sent by the next run.",
    Cause.DELIVERED_IN_THIS_RUN: "Nothing to do: it was delivered after the comparison; the next run shows it matched.",
    Cause.DELIVERY_REJECTED: "Put right what D365 names, in the system that owns it; then re-drive the delivery.",
    Cause.DELIVERY_IN_DOUBT: "Nothing to do yet: the next run looks in D365 before it sends anything again.",
    Cause.DELIVERED_AND_GONE: "Ask who removed it in D365. It is not delivered again by itself.",
    Cause.CANNOT_BE_DELIVERED: "Put right in Salesforce what the reason names; the next run delivers it.",
    Cause.QUARANTINED: "Put the record right at its source; the quarantine lists the rule and the value.",
    Cause.LINK_UNCLEAR: "Decide which records belong together and store the link in Salesforce (the ERP number field).",
    Cause.DUPLICATE: "Merge or close the second record in D365.",
    Cause.CANCELED_IN_D365: "Agree with sales: reopen the opportunity or enter a new order. It is not delivered again by itself.",
    Cause.NOT_WON: "Set the opportunity to won again, or cancel the order in D365.",
    Cause.DELETED_IN_SALESFORCE: "Restore the opportunity, or cancel the order in D365.",
    Cause.DAMAGED_CHARACTERS: "Type the text again on the damaged side; the other side has it undamaged.",
    Cause.WRITE_PENDING: "Nothing to do: the value of the owner is written by this run; the next run shows it gone.",
    Cause.EDITED_IN_D365: "Correct it in D365, or bring the change into the opportunity if it was meant.",
    Cause.EDITED_IN_SALESFORCE: "Bring the change into the order, or take it back in Salesforce.",
    Cause.ROUNDING: "Accept it until a date, or widen the tolerance in the contract.",
    Cause.MAPPING_MISSING: "Add the value to the value map in the contract, or correct it where it was typed.",
    Cause.ENTERED_IN_D365: "Link it to its Salesforce record, or leave it if it was meant for D365 alone.",
    Cause.VALUE_DIFFERS: "Correct the side that does not own the field.",
    Cause.LINE_DIFFERS: "Bring the lines of the order in line with the opportunity, or the other way round.",
}

_ACTIONS: Mapping[Cause, FixAction] = {
    Cause.NOT_DELIVERED_YET: FixAction.WAIT,
    Cause.DELIVERY_PLANNED: FixAction.WAIT,
    Cause.DELIVERED_IN_THIS_RUN: FixAction.WAIT,
    Cause.DELIVERY_REJECTED: FixAction.RESEND,
    Cause.DELIVERY_IN_DOUBT: FixAction.WAIT,
    Cause.DELIVERED_AND_GONE: FixAction.CORRECT_AT_SOURCE,
    Cause.CANNOT_BE_DELIVERED: FixAction.CORRECT_AT_SOURCE,
    Cause.QUARANTINED: FixAction.CORRECT_AT_SOURCE,
    Cause.LINK_UNCLEAR: FixAction.LINK,
    Cause.DUPLICATE: FixAction.MERGE,
    Cause.CANCELED_IN_D365: FixAction.CORRECT_AT_SOURCE,
    Cause.NOT_WON: FixAction.CORRECT_AT_SOURCE,
    Cause.DELETED_IN_SALESFORCE: FixAction.CORRECT_AT_SOURCE,
    Cause.DAMAGED_CHARACTERS: FixAction.CORRECT_AT_SOURCE,
    Cause.WRITE_PENDING: FixAction.WRITE_BACK,
    Cause.EDITED_IN_D365: FixAction.CORRECT_AT_SOURCE,
    Cause.EDITED_IN_SALESFORCE: FixAction.CORRECT_AT_SOURCE,
    Cause.ROUNDING: FixAction.ACCEPT,
    Cause.MAPPING_MISSING: FixAction.CORRECT_MAPPING,
    Cause.ENTERED_IN_D365: FixAction.ADOPT,
    Cause.VALUE_DIFFERS: FixAction.CORRECT_AT_SOURCE,
    Cause.LINE_DIFFERS: FixAction.CORRECT_AT_SOURCE,
}


_VERDICTS = frozenset(Verdict)


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """What the ledger knows about the delivery of one record: its state, the last message, and whether this run made it so."""

    state: str
    message: str = ""
    in_this_run: bool = False


DeliveryNotes = Mapping[tuple[str, str, str], DeliveryNote]
"""(entity, operation `create` or `update`, Salesforce id) → what the ledger knows."""


@dataclass(frozen=True, slots=True)
class Break:
    """One difference that somebody may have to look at.

    `subject` is the field, or the verdict where the whole record is meant. `amount` is the money at stake in `currency`, never
    negative, `None` where the difference is not one of money.
    """

    identity: str
    entity: str
    company: str
    currency: str
    salesforce_key: str | None
    d365_key: str | None
    line_key: str | None
    subject: str
    salesforce_value: str | None
    d365_value: str | None
    amount: Decimal | None
    cause: Cause
    owner: str
    detail: str
    fix: str
    label: str = ""
    month: str = ""


def identity_of(entity: str, company: str, key: str, subject: str) -> str:
    """32 hexadecimal digits that are the same in every run for the same difference.

    `key` is the Salesforce id where there is one (it never changes), else the D365 key; the key of the line is appended for lines.
    """
    # A unit separator cannot occur in a key, so ("a", "b|c") and ("a|b", "c") do not meet.
    return sha256("\x1f".join((entity, company.lower(), key, subject)).encode()).hexdigest()[:32]


def breaks_of(
    verdicts: Iterable[VerdictRow],
    differences: Iterable[DifferenceRow],
    deliveries: DeliveryNotes,
    late: LateNotes | None = None,
    evidence: Evidence | None = None,
) -> Iterator[Break]:
    """Every break of one reconciliation: one for each record that is not simply compared, one for each field that differs.

    `late`: what the contract's policies make of orders whose opportunity changed after delivery. `evidence`: what else is known of them.
    """
    names: dict[tuple[str, str | None, str | None], tuple[str, str]] = {}
    for verdict in verdicts:
        names[verdict.company, verdict.salesforce_key, verdict.d365_key] = (verdict.label or "", verdict.month or "")
        # A record that differs in its fields is told field by field below; one with a reason is told as a whole.
        # Of a group, the reason says what belongs together, not what is wrong.
        if verdict.verdict in (Verdict.MATCHED, Verdict.IN_FLIGHT) or (
            verdict.verdict is Verdict.DIFFERS and (verdict.reason is None or verdict.group_key is not None)
        ):
            continue
        one = _break_of_record(verdict, deliveries, late)
        one = replace(one, label=verdict.label or "", month=verdict.month or "")
        yield one if evidence is None else _with_reason(one, evidence)
    for difference in differences:
        if difference.kind is not DifferenceKind.CASE_OR_BLANKS:
            one = _break_of_field(difference, deliveries, late)
            label, month = names.get((difference.company, difference.salesforce_key, difference.d365_key), ("", ""))
            one = replace(one, label=label, month=month)
            yield one if evidence is None else _with_finer_cause(one, difference, evidence)


def _with_reason(one: Break, evidence: Evidence) -> Break:
    """Which rule keeps a record in quarantine, what holds a planned delivery back."""
    if one.cause is Cause.QUARANTINED:
        rules = evidence.rules.get(one.salesforce_key or "") or evidence.rules.get(one.d365_key or "")
        return replace(one, detail=f"{one.detail}: {rules}" if rules and one.detail else rules or one.detail)
    if one.cause is Cause.DELIVERY_PLANNED and one.company in evidence.held_back:
        return replace(one, detail=evidence.held_back[one.company])
    return one


def _with_finer_cause(one: Break, row: DifferenceRow, evidence: Evidence) -> Break:
    """Why a value differs, where what was sent, the size of the difference or the value map says so."""
    if one.cause is not Cause.VALUE_DIFFERS or row.note is not None:
        return one
    found = finer_cause(row, evidence)
    if found is None:
        return one
    cause, detail = Cause(found.cause), found.detail
    return replace(one, cause=cause, detail=f"{detail}; {one.detail}" if one.detail else detail, fix=_FIXES[cause])


def _break_of_record(row: VerdictRow, deliveries: DeliveryNotes, late: LateNotes | None) -> Break:
    note = deliveries.get((row.entity, "create", row.salesforce_key)) if row.salesforce_key else None
    cause = cause_of_record(row, note)
    rejected = note.message if note is not None and cause is Cause.DELIVERY_REJECTED else None
    return Break(
        identity=identity_of(row.entity, row.company, row.salesforce_key or row.d365_key or "", row.verdict),
        entity=row.entity,
        company=row.company,
        currency=row.currency,
        salesforce_key=row.salesforce_key,
        d365_key=row.d365_key,
        line_key=None,
        subject=row.verdict,
        salesforce_value=_text(row.salesforce_amount),
        d365_value=_text(row.d365_amount),
        amount=_at_stake(row),
        cause=cause,
        owner="salesforce" if row.salesforce_key else "d365",
        detail=rejected or _record_detail(row, cause, late),
        fix=_FIXES[cause],
    )


def _record_detail(row: VerdictRow, cause: Cause, late: LateNotes | None) -> str:
    """The reason, and what the policies of the contract make of it."""
    if late is not None and cause in {Cause.NOT_WON, Cause.DELETED_IN_SALESFORCE}:
        processing = late.processing.get((row.company, row.d365_key or ""), "")
        return f"{row.reason}: {processing}" if processing else row.reason or ""
    if late is not None and late.is_amended_by_policy and cause is Cause.LINE_DIFFERS:
        return (
            "an order whose lines were added or removed is not amended: a line that is sent twice would be there twice"
        )
    return row.reason or ""


def _break_of_field(row: DifferenceRow, deliveries: DeliveryNotes, late: LateNotes | None) -> Break:
    note = deliveries.get((row.entity, "update", row.salesforce_key))
    follows = late if row.entity == "sales_order" and row.owner == "salesforce" else None
    cause = cause_of_field(
        row, note, is_amended=follows is not None and follows.obstacles.get(row.salesforce_key) == ""
    )
    key = row.salesforce_key if row.line_key is None else f"{row.salesforce_key}/{row.line_key}"
    if row.part_key is not None:
        key = f"{key}/{row.part_key}"
    return Break(
        identity=identity_of(row.entity, row.company, key, row.field),
        entity=row.entity,
        company=row.company,
        currency=row.currency,
        salesforce_key=row.salesforce_key,
        d365_key=row.d365_key,
        line_key=row.line_key,
        subject=row.field,
        salesforce_value=row.salesforce_stored,
        d365_value=row.d365_stored,
        amount=row.amount,
        cause=cause,
        owner=row.owner,
        detail=note.message
        if note is not None and cause is Cause.DELIVERY_REJECTED
        else _field_detail(row, cause, follows),
        fix=_FIXES[cause],
    )


def _field_detail(row: DifferenceRow, cause: Cause, late: LateNotes | None) -> str:
    """Why the order was not brought to its opportunity; empty where that is no question."""
    if row.note is not None:
        return row.note
    if late is None or cause is not Cause.VALUE_DIFFERS:
        return ""
    if not late.is_amended_by_policy:
        return "the order is there, and by the contract a later change of its opportunity is only reported"
    obstacle = late.obstacles.get(row.salesforce_key)
    return f"the order is not amended: {obstacle}" if obstacle else ""


def causes_by_record(breaks: Iterable[Break]) -> list[tuple[tuple[str | None, str | None], str, str, bool]]:
    """For each order that has breaks: its keys, its company, the cause of its difference in money, and whether that explains it.

    What is said about the whole record comes first, then its money fields, then the rest. Made for `reconciliation.explain`.
    """
    best: dict[tuple[str | None, str | None, str], tuple[int, Cause]] = {}
    for one in breaks:
        if one.entity != "sales_order":
            continue
        rank = 0 if one.subject in _VERDICTS else 1 if one.amount is not None else 2
        key = (one.salesforce_key, one.d365_key, one.company)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, one.cause)
    return [((sf, d365), company, str(cause), cause.explains) for (sf, d365, company), (_, cause) in best.items()]


def cause_of_record(row: VerdictRow, note: DeliveryNote | None) -> Cause:
    """The cause of a break that is about a whole record. `note` is what the ledger knows about its creation in D365."""
    for reason, cause in _CAUSES_BY_REASON:
        if row.reason is not None and row.reason.startswith(reason):
            return cause
    match row.verdict:
        case Verdict.QUARANTINED:
            return Cause.QUARANTINED
        case Verdict.DUPLICATE:
            return Cause.DUPLICATE
        case Verdict.ONLY_IN_SALESFORCE if row.entity.endswith("_line"):
            return Cause.LINE_DIFFERS
        case Verdict.ONLY_IN_SALESFORCE:
            return _cause_of_absence(note)
        case Verdict.ONLY_IN_D365:
            return Cause.LINE_DIFFERS if row.entity.endswith("_line") else Cause.ENTERED_IN_D365
        case _:
            return Cause.VALUE_DIFFERS


def cause_of_field(row: DifferenceRow, note: DeliveryNote | None, *, is_amended: bool = False) -> Cause:
    """The cause of a break that is about one field. `note` is what the ledger knows about the last update of the record in D365.

    `is_amended`: the policy for changes after delivery has it written, whatever the field itself says.
    """
    if row.kind is DifferenceKind.DAMAGED_CHARACTERS:
        return Cause.DAMAGED_CHARACTERS
    if row.on_difference != "write" and not is_amended:
        return Cause.VALUE_DIFFERS
    if row.owner == "salesforce" and note is not None:
        # A confirmed update says nothing about today's difference; a refused or lost one does.
        updates = {"rejected": Cause.DELIVERY_REJECTED, "in_doubt": Cause.DELIVERY_IN_DOUBT}
        return updates.get(note.state, Cause.WRITE_PENDING)
    return Cause.WRITE_PENDING


_CAUSES_BY_REASON: tuple[tuple[Reason, Cause], ...] = (
    (Reason.LINK_AMBIGUOUS, Cause.LINK_UNCLEAR),
    (Reason.LINK_TAKEN, Cause.LINK_UNCLEAR),
    (Reason.ON_AN_ORDER, Cause.LINK_UNCLEAR),
    (Reason.LINK_BROKEN, Cause.DELIVERED_AND_GONE),
    (Reason.MERGED_AWAY, Cause.LINK_UNCLEAR),
    (Reason.NO_COMPANY, Cause.CANNOT_BE_DELIVERED),
    (Reason.NO_ACCOUNT, Cause.CANNOT_BE_DELIVERED),
    (Reason.NO_LINES, Cause.CANNOT_BE_DELIVERED),
    (Reason.ACCOUNT_QUARANTINED, Cause.CANNOT_BE_DELIVERED),
    (Reason.ORDER_CANCELED, Cause.CANCELED_IN_D365),
    (Reason.LINE_CANCELED, Cause.CANCELED_IN_D365),
    (Reason.NOT_WON, Cause.NOT_WON),
    (Reason.DELETED, Cause.DELETED_IN_SALESFORCE),
)


def _cause_of_absence(note: DeliveryNote | None) -> Cause:
    if note is None:
        return Cause.NOT_DELIVERED_YET
    if note.state == "confirmed":
        return Cause.DELIVERED_IN_THIS_RUN if note.in_this_run else Cause.DELIVERED_AND_GONE
    return {
        "planned": Cause.DELIVERY_PLANNED,
        "claimed": Cause.DELIVERY_PLANNED,
        "sent": Cause.DELIVERY_IN_DOUBT,
        "in_doubt": Cause.DELIVERY_IN_DOUBT,
        "rejected": Cause.DELIVERY_REJECTED,
    }.get(note.state, Cause.NOT_DELIVERED_YET)


def _at_stake(row: VerdictRow) -> Decimal | None:
    if row.salesforce_amount is None and row.d365_amount is None:
        return None
    return abs((row.salesforce_amount or Decimal(0)) - (row.d365_amount or Decimal(0)))


def _text(amount: Decimal | None) -> str | None:
    """Two decimals at least, as people write money, and every one that it has."""
    if amount is None:
        return None
    exact = amount.normalize()
    return f"{exact:.{max(2, -int(exact.as_tuple().exponent))}f}"
