"""What is on disk of a Bulk job whose pages were not all fetched: enough to go on behind the last page in another process.

A job keeps its result for seven days (facts/salesforce.md, Bulk API 2.0), and its pages hold what was there when it ran. So a read that
breaks off, because a process was killed or Salesforce could not be reached, costs the pages that are missing and no others.
"""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

_FILE = "progress.json"


@dataclass(slots=True)
class BulkProgress:
    """One job and its pages so far. `job` is empty before there is one; `started_at` is when it was created, on Salesforce's clock.

    `locator`: where the next page starts; empty before the first and behind the last. `pages`: file names and their rows, in order.
    """

    folder: Path
    statement: str
    job: str = ""
    started_at: datetime | None = None
    locator: str = ""
    pages: list[tuple[str, int]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of the pages that are there."""
        return sum(rows for _, rows in self.pages)

    @property
    def files(self) -> tuple[Path, ...]:
        """The pages that are there, in order."""
        return tuple(self.folder / name for name, _ in self.pages)

    def begin(self, job: str, started_at: datetime) -> None:
        """A job was created."""
        self.job, self.started_at = job, started_at
        self._keep()

    def took(self, file: Path, rows: int, locator: str) -> None:
        """A page is on disk, and the next one starts at `locator`."""
        self.pages.append((file.name, rows))
        self.locator = locator
        self._keep()

    def forget(self) -> None:
        """Nothing is to be gone on with: the job is not there any more, or was refused."""
        for file in (*self.files, self.folder / _FILE):
            file.unlink(missing_ok=True)
        self.job, self.started_at, self.locator, self.pages = "", None, "", []

    def handed_over(self, folder: Path) -> tuple[Path, ...]:
        """The pages, moved to `folder`; what was kept here is forgotten."""
        moved = tuple(Path(shutil.move(file, folder / file.name)) for file in self.files)
        self.pages = []
        self.forget()
        return moved

    def _keep(self) -> None:
        known = asdict(self) | {"folder": None, "statement": _fingerprint(self.statement)}
        beside = self.folder / f"{_FILE}.new"
        beside.write_text(json.dumps(known, default=str))
        beside.replace(self.folder / _FILE)


@contextmanager
def progress_in(folder: Path, statement: str) -> Iterator[BulkProgress | None]:
    """The progress that is kept in `folder` for this statement, or a new one; None while another process is at it.

    What is kept for another statement is of no use, because the rows would be others, and goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield _kept(folder, statement)


def _kept(folder: Path, statement: str) -> BulkProgress:
    with contextlib.suppress(
        FileNotFoundError, ValueError, KeyError
    ):  # a file that was cut off by a crash tells nothing
        known = json.loads((folder / _FILE).read_text())
        progress = BulkProgress(
            folder,
            statement,
            known["job"],
            datetime.fromisoformat(known["started_at"]),
            known["locator"],
            [(name, rows) for name, rows in known["pages"]],
        )
        if known["statement"] == _fingerprint(statement) and all(file.exists() for file in progress.files):
            return progress
        progress.forget()
    return BulkProgress(folder, statement)


def _fingerprint(statement: str) -> str:
    return sha256(statement.encode()).hexdigest()
