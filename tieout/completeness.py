"""The proof that an extraction is complete: what Salesforce counts and adds up against what the lake holds.

Two systems of one number are only comparable at rest. What is compared is therefore every record that has not changed since the read
began: Salesforce counts those by their stamp, and the lake leaves out the records that Salesforce names as changed since. So the proof holds
while people work, to the last record; and a record that became visible late, with a stamp from before, is one that Salesforce counts and the
lake does not hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tieout.canonical import MONEY_TYPE
from tieout.contract import Table
from tieout.sql import literal, quoted

CURRENCY, DELETED = "CurrencyIsoCode", "IsDeleted"
A_CENT = Decimal("0.01")
_DOUBLE = Decimal("2.3e-16")
"""What each addition may lose of a sum: Salesforce adds up in binary floating point."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Records of one currency that are not deleted (all of them, where the object has no currency), and the sum of each number column."""

    rows: int
    sums: Mapping[str, Decimal]


ByCurrency = Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared. `as_of`: records that changed at or after it (`changed_since` of them) are left to the next read.

    `missed`: records that a sweep of all keys found and the read had not brought; `gone`: records that it found to be there no more.
    `problem` says what does not agree; empty where the proof holds.
    """

    as_of: datetime
    source: ByCurrency
    stored: ByCurrency
    changed_since: int
    missed: int = 0
    gone: int = 0
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the ledger; decimals as text."""
        return {
            "as_of": self.as_of.isoformat(),
            "source": _plain(self.source),
            "stored": _plain(self.stored),
            "changed_since": self.changed_since,
            "missed": self.missed,
            "gone": self.gone,
        }

    def as_markdown(self) -> str:
        """A table for people: one row for each currency and figure, both sides beside each other."""
        lines = ["| Currency | Figure | Salesforce | Lake |", "|---|---|---:|---:|"]
        for currency in sorted(self.source.keys() | self.stored.keys()):
            theirs, ours = self.source.get(currency, _NOTHING), self.stored.get(currency, _NOTHING)
            lines.append(f"| {currency} | records | {theirs.rows:,} | {ours.rows:,} |")
            lines += [
                f"| {currency} | sum of {name} | {theirs.sums.get(name, _ZERO):,.2f} | {ours.sums.get(name, _ZERO):,.2f} |"
                for name in sorted(theirs.sums.keys() | ours.sums.keys())
            ]
        text = "\n".join(lines)
        text += (
            f"\n\nRecords that have not changed since {self.as_of:%Y-%m-%d %H:%M:%S} UTC; {self.changed_since:,} have."
        )
        if self.missed or self.gone:
            text += f" A sweep of all keys found {self.missed:,} more, and {self.gone:,} that are there no more."
        return text


_ZERO = Decimal(0)
_NOTHING = Figures(0, {})


def disagreement(table: Table, source: ByCurrency, stored: ByCurrency) -> str:
    """What the two sides do not agree on, in one sentence; empty where they agree."""
    found = []
    for currency in sorted(source.keys() | stored.keys()):
        theirs, ours = source.get(currency, _NOTHING), stored.get(currency, _NOTHING)
        of = f" in {currency}" if currency else ""
        if theirs.rows != ours.rows:
            found.append(f"{theirs.rows:,} records{of} and {ours.rows:,} here")
            continue
        for name in sorted(theirs.sums.keys() | ours.sums.keys()):
            there, here = theirs.sums.get(name, _ZERO), ours.sums.get(name, _ZERO)
            if abs(there - here) > max(A_CENT, abs(there) * _DOUBLE * max(theirs.rows, 1)):
                found.append(f"{name} of {there:,.2f}{of} and {here:,.2f} here")
    return f"{table.source}: Salesforce has {'; '.join(found)}." if found else ""


def summed_columns(table: Table) -> tuple[str, ...]:
    """The number columns whose sums are compared."""
    return tuple(column.name for column in table.columns if column.type == "decimal")


def has_currency(table: Table) -> bool:
    """Whether figures are kept apart by currency. Without that, Salesforce would convert a sum to the currency of the organisation."""
    return any(column.name == CURRENCY for column in table.columns)


def source_figures(table: Table, records: Sequence[Mapping[str, Any]]) -> ByCurrency:
    """The answer to `tieout.soql.untouched_figures`: unnamed expressions are `expr0`, `expr1`, … in the order of the statement."""
    names = summed_columns(table)
    return {
        str(record.get(CURRENCY) or ""): Figures(
            int(record["expr0"]),
            {name: Decimal(str(record.get(f"expr{place}") or 0)) for place, name in enumerate(names, start=1)},
        )
        for record in records
        if record["expr0"]
    }


def stored_statement(table: Table, good: str, quarantined: str) -> str:
    """SELECT currency, rows and sums over good and quarantined rows that are not deleted, without the keys of the relation `touched`."""
    names = summed_columns(table)
    deleted = any(column.name == DELETED for column in table.columns)
    parts = []
    for relation, value in ((good, _column), (quarantined, _in_json)):
        columns = [f"{value(CURRENCY, 'VARCHAR')} AS currency" if has_currency(table) else "'' AS currency"]
        columns += [f"{value(name, MONEY_TYPE)} AS {quoted(name)}" for name in names]
        live = f" AND NOT coalesce({value(DELETED, 'BOOLEAN')}, false)" if deleted else ""
        parts.append(f"SELECT {', '.join(columns)} FROM {relation} WHERE _key NOT IN (SELECT _key FROM touched){live}")
    sums = "".join(f", sum({quoted(name)}) AS {quoted(name)}" for name in names)
    union = "\nUNION ALL\n".join(parts)
    return f"SELECT coalesce(currency, '') AS currency, count(*) AS row_count{sums}\nFROM (\n{union}\n)\nGROUP BY 1"


def stored_figures(table: Table, rows: Sequence[Sequence[Any]]) -> ByCurrency:
    """The answer to `stored_statement`."""
    names = summed_columns(table)
    return {
        currency: Figures(count, {name: value or _ZERO for name, value in zip(names, sums, strict=True)})
        for currency, count, *sums in rows
    }


def _column(name: str, kind: str) -> str:
    return f"{quoted(name)}::{kind}"


def _in_json(name: str, kind: str) -> str:
    return f'TRY_CAST("row" ->> {literal(name)} AS {kind})'


def _plain(figures: ByCurrency) -> dict[str, Any]:
    return {
        currency: {"rows": each.rows, "sums": {name: f"{value:f}" for name, value in each.sums.items()}}
        for currency, each in figures.items()
    }
