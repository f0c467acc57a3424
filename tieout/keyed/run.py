"""Runs a keyed comparison on a DuckDB connection: whole, or bucket by bucket with the results put together."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from tieout.keyed.canonical_file import BUCKET
from tieout.keyed.comparison import KeyedComparison
from tieout.keyed.steps import D365, SALESFORCE, Step, comparison_steps, result_steps
from tieout.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class SideTotal:
    """Rows and money of one side in one currency. `amounts`: field → sum."""

    rows: int
    amounts: dict[str, Decimal]

    def __add__(self, other: "SideTotal") -> "SideTotal":
        names = self.amounts.keys() | other.amounts.keys()
        nothing = Decimal(0)
        sums = {name: self.amounts.get(name, nothing) + other.amounts.get(name, nothing) for name in names}
        return SideTotal(self.rows + other.rows, sums)


@dataclass(frozen=True, slots=True)
class KeyedResult:
    """How many groups have each verdict, in how many each field differs, and the totals by (side, currency)."""

    verdicts: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    totals: dict[tuple[str, str | None], SideTotal] = field(default_factory=dict)

    def __add__(self, other: "KeyedResult") -> "KeyedResult":
        totals = dict(self.totals)
        for key, more in other.totals.items():
            totals[key] = totals[key] + more if key in totals else more
        return KeyedResult(self.verdicts + other.verdicts, self.fields + other.fields, totals)


def compare(
    con: "DuckDBPyConnection", comparison: KeyedComparison, salesforce: str, d365: str, verdicts: Path | None = None
) -> KeyedResult:
    """Compare two relations in canonical form, each given as what may follow FROM.

    The verdicts become the Parquet file `verdicts`, or the table `keyed_verdict` where no file is named. The tables of an earlier call on the
    connection are replaced.
    """
    for name, relation in ((SALESFORCE, salesforce), (D365, d365)):
        con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {relation}")
    for step in comparison_steps(comparison):
        _make(con, step)
    verdict, field_count, total = result_steps(comparison)
    if verdicts is None:
        _make(con, verdict)
        groups = _number(con, f"SELECT count(*) FROM {verdict.name}")
    else:
        groups = _number(con, f"COPY (\n{verdict.select}\n) TO {literal(str(verdicts))} (FORMAT parquet)")
    return KeyedResult(_verdict_counts(con, groups), _field_counts(con, comparison, field_count), _totals(con, total))


def compare_buckets(
    con: "DuckDBPyConnection",
    comparison: KeyedComparison,
    salesforce: Path,
    d365: Path,
    buckets: Iterable[int],
    verdicts: Path,
) -> KeyedResult:
    """Compare the named buckets of two folders that `write_buckets` made, one after the other.

    Each writes `bucket-<n>.parquet` into the folder `verdicts`; the results are added up. The same buckets in another order, in other
    processes or on other machines give the same files.
    """
    verdicts.mkdir(parents=True, exist_ok=True)
    result = KeyedResult()
    for bucket in buckets:
        here, there = (_bucket_relation(*folders, bucket) for folders in ((salesforce, d365), (d365, salesforce)))
        result += compare(con, comparison, here, there, verdicts / f"bucket-{bucket}.parquet")
    return result


def _bucket_relation(folder: Path, other: Path, bucket: int) -> str:
    """The rows of one bucket; none, in the other side's columns, where the folder has no such bucket."""
    for place, none in ((folder, ""), (other, " WHERE FALSE")):
        if any((place / f"{BUCKET}={bucket}").glob("*.parquet")):
            files = literal(str(place / f"{BUCKET}={bucket}" / "*.parquet"))
            return f"(SELECT * FROM read_parquet({files}, hive_partitioning = false){none})"
    anything = literal(str(folder / f"{BUCKET}=*" / "*.parquet"))
    return f"(SELECT * FROM read_parquet({anything}, hive_partitioning = false) WHERE FALSE)"


def _make(con: "DuckDBPyConnection", step: Step) -> None:
    con.execute(f"CREATE OR REPLACE TEMP TABLE {step.name} AS\n{step.select}")


def _verdict_counts(con: "DuckDBPyConnection", groups: int) -> Counter[str]:
    judged = Counter(dict(con.execute("SELECT verdict, count(*) FROM keyed_judged GROUP BY verdict").fetchall()))
    judged["matched"] += groups - judged.total()
    return +judged


def _field_counts(con: "DuckDBPyConnection", comparison: KeyedComparison, step: Step) -> Counter[str]:
    row = con.execute(step.select).fetchone() or ()
    return +Counter({field.shown_as: count for field, count in zip(comparison.fields, row, strict=True)})


def _totals(con: "DuckDBPyConnection", step: Step) -> dict[tuple[str, str | None], SideTotal]:
    cursor = con.execute(step.select)
    names = [column[0].removeprefix("cmp_") for column in cursor.description or ()][3:]
    return {
        (side, currency): SideTotal(rows, {name: value or Decimal(0) for name, value in zip(names, sums, strict=True)})
        for side, currency, rows, *sums in cursor.fetchall()
    }


def _number(con: "DuckDBPyConnection", statement: str) -> int:
    row = con.execute(statement).fetchone()
    return int(row[0]) if row else 0
