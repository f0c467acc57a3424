"""The identity of a break, and the cause that the evidence allows."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tieout.breaks import (
    Cause,
    DeliveryNote,
    breaks_of,
    causes_by_record,
    identity_of,
)
from tieout.reconciliation import DifferenceKind, DifferenceRow, Reason, Verdict, VerdictRow

MISSING = VerdictRow(
    entity="sales_order", verdict=Verdict.ONLY_IN_SALESFORCE, company="usmf", currency="USD", salesforce_key="006A", d365_key=None,
    label="Deal", salesforce_amount=Decimal("12.50"), d365_amount=None, fields=(), reason=None,
)  # fmt: skip
RENAMED = DifferenceRow(
    entity="customer", company="usmf", currency="USD", salesforce_key="001A", d365_key="C1", line_key=None, field="name",
    owner="salesforce", on_difference="write", salesforce_stored="New", d365_stored="Old", salesforce_compared="new",
    d365_compared="old", kind=DifferenceKind.DIFFERS, damaged_side=None, amount=None,
)  # fmt: skip


def the_break(verdict=None, difference=None, **notes):
    deliveries = {
        ("sales_order", "create", "006A"): notes.get("create"),
        ("customer", "update", "001A"): notes.get("update"),
    }
    known = {key: note for key, note in deliveries.items() if note is not None}
    (one,) = breaks_of([verdict] if verdict else [], [difference] if difference else [], known)
    return one


def test_a_break_keeps_its_identity_while_its_values_and_causes_change():
    before = the_break(difference=RENAMED)
    after = the_break(
        difference=replace(RENAMED, salesforce_stored="Newer"), update=DeliveryNote("rejected", "too long")
    )
    assert before.identity == after.identity
    assert the_break(difference=replace(RENAMED, field="phone")).identity != before.identity


def test_identities_of_different_keys_do_not_meet():
    assert identity_of("customer", "a", "b/c", "name") != identity_of("customer", "a", "b", "c/name")
    assert identity_of("customer", "USMF", "b", "name") == identity_of("customer", "usmf", "b", "name")


@pytest.mark.parametrize(
    ("note", "cause"),
    [
        (None, Cause.NOT_DELIVERED_YET),
        (DeliveryNote("planned"), Cause.DELIVERY_PLANNED),
        (DeliveryNote("claimed"), Cause.DELIVERY_PLANNED),
        (DeliveryNote("sent"), Cause.DELIVERY_IN_DOUBT),
        (DeliveryNote("in_doubt"), Cause.DELIVERY_IN_DOUBT),
        (DeliveryNote("rejected", "Customer is on hold"), Cause.DELIVERY_REJECTED),
        (DeliveryNote("confirmed", in_this_run=True), Cause.DELIVERED_IN_THIS_RUN),
        (DeliveryNote("confirmed"), Cause.DELIVERED_AND_GONE),
    ],
)
def test_the_ledger_says_why_an_order_is_missing(note, cause):
    assert the_break(MISSING, create=note).cause is cause


def test_a_refusal_is_told_in_the_words_of_d365():
    assert the_break(MISSING, create=DeliveryNote("rejected", "Customer is on hold")).detail == "Customer is on hold"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"reason": f"{Reason.LINK_AMBIGUOUS}: its customer"}, Cause.LINK_UNCLEAR),
        ({"reason": Reason.NO_LINES}, Cause.CANNOT_BE_DELIVERED),
        ({"verdict": Verdict.QUARANTINED, "reason": Reason.LINE_QUARANTINED}, Cause.QUARANTINED),
        ({"verdict": Verdict.DUPLICATE, "reason": Reason.SECOND_ORDER}, Cause.DUPLICATE),
        ({"verdict": Verdict.ONLY_IN_D365}, Cause.ENTERED_IN_D365),
        ({"verdict": Verdict.ONLY_IN_D365, "reason": Reason.DELETED}, Cause.DELETED_IN_SALESFORCE),
        ({"verdict": Verdict.DIFFERS, "reason": Reason.ORDER_CANCELED}, Cause.CANCELED_IN_D365),
        ({"verdict": Verdict.DIFFERS, "reason": Reason.NOT_WON}, Cause.NOT_WON),
        ({"entity": "sales_order_line"}, Cause.LINE_DIFFERS),
    ],
)
def test_the_cause_of_a_record(changes, cause):
    assert the_break(replace(MISSING, **changes)).cause is cause


@pytest.mark.parametrize(
    ("changes", "note", "cause"),
    [
        ({}, None, Cause.WRITE_PENDING),
        ({}, DeliveryNote("confirmed"), Cause.WRITE_PENDING),
        ({}, DeliveryNote("rejected", "no"), Cause.DELIVERY_REJECTED),
        ({}, DeliveryNote("in_doubt"), Cause.DELIVERY_IN_DOUBT),
        ({"on_difference": "report"}, None, Cause.VALUE_DIFFERS),
        ({"kind": DifferenceKind.DAMAGED_CHARACTERS, "on_difference": "report"}, None, Cause.DAMAGED_CHARACTERS),
        ({"owner": "d365"}, None, Cause.WRITE_PENDING),
    ],
)
def test_the_cause_of_a_field(changes, note, cause):
    assert the_break(difference=replace(RENAMED, **changes), update=note).cause is cause


def test_matched_and_passing_records_are_no_breaks():
    quiet = [replace(MISSING, verdict=verdict) for verdict in (Verdict.MATCHED, Verdict.IN_FLIGHT, Verdict.DIFFERS)]
    assert list(breaks_of(quiet, [replace(RENAMED, kind=DifferenceKind.CASE_OR_BLANKS)], {})) == []


def test_the_money_at_stake_is_the_distance_between_the_two_sides():
    assert the_break(MISSING).amount == Decimal("12.50")
    assert the_break(replace(MISSING, verdict=Verdict.QUARANTINED, d365_amount=Decimal(20))).amount == Decimal("7.50")
    assert the_break(difference=RENAMED).amount is None


def test_every_cause_proposes_a_fix():
    from tieout.breaks import _FIXES

    assert set(_FIXES) == set(Cause)


def test_the_cause_of_an_order_is_that_of_the_whole_record_before_that_of_a_field():
    amount = replace(
        RENAMED, entity="sales_order", salesforce_key="006A", field="amount", on_difference="report", amount=Decimal(1)
    )
    address = replace(amount, field="purchase_order", amount=None, on_difference="write")
    verdict = replace(MISSING, verdict=Verdict.DIFFERS, d365_key="C1", reason=Reason.ORDER_CANCELED)
    assert causes_by_record(breaks_of([verdict], [amount], {}))[0][2] == Cause.CANCELED_IN_D365
    assert causes_by_record(breaks_of([], [address, amount], {})) == [
        (("006A", "C1"), "usmf", Cause.VALUE_DIFFERS, False)
    ]
