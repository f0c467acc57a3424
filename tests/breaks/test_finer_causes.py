"""Why two values differ: what was sent, the size of the difference, and the value map say so."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tieout.breaks import Cause, DeliveryNote, FixAction, breaks_of
from tieout.contract import Contracts
from tieout.evidence import Evidence, Sent
from tieout.reconciliation.rows import DifferenceKind, DifferenceRow, Verdict, VerdictRow

ORDER, LINE = "006000000000001AAA", "00k000000000001AAA"
SENT = Sent(
    {"CustomerRequisitionNumber": "PO-1", "CurrencyCode": "USD"},
    {LINE: {"LineAmount": Decimal("100.00"), "OrderedSalesQuantity": Decimal("2")}},
    datetime(2026, 3, 2, tzinfo=UTC),
)


def a_difference(**changes: Any) -> DifferenceRow:
    values = {
        "entity": "sales_order",
        "company": "usmf",
        "currency": "USD",
        "salesforce_key": ORDER,
        "d365_key": f"T-{ORDER}",
        "line_key": None,
        "field": "purchase_order",
        "owner": "salesforce",
        "on_difference": "report",
        "salesforce_stored": "PO-1",
        "d365_stored": "PO-1",
        "salesforce_compared": "po-1",
        "d365_compared": "po-1",
        "kind": DifferenceKind.DIFFERS,
        "damaged_side": None,
        "amount": None,
    }
    return DifferenceRow(**(values | changes))


def the_break(contracts: Contracts, row: DifferenceRow, **evidence: Any) -> Any:
    known = Evidence(contracts, **({"sent": {("sales_order", ORDER, "usmf"): SENT}} | evidence))
    (found,) = breaks_of([], [row], {}, None, known)
    return found


@pytest.mark.parametrize(
    ("salesforce", "d365", "cause", "words"),
    [
        ("PO-1", "PO-2", Cause.EDITED_IN_D365, "sent PO-1 on 2026-03-02; D365 has PO-2 since"),
        ("PO-1", None, Cause.EDITED_IN_D365, "D365 has nothing since"),
        ("PO-2", "PO-1", Cause.EDITED_IN_SALESFORCE, "Salesforce has PO-2 since"),
        ("PO-2", "PO-3", Cause.EDITED_IN_D365, "both sides have other values since"),
    ],
)
def test_the_side_that_left_what_was_sent_is_the_one_that_was_edited(
    contracts: Contracts, salesforce: str, d365: str | None, cause: Cause, words: str
) -> None:
    found = the_break(contracts, a_difference(salesforce_stored=salesforce, d365_stored=d365))

    assert found.cause is cause
    assert words in found.detail
    assert found.fix == cause.fix


def test_a_line_and_the_sum_of_the_lines_are_known_from_what_was_sent(contracts: Contracts) -> None:
    line = a_difference(
        field="line.amount", line_key=LINE, salesforce_stored="100", d365_stored="120", amount=Decimal(20)
    )
    header = a_difference(field="amount", salesforce_stored="130", d365_stored="100.00", amount=Decimal(30))

    assert the_break(contracts, line).cause is Cause.EDITED_IN_D365
    assert the_break(contracts, header).cause is Cause.EDITED_IN_SALESFORCE


@pytest.mark.parametrize(
    ("amount", "lines", "is_rounding"), [("0.03", 3, True), ("0.04", 3, False), ("0.02", 1, False)]
)
def test_a_cent_for_each_line_is_rounding_and_no_more(
    contracts: Contracts, amount: str, lines: int, is_rounding: bool
) -> None:
    row = a_difference(field="amount", salesforce_stored="100", d365_stored="99", amount=Decimal(amount))

    found = the_break(contracts, row, sent={}, line_counts={ORDER: lines})

    assert (found.cause is Cause.ROUNDING) is is_rounding


def test_a_value_that_the_map_does_not_know_is_named_with_its_contract(contracts: Contracts) -> None:
    row = a_difference(field="order_status", salesforce_stored="Shipped?", d365_stored="Backorder/None", owner="d365")

    found = the_break(contracts, row, sent={})

    assert found.cause is Cause.MAPPING_MISSING
    assert "'Shipped?'" in found.detail
    assert "sales_order.yaml" in found.detail


def test_without_evidence_a_difference_is_only_told(contracts: Contracts) -> None:
    found = the_break(contracts, a_difference(d365_stored="PO-2"), sent={})

    assert found.cause is Cause.VALUE_DIFFERS


def test_a_quarantined_record_names_its_rules_and_a_planned_one_what_holds_it_back(contracts: Contracts) -> None:
    verdict = VerdictRow(
        "sales_order",
        Verdict.QUARANTINED,
        "usmf",
        "USD",
        ORDER,
        None,
        "Deal",
        None,
        None,
        (),
        "the record is in quarantine",
        "2026-03",
    )
    known = Evidence(contracts, rules={ORDER: "amount_not_a_number of amount"})
    (found,) = breaks_of([verdict], [], {}, None, known)

    assert found.detail == "the record is in quarantine: amount_not_a_number of amount"
    assert (found.label, found.month) == ("Deal", "2026-03")
    lone = replace(verdict, verdict=Verdict.ONLY_IN_SALESFORCE, reason=None)

    notes = {("sales_order", "create", ORDER): DeliveryNote("planned")}
    (planned,) = breaks_of([lone], [], notes, None, Evidence(contracts, held_back={"usmf": "paused by ann"}))
    assert (planned.cause, planned.detail) == (Cause.DELIVERY_PLANNED, "paused by ann")


def test_every_cause_has_a_fix_in_words_and_in_kind() -> None:
    for cause in Cause:
        assert cause.fix
        assert isinstance(cause.action, FixAction)
