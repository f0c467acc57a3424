"""A report as one page: everything inline, readable from a folder, on paper and without script.

What stands on the page is in `templates/`; this module says how a value of each kind is written there. Jinja escapes every text, and each
text of a system is isolated in `<bdi>`, so that neither markup nor writing direction in a name can reach the rest of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import tieout
from tieout.report import figures
from tieout.report.model import Report
from tieout.report.pictures import currency_pictures, verdict_pictures
from tieout.report.rows import DELIVERY_STATES, VERDICTS
from tieout.report.tables import Kind, Table, tables_of
from tieout.report.visible import segments_of
from tieout.report.whole_file import whole_file

BREAKS_SHOWN = 500
ROWS_SHOWN = 200


def write_html(report: Report, path: Path, *, breaks_shown: int = BREAKS_SHOWN, rows_shown: int = ROWS_SHOWN) -> None:
    """Write the page to `path`, whole or not at all.

    Longer tables are cut with a sentence that says so and names the workbook beside the page (same name, `.xlsx`), which holds them whole.
    """
    page = _environment().get_template("report.html.j2")
    context = {
        "report": report,
        "headline": report.headline,
        "tables": {
            name: _shown(table, breaks_shown if name == "Breaks" else rows_shown)
            for name, table in tables_of(report).items()
        },
        "currencies": currency_pictures(report),
        "entities": verdict_pictures(report),
        "deliveries_by_state": _state_grid(report),
        "workbook": path.with_suffix(".xlsx").name,
        "version": tieout.__version__,
    }
    # A lone surrogate in a name has no UTF-8 form; as a character reference it cannot break the file.
    with whole_file(path) as part, part.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
        file.writelines(page.generate(context))


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table as far as the page shows it."""

    table: Table
    rows: Sequence[Any]
    total: int

    @property
    def is_cut(self) -> bool:
        return len(self.rows) < self.total


def _shown(table: Table, most: int) -> ShownTable:
    return ShownTable(table, [table.rows[number] for number in range(min(most, len(table.rows)))], len(table.rows))


def _state_grid(report: Report) -> list[dict[str, Any]]:
    """One row per entity with its deliveries by state, over all runs."""
    entities = dict.fromkeys(row.entity for row in report.delivery_counts)
    return [
        {"entity": entity}
        | {
            state: sum(row.deliveries for row in report.delivery_counts if (row.entity, row.state) == (entity, state))
            for state in DELIVERY_STATES
        }
        for entity in entities
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tieout.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        money=figures.money,
        signed=figures.signed_money,
        count=figures.count,
        instant=figures.instant,
        day=figures.day,
        seconds=figures.seconds,
        words=figures.words,
        foreign=foreign_text,
        cell=cell,
    )
    environment.tests["same_to_the_eye"] = same_to_the_eye
    environment.globals.update(
        number_of=figures.number_of,
        share=figures.share,
        age=figures.age_in_days,
        verdicts=VERDICTS,
        delivery_states=DELIVERY_STATES,
    )
    return environment


def foreign_text(text: str | None, other: str | None = None) -> Markup:
    """A text of a system, isolated and with its unseen characters named. With `other`, what differs from it is marked."""
    if text is None or text == "":
        return Markup('<span class="empty">empty</span>')
    return Markup("<bdi>{}</bdi>").format(Markup("").join(_segment(each) for each in segments_of(text, other)))


def same_to_the_eye(compared: str, stored: str | None) -> bool:
    """Whether a compared value only repeats the stored one in small letters, without separators or blanks. The workbook has both."""
    return _letters(compared) == _letters(stored or "")


def _letters(text: str) -> str:
    return "".join(each for each in text.casefold() if not each.isspace() and each != ",")


def _segment(segment: Any) -> Markup:
    match segment.kind:
        case "different":
            return Markup("<mark>{}</mark>").format(segment.text)
        case "blank":
            return Markup('<span class="blank" title="{}">{}</span>').format(segment.name, segment.text)
        case "code":
            return Markup('<span class="code">{}</span>').format(segment.name)
        case _:
            return Markup("{}").format(segment.text)


def cell(value: Any, kind: Kind) -> Markup:
    """The inside of a cell of a plain table."""
    if value is None or value == "":
        return Markup("")
    match kind:
        case "money":
            return Markup("{}").format(figures.money(value))
        case "count":
            return Markup("{}").format(figures.count(value))
        case "seconds":
            return Markup("{}").format(figures.seconds(value))
        case "instant":
            return Markup("<time datetime='{}'>{}</time>").format(value.isoformat(), figures.instant(value))
        case "text" | "key":
            return foreign_text(str(value))
        case "word":
            return Markup("{}").format(value)
