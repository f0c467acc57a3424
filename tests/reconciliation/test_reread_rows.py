"""When a record counts as changed between two reads."""

import duckdb

from tieout.reconciliation.reread import quarantined_statement

BULK = '{"Id":"00k1","Quantity":"0","Product2Id":"","IsDeleted":"false","SystemModstamp":"2026-01-02T03:04:05.000Z"}'
REST = (
    '{"attributes":{"type":"OpportunityLineItem"},"Id":"00k1","Quantity":0.0,"Product2Id":null,"IsDeleted":false,'
    '"SystemModstamp":"2026-01-02T03:04:05.000+0000"}'
)


def contents(*rows: str) -> list[str]:
    con = duckdb.connect()
    con.execute('CREATE TABLE bad (_key VARCHAR, _parent_key VARCHAR, "row" VARCHAR)')
    con.executemany("INSERT INTO bad VALUES ('k', NULL, ?)", [[row] for row in rows])
    return [row[3] for row in con.execute(quarantined_statement("bad")).fetchall()]


def test_a_quarantined_row_is_the_same_however_salesforce_writes_it() -> None:
    bulk, rest = contents(BULK, REST)

    assert bulk == rest


def test_a_quarantined_row_with_another_value_has_changed() -> None:
    before, value, moved = contents(BULK, BULK.replace('"0"', '"2"'), BULK.replace("05.000Z", "06.000Z"))

    assert len({before, value, moved}) == 3
