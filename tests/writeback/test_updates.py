"""What write-back sends: only what changed, in the form that Salesforce takes."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tieout.writeback import FieldChange, RecordUpdate, api_value, updates_of

NOW = datetime(2026, 7, 30, 10, 15, 30, 999_000, tzinfo=UTC)
SYNCED = "ERP_Synced_At__c"
ID = "0068d00000AbCdEAAV"


def sent(*changes: FieldChange) -> list[RecordUpdate]:
    return updates_of(changes, synced_at_field=SYNCED, now=NOW)


def test_the_changes_of_a_record_go_in_one_update_with_the_time_of_the_write_back() -> None:
    number = FieldChange(ID, "ERP_Order_Number__c", "usmf/T-1")
    amount = FieldChange(ID, "ERP_Amount__c", Decimal("100.500000"))

    assert sent(number, amount) == [
        RecordUpdate(
            ID, {"ERP_Order_Number__c": "usmf/T-1", "ERP_Amount__c": Decimal("100.5"), SYNCED: "2026-07-30T10:15:30Z"}
        )
    ]


def test_only_what_differs_from_the_present_value_is_sent() -> None:
    same = FieldChange(ID, "ERP_Amount__c", Decimal("100.000000"), current_value=Decimal(100))
    other = FieldChange(ID, "ERP_Order_Status__c", "Invoiced", current_value="Open")

    assert sent(same, other) == [RecordUpdate(ID, {"ERP_Order_Status__c": "Invoiced", SYNCED: "2026-07-30T10:15:30Z"})]


def test_a_record_that_is_right_is_not_touched_not_even_its_time() -> None:
    assert sent(FieldChange(ID, "ERP_Order_Status__c", "Open", current_value="Open")) == []
    assert sent() == []


def test_records_keep_their_order_and_the_last_word_on_a_field_counts() -> None:
    made = sent(
        FieldChange("2", "ERP_Order_Status__c", "Open"),
        FieldChange("1", "ERP_Order_Status__c", "Open"),
        FieldChange("2", "ERP_Order_Status__c", "Picked"),
    )

    assert [(update.salesforce_id, update.fields["ERP_Order_Status__c"]) for update in made] == [
        ("2", "Picked"),
        ("1", "Open"),
    ]


def test_an_entity_without_a_time_field_is_written_without_one() -> None:
    update = updates_of([FieldChange(ID, "ERP_Number__c", "usmf/1")], synced_at_field=None, now=NOW)

    assert update == [RecordUpdate(ID, {"ERP_Number__c": "usmf/1"})]


@pytest.mark.parametrize(
    ("current", "wanted", "differs"),
    [
        (None, "", False),
        (None, "  ", False),
        ("Net30", "Net30 ", False),
        ("Net30", "", True),
        ("usmf/aw1", "usmf/AW1", True),
        (None, Decimal(0), True),
        (Decimal(0), None, True),
        (Decimal("0.10"), Decimal("0.1"), False),
        (NOW, NOW.replace(microsecond=0), False),
        (True, False, True),
        (True, 1, True),
    ],
)
def test_salesforce_sees_a_difference_where_there_is_one(current: object, wanted: object, differs: bool) -> None:
    """It trims texts, stores an empty one as nothing, and stamps whole seconds."""
    assert bool(sent(FieldChange(ID, "Any__c", wanted, current_value=current))) is differs


def test_a_field_is_cleared_by_nothing() -> None:
    assert sent(FieldChange(ID, "Payment_Terms__c", None))[0].fields["Payment_Terms__c"] is None


def test_values_take_the_form_of_the_api() -> None:
    summer = datetime(2026, 7, 30, 12, tzinfo=timezone(timedelta(hours=2)))

    assert api_value(summer) == "2026-07-30T10:00:00Z"
    assert api_value(summer.date()) == "2026-07-30"
    assert str(api_value(Decimal("1000.500000"))) == "1000.5"
    assert str(api_value(Decimal("1E+3"))) == "1000"
    assert api_value(" a ") == "a"
    assert api_value(True) is True


def test_a_float_and_an_instant_without_zone_are_refused() -> None:
    with pytest.raises(TypeError, match="a float cannot hold money"):
        api_value(0.1)
    with pytest.raises(ValueError, match="has no time zone"):
        api_value(NOW.replace(tzinfo=None))
