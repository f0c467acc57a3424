"""What a run comes down to: one line, and whether it is good news.

A report ties out when something was compared, every table was read completely, no break is open, and no cent is unexplained.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from tieout.report.figures import count, money, number_of
from tieout.report.rows import CurrencyTotal

if TYPE_CHECKING:
    from tieout.report.model import Report

Tone = Literal["good", "attention", "nothing"]


@dataclass(frozen=True, slots=True)
class Headline:
    """`title` is the first line of page and workbook, `money` says how the totals stand, `notes` what else to know before signing."""

    tone: Tone
    title: str
    money: str
    notes: tuple[str, ...]
    ties_out: bool
    open_breaks: int
    waiting_for_person: int
    difference: dict[str, Decimal]
    explained: dict[str, Decimal]
    unexplained: dict[str, Decimal]


def headline_of(report: Report) -> Headline:
    """Decide the headline from the open breaks, the totals and the completeness of the reads."""
    totals = report.currency_totals()
    open_breaks = sum(1 for each in report.breaks if each.is_open)
    waiting = sum(1 for each in report.breaks if each.is_open and each.needs_person)
    unexplained = {total.currency: total.unexplained for total in totals if total.unexplained}
    incomplete = [
        f"{source.system}/{read.table}" for source in report.sources for read in source.reads if not read.complete
    ]
    compared = any(row.records for row in report.verdicts) or bool(totals or report.breaks)
    ties_out = compared and not (incomplete or open_breaks or unexplained)
    return Headline(
        tone="good" if ties_out else "attention" if compared or incomplete else "nothing",
        title=_title(compared, incomplete, open_breaks, waiting, unexplained),
        money=_money_sentence(totals),
        notes=tuple(_notes(report, incomplete, open_breaks, waiting)),
        ties_out=ties_out,
        open_breaks=open_breaks,
        waiting_for_person=waiting,
        difference={total.currency: total.difference for total in totals},
        explained={total.currency: total.explained for total in totals},
        unexplained={total.currency: total.unexplained for total in totals},
    )


def _title(
    compared: bool, incomplete: list[str], open_breaks: int, waiting: int, unexplained: dict[str, Decimal]
) -> str:
    if incomplete:
        return "Not proven: a table was not read completely"
    if not compared:
        return "Nothing was compared"
    if waiting:
        return f"{number_of(waiting, 'difference')} {'waits' if waiting == 1 else 'wait'} for a person"
    if unexplained:
        return f"{_listed([f'{currency} {money(amount)}' for currency, amount in unexplained.items()])} {'is' if len(unexplained) == 1 else 'are'} unexplained"
    if open_breaks:
        return f"{number_of(open_breaks, 'difference')} {'settles' if open_breaks == 1 else 'settle'} in the next run"
    return "Ties out"


def _money_sentence(totals: tuple[CurrencyTotal, ...]) -> str:
    if not totals:
        return "No order amounts were compared."
    whole = {1: "the one currency", 2: "both currencies"}.get(len(totals), f"all {count(len(totals))} currencies")
    differing = [total for total in totals if total.difference]
    unexplained = [total for total in totals if total.unexplained]
    if not differing and not unexplained:
        return f"Order amounts agree to the cent in {whole}."
    if len(differing) == len(totals):
        agreeing = f"Order amounts differ in {whole}"
    else:
        agreeing = f"Order amounts agree to the cent in {count(len(totals) - len(differing))} of {number_of(len(totals), 'currency', 'currencies')}"
    if not unexplained:
        return f"{agreeing}; every remaining difference is explained to the cent."
    rest = _listed([f"{total.currency} {money(total.unexplained)}" for total in unexplained])
    return f"{agreeing}; {rest} {'is' if len(unexplained) == 1 else 'are'} unexplained."


def _notes(report: Report, incomplete: list[str], open_breaks: int, waiting: int) -> list[str]:
    notes = []
    if incomplete:
        notes.append(
            f"Not read completely: {_listed(incomplete)}. A record missing there may exist; run again before acting on it."
        )
    if waiting and open_breaks > waiting:
        settling = open_breaks - waiting
        notes.append(
            f"{number_of(settling, 'further difference')} {'settles' if settling == 1 else 'settle'} in the next run."
        )
    in_flight = report.verdict_total("in_flight")
    if in_flight:
        notes.append(
            f"{number_of(in_flight, 'record')} changed while the systems were being read; they are judged in the next run."
        )
    if report.dry_run:
        notes.append("Dry run: nothing was written to either system.")
    sandboxes = [source.system for source in report.sources if source.sandbox]
    if sandboxes:
        notes.append(
            "The figures come from the sandbox, not from a tenant."
            if len(sandboxes) == len(report.sources)
            else f"The {sandboxes[0]} side is the sandbox, not a tenant."
        )
    return notes


def _listed(words: list[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, and with more than `most`: `a, b, c and 4 more`."""
    if len(words) > most:
        words = [*words[:most], f"{count(len(words) - most)} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
