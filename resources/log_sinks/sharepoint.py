"""The log in a SharePoint list: items made through Graph, 20 a call, each of them once because the key column is unique (facts 8.2).

Graph has no upsert. So what is refused or not answered is looked for by its key: an item that is there is as good as one that was made.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson

from resources.log_sinks.calls import Calls, Patience
from resources.log_sinks.sink import Sent
from tieout.answer import Answer, NoAnswer
from tieout.errors import RequestRefused, SourceUnavailable
from tieout.log_sinks import LogRow
from tieout.log_sinks.outcome import Refused, Taken, meaning_of
from tieout.log_sinks.settings import SharePointSettings, SinkName
from tieout.log_sinks.sharepoint import (
    PARTS_AT_ONCE,
    creating_body,
    is_there,
    list_path,
    list_problems,
    looking_body,
    parts_of,
)

_RIGHTS = "Give the application Sites.Selected with the role write on this site, and consent to it (docs/logs.md)."
_MAYBE_THERE = (409, 412)


class SharePointList:
    """One list of one site."""

    name: SinkName = "sharepoint"

    def __init__(
        self,
        settings: SharePointSettings,
        *,
        ca_bundle: Path | None = None,
        wait_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.target = settings.target
        self.rows_at_once = 10 * PARTS_AT_ONCE
        self._path = list_path(settings.site_id, settings.list_id)
        self._calls = Calls(
            "SharePoint by Graph",
            settings.application,
            _RIGHTS,
            root="/v1.0",
            ca_bundle=ca_bundle,
            wait_file=wait_file,
            sleep=sleep,
        )
        self._is_proven = False

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._calls.calls

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def problems(self) -> list[str]:
        """As of `Sink`."""
        body = self._calls.get(f"{self._path}/columns", absent_is_none=True)
        if body is None:
            return ["There is no such list on the site (SHAREPOINT_SITE_ID, SHAREPOINT_LIST_ID)."]
        return list_problems(orjson.loads(body)["value"])

    def may_read(self) -> None:
        """As of `Sink`."""
        self._calls.get(f"{self._path}/items?$top=1&$select=id")

    def send(self, rows: Sequence[LogRow]) -> Iterator[Sent]:
        """As of `Sink`."""
        for start in range(0, len(rows), PARTS_AT_ONCE):
            yield from self._send_batch(rows[start : start + PARTS_AT_ONCE])

    def _send_batch(self, rows: Sequence[LogRow]) -> Iterator[Sent]:
        left, patience = list(rows), Patience()
        refused: dict[int, str] = {}
        while left:
            answers = self._batch(creating_body(self._path, left), len(left))
            taken, looked_for, again = [], dict[str, tuple[LogRow, str]](), list[LogRow]()
            waits: list[float] = []
            why_again = ""
            for row, answer in zip(left, answers, strict=True):
                meaning = meaning_of(answer)
                status = answer.status if isinstance(answer, Answer) else 0
                if isinstance(meaning, Taken):
                    taken.append(row.attempt_id)
                elif isinstance(meaning, Refused) or status in _MAYBE_THERE:
                    if status == 404:
                        raise RequestRefused(f"{self._calls.name}: {meaning.why}", status=404)
                    looked_for[row.log_key] = row, meaning.why
                else:
                    again.append(row)
                    why_again = meaning.why
                    waits += [] if meaning.wait_s is None else [meaning.wait_s]
            found = self._found(list(looked_for))
            taken += [row.attempt_id for key, (row, _) in looked_for.items() if key in found]
            refused |= {row.attempt_id: why for key, (row, why) in looked_for.items() if key not in found}
            self._is_proven = self._is_proven or bool(taken)
            if taken:
                patience.renew()
                yield Sent(taken)
            left = again
            if left:
                wait_s = max(waits, default=None)
                if patience.is_at_its_end(wait_s):
                    raise SourceUnavailable(f"{self._calls.name}: {why_again}")
                self._calls.pause(patience.failures, wait_s)
        if refused and not self._is_proven:
            # Nothing was ever taken beside it, so nobody knows whether the row is wrong or the list.
            raise RequestRefused(f"{self._calls.name}: {next(iter(refused.values()))}", status=400)
        if refused:
            yield Sent([], refused)

    def _found(self, keys: Sequence[str]) -> set[str]:
        """Which of these keys the list has. Every key is answered, or SourceUnavailable is raised."""
        found: set[str] = set()
        left, patience = list(keys), Patience()
        while left:
            answers = self._batch(looking_body(self._path, left), len(left))
            known = {key: is_there(answer, key) for key, answer in zip(left, answers, strict=True)}
            found |= {key for key, there in known.items() if there}
            waits = [
                each.retry_after_s for each in answers if isinstance(each, Answer) and each.retry_after_s is not None
            ]
            left = [key for key, there in known.items() if there is None]
            if left:
                wait_s = max(waits, default=None)
                if patience.is_at_its_end(wait_s):
                    raise SourceUnavailable(f"{self._calls.name} does not say whether rows are there.")
                self._calls.pause(patience.failures, wait_s)
        return found

    def _batch(self, body: bytes, count: int) -> list[Answer | NoAnswer]:
        """The answers of the parts. An answer to the whole that is none counts for every part."""
        answer = self._calls.once("POST", "/$batch", body)
        if isinstance(answer, Answer) and answer.status == 200:
            parts = parts_of(answer.body, count)
            for part in parts:
                if isinstance(part, Answer):
                    self._calls.check_rights(part)
            return parts
        if isinstance(answer, Answer) and isinstance(meaning_of(answer), Refused):
            # The batch itself was not understood; that says nothing of any row.
            raise RequestRefused(f"{self._calls.name}: {answer.message}", status=answer.status)
        return [answer] * count
