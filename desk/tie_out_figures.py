"""What the first page reads from the lake: the bridge of the newest reconciliation, and how many breaks the last runs found."""

from dataclasses import dataclass
from decimal import Decimal

from desk.charts import BridgeStep, TrendPoint
from resources.lake import Lake
from resources.workbench import duckdb_connection
from tieout.report.figures import words

BRIDGE_KEY = ("reconciliation", "tie_out_bridge")
BREAKS_KEY = ("reconciliation", "breaks")
RUNS_IN_TREND = 30


@dataclass(frozen=True, slots=True)
class TieOutLine:
    """One company and currency. `difference` is Salesforce minus D365; `explained` the part of it whose cause is known."""

    company: str
    currency: str
    salesforce: Decimal
    d365: Decimal
    difference: Decimal
    explained: Decimal
    records: int

    @property
    def unexplained(self) -> Decimal:
        return self.difference - self.explained


def tie_out(lake: Lake) -> list[TieOutLine]:
    """Every company and currency, the largest unexplained amounts first; empty before the first reconciliation."""
    if not lake.exists(BRIDGE_KEY):
        return []
    with duckdb_connection() as con:
        lake.register(con, "bridge", BRIDGE_KEY)
        rows = con.execute(
            """SELECT company, currency, sum(salesforce), sum(d365), sum(difference),
    coalesce(sum(difference) FILTER (is_explained), 0), sum(records)::BIGINT
FROM bridge GROUP BY company, currency ORDER BY company, currency"""
        ).fetchall()
    lines = [TieOutLine(*row) for row in rows]
    return sorted(lines, key=lambda line: (-abs(line.unexplained), -abs(line.difference), line.company, line.currency))


def bridge_steps(lake: Lake, company: str, currency: str) -> list[BridgeStep]:
    """What the difference of a company and currency consists of, cause by cause, explained ones first; steps of zero fall away."""
    if not lake.exists(BRIDGE_KEY):
        return []
    with duckdb_connection() as con:
        lake.register(con, "bridge", BRIDGE_KEY)
        rows = con.execute(
            """SELECT cause, is_explained, sum(difference) AS difference FROM bridge WHERE company = ? AND currency = ?
GROUP BY cause, is_explained HAVING sum(difference) <> 0 ORDER BY is_explained DESC, abs(sum(difference)) DESC, cause""",
            [company, currency],
        ).fetchall()
    return [BridgeStep(words(cause), difference, is_explained) for cause, is_explained, difference in rows]


def trend(lake: Lake) -> list[TrendPoint]:
    """How many breaks each of the last runs found, oldest first."""
    if not lake.exists(BREAKS_KEY):
        return []
    history = lake.history(BREAKS_KEY, RUNS_IN_TREND)
    return [TrendPoint(at, lake.row_count(BREAKS_KEY, version)) for version, at in reversed(history)]
