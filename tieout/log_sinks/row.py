"""One row of the integration log, its key in a target, and its columns there with their kinds and lengths."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

Kind = Literal["line", "text", "direction", "instant", "whole", "decimal"]
Value = str | int | Decimal | datetime | None

DIRECTIONS = {"to_d365": "To D365", "to_salesforce": "To Salesforce"}
"""The choices of the column `direction`, in their order: the ledger knows no other."""

# What XML 1.0 cannot hold is refused by both targets, whose columns travel as XML inside: controls, lone surrogates, non-characters.
_NOT_TAKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LINE_ENDS = re.compile("[\t\n\r]")


@dataclass(frozen=True, slots=True)
class LogRow:
    """One record and attempt, as the view `tieout.integration_log` tells it."""

    attempt_id: int
    at: datetime
    run_id: str
    direction: str
    entity: str
    operation: str
    company: str
    business_key: str
    d365_key: str
    outcome: str
    state: str
    reason: str
    http_status: int | None
    duration_ms: int | None
    api_calls: Decimal

    @property
    def log_key(self) -> str:
        """What is unique in a target: instant and number, such as `20261123T151612.000123Z-17`.

        A number alone would not do: another ledger, or an older copy of this one, gives the same numbers again. No character of it needs
        escaping in the key of an address (facts 8.1).
        """
        return f"{self.at.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z-{self.attempt_id}"

    @property
    def title(self) -> str:
        """The row in a few words, for lists."""
        return f"{self.operation} {self.entity.replace('_', ' ')} {self.business_key}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a target: our name, the end of its logical name in Dataverse, its internal name in SharePoint.

    `longest` counts UTF-16 units, as both targets do; 0 where the kind has no length.
    """

    name: str
    dataverse: str
    sharepoint: str
    kind: Kind
    longest: int = 0

    def value_of(self, row: LogRow) -> Value:
        """What goes into this column: texts cut visibly, nothing for an empty one."""
        value = getattr(row, self.name)
        if isinstance(value, str):
            if self.kind == "direction":
                return value
            return shown(value, self.longest, one_line=self.kind == "line") or None
        return value  # type: ignore[no-any-return]


KEY = Column("log_key", "logkey", "LogKey", "line", 100)
COLUMNS = (
    KEY,
    Column("title", "name", "Title", "line", 200),
    Column("attempt_id", "attemptid", "AttemptId", "decimal"),
    Column("at", "at", "At", "instant"),
    Column("run_id", "runid", "RunId", "line", 100),
    Column("direction", "direction", "Direction", "direction"),
    Column("entity", "entity", "Entity", "line", 100),
    Column("operation", "operation", "Operation", "line", 100),
    Column("company", "company", "Company", "line", 100),
    Column("business_key", "businesskey", "BusinessKey", "line", 200),
    Column("d365_key", "d365key", "D365Key", "line", 200),
    Column("outcome", "outcome", "Outcome", "line", 100),
    Column("state", "state", "State", "line", 100),
    Column("reason", "reason", "Reason", "text", 4000),
    Column("http_status", "httpstatus", "HttpStatus", "whole"),
    Column("duration_ms", "durationms", "DurationMs", "whole"),
    Column("api_calls", "apicalls", "ApiCalls", "decimal"),
)
"""Every column of a target; docs/logs.md says how to make them."""


def shown(text: str, longest: int, *, one_line: bool = False) -> str:
    """`text` as a target takes it: what it would refuse is named (`⟨U+0001⟩`), what is too long is cut with a mark that says how long it was.

    Formulas, markup and emoji stay as they are: the columns are plain text.
    """
    named = _NOT_TAKEN.sub(_code, text)
    if one_line:
        named = _LINE_ENDS.sub(_code, named)
    if _units(named) <= longest:
        return named
    mark = f" … [cut, {len(text):,} characters]"
    room = longest - _units(mark)
    kept = named.encode("utf-16-le")[: 2 * room].decode("utf-16-le", errors="ignore")  # never half of an emoji
    return kept + mark


def _code(found: re.Match[str]) -> str:
    return f"⟨U+{ord(found[0]):04X}⟩"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
