"""What a target of the log is to whoever sends to it, and opening one from its settings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tieout.log_sinks import LogRow
from tieout.log_sinks.settings import DataverseSettings, SharePointSettings, SinkName


@dataclass(frozen=True, slots=True)
class Sent:
    """Attempts that are in the target now, and those that it refuses for what is in them, with its words."""

    taken: list[int]
    refused: Mapping[int, str] = field(default_factory=dict)


class Sink(Protocol):
    """One target. Sending a row twice leaves it there once."""

    name: SinkName
    target: str
    rows_at_once: int

    @property
    def calls(self) -> int:
        """Calls made so far."""

    def problems(self) -> list[str]:
        """What is not right with the table or list; empty where the log fits. Reads only. Raises as `send`."""

    def may_read(self) -> None:
        """Read a row, if there is one. Raises AuthenticationProblem where that is not allowed."""

    def send(self, rows: Sequence[LogRow]) -> Iterator[Sent]:
        """Send, and tell what is known to be there as it becomes known.

        Raises SourceUnavailable, AuthenticationProblem, RequestRefused where it takes no row at all, or ConfigurationError.
        """

    def close(self) -> None:
        """Close the connections."""


@contextmanager
def open_sink(
    settings: DataverseSettings | SharePointSettings, *, ca_bundle: Path | None = None, home: Path | None = None
) -> Iterator[Sink]:
    """A target, closed at the end. Below `home` the processes of an installation keep how long they were asked to wait."""
    from resources.log_sinks.dataverse import DataverseTable  # here: both modules know this one
    from resources.log_sinks.sharepoint import SharePointList

    wait_file = (
        None
        if home is None
        else home / f"wait-{'dataverse' if isinstance(settings, DataverseSettings) else 'sharepoint'}"
    )
    sink: Sink
    if isinstance(settings, DataverseSettings):
        sink = DataverseTable(settings, ca_bundle=ca_bundle, wait_file=wait_file)
    else:
        sink = SharePointList(settings, ca_bundle=ca_bundle, wait_file=wait_file)
    with closing(sink):
        yield sink
