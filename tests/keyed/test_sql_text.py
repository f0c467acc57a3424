"""The SQL of a keyed comparison, pinned: a changed step shows as a changed file.

Run with `TIEOUT_WRITE_SNAPSHOTS=1` to write the file anew after a meant change; then read the difference.
"""

import os
from pathlib import Path

from tests.keyed.orders import COMPARISON
from tieout.keyed import comparison_steps, result_steps

PINNED = Path(__file__).parent / "keyed.sql"


def test_the_sql_is_the_one_that_was_read() -> None:
    steps = (*comparison_steps(COMPARISON), *result_steps(COMPARISON))
    made = "\n\n".join(f"-- {step.name}\n{step.select};" for step in steps) + "\n"
    if os.environ.get("TIEOUT_WRITE_SNAPSHOTS"):
        PINNED.write_text(made, encoding="utf-8")
    assert made == PINNED.read_text(encoding="utf-8"), "keyed.sql changed. If it was meant, write the snapshot anew."
