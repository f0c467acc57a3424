"""The pictures of a report: bars and bridges as inline SVG, without text of their own.

Positions are percentages of the width, so a picture fits any column; labels and figures stand beside it in HTML, where they can be read,
wrapped and copied. Colours are classes of the page's style sheet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from markupsafe import Markup

from tieout.report.figures import share, words
from tieout.report.model import Report, add
from tieout.report.rows import VERDICTS, ZERO, BridgePart, CurrencyTotal

StepKind = Literal["explained", "other", "unexplained"]
MOST_CAUSES = 6
_LEAST_VISIBLE = Decimal("0.6")  # per cent of the width: thinner than this and a real amount looks like nothing


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the bridge from nothing to the difference, and its picture."""

    label: str
    kind: StepKind
    amount: Decimal
    records: int | None
    picture: Markup


@dataclass(frozen=True, slots=True)
class CurrencyPicture:
    """One currency: both totals on one scale, and the difference taken apart on a scale of its own."""

    total: CurrencyTotal
    salesforce: Markup
    d365: Markup
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class VerdictShare:
    """One part of an entity's bar."""

    verdict: str
    records: int
    share: str


@dataclass(frozen=True, slots=True)
class VerdictPicture:
    """One entity: a bar of its verdicts, and the parts that it consists of."""

    entity: str
    records: int
    picture: Markup
    parts: tuple[VerdictShare, ...]


def currency_pictures(report: Report) -> list[CurrencyPicture]:
    """A picture per currency: the ones with something unexplained first, then the ones that differ, then the ones that agree."""
    totals = sorted(
        report.currency_totals(), key=lambda total: (not total.unexplained, not total.difference, total.currency)
    )
    return [_currency_picture(total, report.bridge) for total in totals]


def verdict_pictures(report: Report) -> list[VerdictPicture]:
    """A picture per entity, in the order of the report."""
    return [_verdict_picture(report, entity) for entity in report.entities]


def _currency_picture(total: CurrencyTotal, bridge: Iterable[BridgePart]) -> CurrencyPicture:
    largest = max(abs(total.salesforce), abs(total.d365))
    parts = _parts_of(total, [each for each in bridge if each.currency == total.currency])
    pictures = _bridge([(part.kind, part.amount) for part in parts])
    return CurrencyPicture(
        total=total,
        salesforce=_bar(total.salesforce, largest, "salesforce"),
        d365=_bar(total.d365, largest, "d365"),
        steps=tuple(
            Step(part.label, part.kind, part.amount, part.records, picture)
            for part, picture in zip(parts, pictures, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    label: str
    kind: StepKind
    amount: Decimal
    records: int | None


def _parts_of(total: CurrencyTotal, bridge: Sequence[BridgePart]) -> list[_Part]:
    """The parts that add up to the difference: the largest causes, the other causes, and on both sides what no cause is named for."""
    causes = _by_cause(bridge)
    rest = causes[MOST_CAUSES:]
    parts = causes[:MOST_CAUSES]
    if rest:
        kind: StepKind = "other" if all(part.kind == "explained" for part in rest) else "unexplained"
        parts.append(
            _Part(
                f"{len(rest)} other causes",
                kind,
                add(part.amount for part in rest),
                sum(part.records or 0 for part in rest),
            )
        )
    explained = add(each.amount for each in bridge if each.is_explained)
    unexplained = add(each.amount for each in bridge if not each.is_explained)
    if total.explained != explained:
        parts.append(
            _Part("Explained otherwise" if explained else "Explained", "other", total.explained - explained, None)
        )
    if total.unexplained != unexplained:
        parts.append(_Part("Unexplained", "unexplained", total.unexplained - unexplained, None))
    return parts


def _by_cause(bridge: Sequence[BridgePart]) -> list[_Part]:
    """One part per cause over all companies, the largest first; what adds nothing is left out."""
    parts = []
    for cause, is_explained in dict.fromkeys((each.cause, each.is_explained) for each in bridge):
        same = [each for each in bridge if (each.cause, each.is_explained) == (cause, is_explained)]
        amount = add(each.amount for each in same)
        kind: StepKind = "explained" if is_explained else "unexplained"
        if amount:
            parts.append(_Part(words(cause), kind, amount, sum(each.records for each in same)))
    return sorted(parts, key=lambda part: -abs(part.amount))


def _bar(amount: Decimal, largest: Decimal, css_class: str) -> Markup:
    width = abs(amount) * 100 / largest if largest else ZERO
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect class="track" width="100%" height="100%"/><rect class="{}" width="{}%" height="100%"/></svg>'
    ).format(css_class, _percent(_visible(width)))


def _bridge(parts: Sequence[tuple[StepKind, Decimal]]) -> list[Markup]:
    """One picture per part: a bar from where the part before it ended, with a line that leads to the next."""
    ends = [ZERO]
    for _, amount in parts:
        ends.append(ends[-1] + amount)
    low, high = min(ends), max(ends)
    span = (high - low) or Decimal(1)
    at = [(end - low) * 100 / span for end in ends]
    return [
        _bridge_step(at[number], at[number + 1], at[0], kind, is_first=number == 0, is_last=number == len(parts) - 1)
        for number, (kind, _) in enumerate(parts)
    ]


def _bridge_step(
    start: Decimal, end: Decimal, zero: Decimal, kind: StepKind, *, is_first: bool, is_last: bool
) -> Markup:
    width = _visible(abs(end - start))
    left = min(min(start, end), 100 - width)
    lines = [_line("axis", zero, "0", "100%")]
    if not is_first:
        lines.append(_line("lead", start, "0", "30%"))
    if not is_last:
        lines.append(_line("lead", end, "70%", "100%"))
    bar = Markup('<rect class="{}" x="{}%" width="{}%" y="22%" height="56%"/>').format(
        kind, _percent(left), _percent(width)
    )
    return Markup('<svg class="step" aria-hidden="true">{}{}</svg>').format(Markup("").join(lines), bar)


def _line(css_class: str, x: Decimal, top: str, bottom: str) -> Markup:
    return Markup('<line class="{}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(
        css_class, _percent(x), _percent(x), top, bottom
    )


def _verdict_picture(report: Report, entity: str) -> VerdictPicture:
    counts = [(verdict, report.verdict_records(entity, verdict)) for verdict in VERDICTS]
    counts = [(verdict, records) for verdict, records in counts if records]
    total = sum(records for _, records in counts)
    described = ", ".join(f"{words(verdict)} {records}" for verdict, records in counts) or "no records"
    return VerdictPicture(
        entity=entity,
        records=total,
        picture=Markup('<svg class="shares" role="img" aria-label="{}: {}">{}</svg>').format(
            words(entity), described, Markup("").join(_share_bars(counts, total))
        ),
        parts=tuple(VerdictShare(verdict, records, share(records, total)) for verdict, records in counts),
    )


def _share_bars(counts: Sequence[tuple[str, int]], total: int) -> list[Markup]:
    """Bars side by side; the thinnest are widened to be seen, and the widest gives the room for it."""
    widths = [_visible(Decimal(records) * 100 / total) for _, records in counts]
    if widths:
        widths[widths.index(max(widths))] -= sum(widths) - 100
    bars, left = [], ZERO
    for (verdict, records), width in zip(counts, widths, strict=True):
        bars.append(
            Markup('<rect class="v-{}" x="{}%" width="{}%" height="100%"><title>{}: {}</title></rect>').format(
                verdict, _percent(left), _percent(width), words(verdict), records
            )
        )
        left += width
    return bars


def _visible(width: Decimal) -> Decimal:
    return max(width, _LEAST_VISIBLE) if width else width


def _percent(value: Decimal) -> str:
    return f"{value:.3f}"
