"""The bridge of whole seeds, to the last cent, against SQL that knows nothing of ours but the text that was received."""

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.seeds.adventureworks import AdventureWorks
from sandbox.seeds.generated import Generated
from tests.reconciliation.seeded import reconciled
from tests.seeds.laid import Laid, lay
from tieout.breaks import breaks_of, causes_by_record
from tieout.reconciliation import differences_to_look_at, explain, verdicts_to_look_at

# What each side says, per company, currency and month, from the rows as they were received. An opportunity whose own row is in quarantine
# says nothing that can be added up; an order has the month of the opportunity that it names, if that is won.
FROM_THE_SOURCES = """
WITH won AS (
    SELECT Id, lower(ERP_Company__c) AS company, CurrencyIsoCode AS currency, CloseDate[:7] AS month, Amount::DECIMAL(28,6) AS amount
    FROM raw_Opportunity
    WHERE StageName = 'Closed Won' AND coalesce(IsDeleted, 'false') = 'false'
        AND Id NOT IN (SELECT _key FROM salesforce_quarantined WHERE table_name = 'opportunity')
),
line AS (
    SELECT lower(dataAreaId) AS company, SalesOrderNumber AS number, sum(LineAmount::DECIMAL(28,6)) AS amount
    FROM raw_SalesOrderLines WHERE SalesOrderLineStatus <> 'Canceled'
    GROUP BY ALL
),
ordered AS (
    SELECT line.company, header.CurrencyCode AS currency, coalesce(won.month, header.OrderCreationDateTime[:7]) AS month, line.amount
    FROM raw_SalesOrderHeadersV2 AS header
    JOIN line ON line.company = lower(header.dataAreaId) AND line.number = header.SalesOrderNumber
    LEFT JOIN won ON won.Id = header.CustomersOrderReference
    WHERE header.SalesOrderStatus <> 'Canceled' AND header.SalesOrderProcessingStatus <> 'Canceled'
),
side AS (
    SELECT company, currency, month, amount AS salesforce, 0 AS d365 FROM won
    UNION ALL
    SELECT company, currency, month, 0, amount FROM ordered
)
SELECT company, currency, month, sum(salesforce) AS salesforce, sum(d365) AS d365, sum(salesforce) - sum(d365) AS difference
FROM side GROUP BY ALL
"""
DISAGREEING = f"""
SELECT company, currency, month
FROM ({FROM_THE_SOURCES}) AS source
FULL JOIN (
    SELECT company, currency, month, sum(salesforce) AS salesforce, sum(d365) AS d365, sum(difference) AS difference FROM {{bridge}} GROUP BY ALL
) AS bridged USING (company, currency, month)
WHERE (source.salesforce, source.d365, source.difference) IS DISTINCT FROM (bridged.salesforce, bridged.d365, bridged.difference)
"""
SPLIT_EVERY = 10


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A generated seed of which every tenth order was delivered in two, explained as a run explains it."""
    con, counts = reconciled(with_splits(lay(Generated(3000))).tables, tmp_path_factory.mktemp("pages"))
    assert counts["matched"] > 1000
    found = list(verdicts_to_look_at(con, "sales_order_verdict"))
    differences = list(differences_to_look_at(con, "sales_order_difference"))
    explain(con, causes_by_record(breaks_of(found, differences, {})))
    yield con
    con.close()


def with_splits(laid: Laid) -> Laid:
    """Of every tenth order, the last line goes out with an order of its own; of orders with one line, three fifths of it."""
    tables = deepcopy(laid.tables)
    lines = Laid(tables).grouped("SalesOrderLines", "dataAreaId", "SalesOrderNumber")
    further: list[dict[str, Any]] = []
    for header in tables["SalesOrderHeadersV2"][::SPLIT_EVERY]:
        number = f"{header['SalesOrderNumber']}-2"
        *kept, last = lines[header["dataAreaId"], header["SalesOrderNumber"]]
        if kept:
            last["SalesOrderNumber"] = number
        else:
            part = last | {"SalesOrderNumber": number, "InventoryLotId": f"{last['InventoryLotId']}-2"}
            for name in ("OrderedSalesQuantity", "LineAmount"):
                part[name] = (last[name] * Decimal("0.4")).quantize(Decimal("0.01"))
                last[name] -= part[name]
            tables["SalesOrderLines"].append(part)
        further.append(header | {"SalesOrderNumber": number})
    tables["SalesOrderHeadersV2"] += further
    return Laid(tables)


def test_the_bridge_of_each_month_adds_up_to_what_the_sources_say(generated: duckdb.DuckDBPyConnection):
    assert generated.sql("SELECT count(DISTINCT month), count(DISTINCT company) FROM tie_out").fetchall()[0] > (20, 3)
    assert generated.sql(DISAGREEING.format(bridge="tie_out_bridge")).fetchall() == []


def test_the_tie_out_says_what_the_bridge_says(generated: duckdb.DuckDBPyConnection):
    both = """SELECT company, currency, month, sum(salesforce), sum(d365), sum(difference), sum(difference) FILTER (is_explained)
    FROM tie_out_bridge GROUP BY ALL EXCEPT SELECT company, currency, month, salesforce, d365, difference, explained FROM tie_out"""
    told = generated.sql(both).fetchall()
    # Nothing explained is 0 in the one and nothing in the other.
    assert {row[-1] for row in told} <= {None}


def test_no_part_of_the_bridge_can_be_left_out(generated: duckdb.DuckDBPyConnection):
    parts = "SELECT company, currency, month, verdict, cause FROM tie_out_bridge WHERE salesforce <> 0 OR d365 <> 0"
    causes = {row[3:] for row in generated.sql(parts).fetchall()}
    assert {verdict for verdict, _ in causes} >= {"matched", "differs", "only_in_salesforce", "only_in_d365"}
    for verdict, cause in sorted(causes):
        generated.execute(
            "CREATE OR REPLACE TEMP TABLE short AS FROM tie_out_bridge WHERE NOT (verdict = ? AND cause = ?)",
            [verdict, cause],
        )
        assert generated.sql(DISAGREEING.format(bridge="short")).fetchall() != [], (verdict, cause)


def test_one_cent_too_much_shows(generated: duckdb.DuckDBPyConnection):
    generated.execute(
        """CREATE OR REPLACE TEMP TABLE off AS
        SELECT * REPLACE (d365 + CASE WHEN row_number() OVER () = 1 THEN 0.01 ELSE 0 END AS d365) FROM tie_out_bridge"""
    )
    assert len(generated.sql(DISAGREEING.format(bridge="off")).fetchall()) == 1


def test_the_parts_of_a_split_order_leave_no_difference(generated: duckdb.DuckDBPyConnection):
    split = """SELECT group_key, sum(salesforce_amount) - sum(d365_amount) AS difference, count(*) AS orders, bool_and(verdict = 'matched') AS matched
    FROM sales_order_verdict WHERE group_key IS NOT NULL GROUP BY group_key"""
    groups, orders, matched, off = generated.sql(
        f"SELECT count(*), sum(orders), count(*) FILTER (matched), count(*) FILTER (matched AND abs(difference) > 0.01) FROM ({split})"
    ).fetchall()[0]
    assert (groups > 80, orders, off) == (True, 2 * groups, 0)
    assert matched > 0.9 * groups


def test_adventureworks_ties_out_to_the_cent_in_each_month(adventureworks_folder: Path, tmp_path: Path):
    con, counts = reconciled(lay(AdventureWorks(adventureworks_folder)).tables, tmp_path)
    assert counts["matched"] > 3_000
    assert con.sql("SELECT count(*) FROM tie_out").fetchall()[0][0] > 100
    assert con.sql(DISAGREEING.format(bridge="tie_out_bridge")).fetchall() == []
    con.execute("CREATE TEMP TABLE short AS FROM tie_out_bridge WHERE verdict <> 'only_in_salesforce'")
    assert con.sql(DISAGREEING.format(bridge="short")).fetchall() != []
    con.close()
