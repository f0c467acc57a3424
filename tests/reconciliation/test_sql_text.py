"""The SQL that the contracts make, pinned: a changed contract, or a changed step, shows as a changed file in `sql/`.

Run with `TIEOUT_WRITE_SNAPSHOTS=1` to write the files anew after a meant change; then read the difference.
"""

import os
from pathlib import Path

import pytest

from tests.reconciliation.books import the_contracts, with_policy
from tieout.crosswalk import customer_statements, order_statements
from tieout.reconciliation import after_delivery, due, groups, run, sides, totals

FOLDER = Path(__file__).parent / "sql"

STATEMENTS = {
    "crosswalk_customer": customer_statements,
    "crosswalk_sales_order": order_statements,
    "customer": lambda contracts: (*run.customer_comparison(contracts), *run.customer_judgement(contracts)),
    "sales_order": lambda contracts: (
        *run.order_keys(contracts),
        *sides.order_views(contracts),
        *run.order_comparison(contracts),
        *run.order_judgement(contracts),
    ),
    "groups": groups.statements,
    "totals": lambda _: (totals.part_statement(), totals.bridge_statement(), totals.tie_out_statement()),
    "due": lambda contracts: (
        due.orders_due_statement(contracts),
        due.customers_due_statement(contracts),
        due.updates_due_statement(contracts["customer"]),
        due.mirror_statement(contracts["customer"]),
        due.mirror_statement(contracts["sales_order"]),
    ),
    "after_delivery": lambda _: [
        make(with_policy(changed="amend", lost="stop"))
        for make in (after_delivery.late_statement, after_delivery.late_due_statement)
    ],
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_sql_is_the_one_that_was_read(name):
    made = ";\n\n".join(STATEMENTS[name](the_contracts())) + ";\n"
    pinned = FOLDER / f"{name}.sql"
    if os.environ.get("TIEOUT_WRITE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        pinned.write_text(made, encoding="utf-8")
    assert made == pinned.read_text(encoding="utf-8"), f"{name}.sql changed. If it was meant, write the snapshots anew."
