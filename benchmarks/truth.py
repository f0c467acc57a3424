"""Whether an engine's answer is the planted truth: precision and recall for every class."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from tieout.sql import literal


@dataclass(frozen=True, slots=True)
class Score:
    """The share of what was reported that is right, and of what is right that was reported."""

    precision: float
    recall: float


def scores(con: duckdb.DuckDBPyConnection, truth: Path, answer: Path) -> dict[str, Score]:
    """Class → score.

    A key is right when its verdict and its list of fields are those of the truth. Recall: right keys among the keys of the class. Precision:
    right keys among all keys that the answer gives the verdict that the class should get. `answer`: a file, or a folder of files.
    """
    files = answer / "*.parquet" if answer.is_dir() else answer
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE judged AS
        SELECT truth.class, truth.verdict AS expected, answer.verdict AS given,
            coalesce(truth.verdict = answer.verdict AND {_sorted("truth.fields")} = {_sorted("answer.fields")}, false) AS is_right
        FROM read_parquet({literal(str(truth))}) AS truth
        FULL JOIN (SELECT key, verdict, fields FROM read_parquet({literal(str(files))})) AS answer ON answer.key = truth.key"""
    )
    precision = dict(
        con.execute(
            "SELECT given, avg(is_right::INTEGER) FROM judged WHERE given IS NOT NULL GROUP BY given"
        ).fetchall()
    )
    classes = con.execute(
        "SELECT class, expected, avg(is_right::INTEGER) FROM judged WHERE class IS NOT NULL GROUP BY ALL ORDER BY class"
    ).fetchall()
    # An engine that never says the word has nothing right by it.
    return {name: Score(precision.get(expected, 0.0), recall) for name, expected, recall in classes}


def _sorted(fields: str) -> str:
    return f"list_sort(string_split(coalesce({fields}, ''), ','))"
