"""The log in a Dataverse table: up to 1,000 rows a call by `UpsertMultiple`, found by their alternate key (facts 8.1)."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from resources.log_sinks.calls import Calls, Patience
from resources.log_sinks.sink import Sent
from tieout.errors import RequestRefused, SourceUnavailable
from tieout.log_sinks import LogRow
from tieout.log_sinks.dataverse import ACTION, ROWS_AT_ONCE, table_problems, upsert_body
from tieout.log_sinks.outcome import Again, Refused, Taken, meaning_of
from tieout.log_sinks.settings import DataverseSettings, SinkName

_RIGHTS = (
    "Make it an application user of the environment, with a security role that may create, read and write rows of the table "
    "(docs/logs.md)."
)
_DEFINITION = (
    "$select=LogicalName,EntitySetName&$expand=Attributes($select=LogicalName,AttributeType),"
    "Keys($select=KeyAttributes,EntityKeyIndexStatus)"
)


MOST_REFUSED_UNPROVEN = 20
"""So many rows may be refused before one is taken; then the table is wrong, not each of them."""


class DataverseTable:
    """One table of one environment."""

    name: SinkName = "dataverse"

    def __init__(
        self,
        settings: DataverseSettings,
        *,
        ca_bundle: Path | None = None,
        wait_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.target = settings.target
        self.rows_at_once = ROWS_AT_ONCE
        self._table = settings.table
        self._calls = Calls(
            "Dataverse",
            settings.application,
            _RIGHTS,
            root="/api/data/v9.2/",
            ca_bundle=ca_bundle,
            wait_file=wait_file,
            sleep=sleep,
        )
        self._definition: dict[str, Any] | None = None
        self._most = ROWS_AT_ONCE
        self._has_taken = False

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._calls.calls

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def problems(self) -> list[str]:
        """As of `Sink`."""
        self._definition = self._described()
        if self._definition is None:
            return [f"There is no table {self._table} (DATAVERSE_TABLE)."]
        return table_problems(self._table, self._definition)

    def may_read(self) -> None:
        """As of `Sink`."""
        self._calls.get(f"{self._entity_set()}?$top=1")

    def send(self, rows: Sequence[LogRow]) -> Iterator[Sent]:
        """As of `Sink`. What was too much for one call goes in two; a row that spoils a call is found by halving it."""
        left, patience = [list(rows)], Patience()
        refused: dict[int, str] = {}
        while left:
            part = left.pop()
            if len(part) > self._most:
                left += [part[self._most :], part[: self._most]]
                continue
            answer = self._calls.once(
                "POST", f"{self._entity_set()}/{ACTION}", upsert_body(self._table, self._entity_set(), part)
            )
            match meaning_of(answer):
                case Taken():
                    patience.renew()
                    self._has_taken = True
                    # It may take more next time, up to what Microsoft names.
                    self._most = min(ROWS_AT_ONCE, self._most * 2)
                    yield Sent([row.attempt_id for row in part])
                case Again(why, wait_s, fewer):
                    if patience.is_at_its_end(wait_s):
                        raise SourceUnavailable(f"{self._calls.name}: {why}")
                    self._most = max(1, len(part) // 2) if fewer else self._most
                    left.append(part)
                    self._calls.pause(patience.failures, wait_s)
                case Refused(why, status):
                    # One row that is not right rolls all of them back: a standard table takes all or none.
                    if status == 404 or (len(refused) >= MOST_REFUSED_UNPROVEN and not self._has_taken):
                        raise RequestRefused(f"{self._calls.name}: {why}", status=status)
                    if len(part) == 1:
                        refused[part[0].attempt_id] = why
                    else:
                        middle = len(part) // 2
                        left += [part[middle:], part[:middle]]
        if refused and not self._has_taken:
            # Nothing was taken beside it, so nobody knows whether the row is wrong or the table.
            raise RequestRefused(f"{self._calls.name}: {next(iter(refused.values()))}", status=400)
        if refused:
            yield Sent([], refused)

    def _entity_set(self) -> str:
        if self._definition is None:
            self._definition = self._described()
        if self._definition is None:
            raise RequestRefused(f"{self._calls.name}: there is no table {self._table} (DATAVERSE_TABLE).", status=404)
        return str(self._definition["EntitySetName"])

    def _described(self) -> dict[str, Any] | None:
        """Set, columns with their lengths, and keys of the table; None where there is no such table."""
        path = f"EntityDefinitions(LogicalName='{self._table}')"
        body = self._calls.get(f"{path}?{quote(_DEFINITION, safe='$=&(),')}", absent_is_none=True)
        if body is None:
            return None
        definition: dict[str, Any] = orjson.loads(body)
        attributes = {each["LogicalName"]: each for each in definition["Attributes"]}
        # Lengths belong to a kind of attribute and are told with that kind only.
        for kind in ("StringAttributeMetadata", "MemoAttributeMetadata"):
            told = self._calls.get(f"{path}/Attributes/Microsoft.Dynamics.CRM.{kind}?$select=LogicalName,MaxLength")
            for each in orjson.loads(told or b"{}").get("value", ()):
                attributes.get(each["LogicalName"], {}).update(each)
        return definition
