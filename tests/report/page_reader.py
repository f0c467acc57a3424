"""Reads a page of the report as a person does: tables, headings and texts, by the standard library's parser."""

from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "col", "br", "link", "img", "input", "rect", "line", "path"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list["Element | str"] = field(default_factory=list)

    def all(self, tag: str) -> list["Element"]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if child.tag == tag else []
                found += child.all(tag)
        return found

    def with_id(self, identity: str) -> "Element":
        return next(each for each in [self, *self.everything()] if each.attributes.get("id") == identity)

    def everything(self) -> list["Element"]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child, *child.everything()]
        return found

    @property
    def text(self) -> str:
        return " ".join(self.raw_text.split())

    @property
    def raw_text(self) -> str:
        return "".join(child if isinstance(child, str) else child.raw_text for child in self.children)


class _TreeBuilder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Element:
    """The page as a tree. Fails where an element is closed that is not open."""
    builder = _TreeBuilder()
    builder.feed(path.read_text(encoding="utf-8"))
    builder.close()
    assert [each.tag for each in builder.open] == ["#document"]
    return builder.root


def rows_of(section: Element) -> list[list[str]]:
    """The texts of the body cells of all tables of a section."""
    bodies = [body for table in section.all("table") for body in table.all("tbody")]
    return [
        [cell.text for cell in row.children if isinstance(cell, Element) and cell.tag in ("td", "th")]
        for body in bodies
        for row in body.all("tr")
    ]


def company_rows_of(page: Element) -> list[list[str]]:
    """The rows of the table by company and currency, sums included."""
    tables = page.with_id("tie-out").all("table")
    [table] = [each for each in tables if "totals" in (each.attributes.get("class") or "")]
    return rows_of(Element("section", {}, [table]))


def amount_in(text: str) -> Decimal:
    """`−1,234.50` as a number."""
    return Decimal(text.replace(",", "").replace("−", "-"))
