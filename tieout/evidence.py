"""Why a value differs: what Tieout sent, how large the difference is, whether the contract knows the value.

Pure. `assets/evidence.py` gathers it for the records that differ, and for no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tieout.contract import Contract, Contracts, Field
from tieout.reconciliation.fields import LINE_PREFIX
from tieout.reconciliation.rows import DifferenceRow

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Sent:
    """What D365 was given for one record: header properties, and lines by the id of their opportunity line; `at` is the newest of it."""

    header: Mapping[str, Any]
    lines: Mapping[str, Mapping[str, Any]]
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the records that differ.

    `sent`: (entity, Salesforce id, company) → what D365 confirmed. `line_counts`: Salesforce id of an order → its lines. `rules`: key of a
    quarantined record → the rules that it breaks, without its values. `held_back`: company → why its planned orders are not sent.
    """

    contracts: Contracts
    sent: Mapping[tuple[str, str, str], Sent] = field(default_factory=dict)
    line_counts: Mapping[str, int] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    held_back: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinerCause:
    """The value of a cause, and the sentence that says how it is known."""

    cause: str
    detail: str


def finer_cause(row: DifferenceRow, evidence: Evidence) -> FinerCause | None:
    """Why the two values of a linked pair differ; None where the evidence does not say."""
    contract = evidence.contracts[row.entity]
    known = _field_of(contract, row.field)
    if known is None:
        return None
    return _unmapped(row, known, contract) or _rounded(row, evidence) or _edited(row, known, contract, evidence)


def _unmapped(row: DifferenceRow, known: Field, contract: Contract) -> FinerCause | None:
    if known.values is None:
        return None
    sides = {"Salesforce": ("salesforce", row.salesforce_stored), "D365": ("d365", row.d365_stored)}
    for name, (system, stored) in sides.items():
        is_mapped = bool(known.values.of(system))  # type: ignore[arg-type]  # both are systems
        if stored and is_mapped and known.values.common(system, stored) is None:  # type: ignore[arg-type]
            return FinerCause(
                "mapping_missing",
                f"{name} has {stored!r}, which the value map {known.values.name} of {contract.file} does not know",
            )
    return None


def _rounded(row: DifferenceRow, evidence: Evidence) -> FinerCause | None:
    """A cent for each line: what rounding the lines instead of their sum, or the other way round, can come to."""
    lines = 1 if row.line_key else evidence.line_counts.get(row.salesforce_key, 1)
    if row.amount is None or not Decimal(0) < row.amount <= CENT * lines:
        return None
    return FinerCause(
        "rounding", f"{row.amount.normalize():f} {row.currency} over {lines} {'line' if lines == 1 else 'lines'}"
    )


def _edited(row: DifferenceRow, known: Field, contract: Contract, evidence: Evidence) -> FinerCause | None:
    sent = evidence.sent.get((row.entity, row.salesforce_key, row.company))
    value = None if sent is None else _sent_value(row, known, contract, sent)
    if sent is None or value is None:
        return None
    in_d365, in_salesforce = _same(value, row.d365_stored), _same(value, row.salesforce_stored)
    when = f"sent {value} on {sent.at:%Y-%m-%d}"
    if in_d365 and not in_salesforce:
        return FinerCause("edited_in_salesforce", f"{when}; Salesforce has {row.salesforce_stored or 'nothing'} since")
    if in_salesforce and not in_d365:
        return FinerCause("edited_in_d365", f"{when}; D365 has {row.d365_stored or 'nothing'} since")
    if not in_d365:
        return FinerCause("edited_in_d365", f"{when}; both sides have other values since")
    return None


def _sent_value(row: DifferenceRow, known: Field, contract: Contract, sent: Sent) -> str | None:
    """As D365 got it, in text; None where it was not sent, or where it cannot be told."""
    if row.line_key is not None:
        return _text(sent.lines.get(row.line_key, {}).get(known.d365 or ""))
    if known.d365_sum_of is not None and contract.lines is not None:
        amounts = [line.get(contract.lines.field(known.d365_sum_of).d365 or "") for line in sent.lines.values()]
        return _text(sum(map(Decimal, map(str, amounts)), Decimal(0))) if amounts and None not in amounts else None
    return _text(sent.header.get(known.d365 or "")) if len(known.d365_columns) == 1 else None


def _field_of(contract: Contract, name: str) -> Field | None:
    lines = contract.lines
    fields = lines.fields if lines is not None and name.startswith(LINE_PREFIX) else contract.fields
    bare = name.removeprefix(LINE_PREFIX)
    return next((each for each in fields if each.name == bare), None)


def _same(sent: str, stored: str | None) -> bool:
    if stored is None:
        return sent == ""
    try:
        return Decimal(sent) == Decimal(stored)
    except InvalidOperation:
        # D365 gives a date back with a time of day; blanks and case are the comparison's business, not an edit.
        return sent[:10] == stored[:10] if _is_day(sent) else sent.strip().casefold() == stored.strip().casefold()


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def _text(value: object) -> str | None:
    if value is None:
        return None
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
