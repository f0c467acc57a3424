"""What an extraction left on disk: raw pages of one table, with the times of the read."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

PageFormat = Literal["json", "csv"]


@dataclass(frozen=True, slots=True)
class PageFiles:
    """Raw pages of one table. `json`: one array of objects a file; `csv`: one header line a file.

    `rows` is the number the system reported, `None` where it reports none. `started_at` and `ended_at` are UTC; `started_at` is on the
    clock of the system that was read, because it becomes the next watermark.
    """

    files: tuple[Path, ...]
    format: PageFormat
    rows: int | None
    started_at: datetime
    ended_at: datetime
