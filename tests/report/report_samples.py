"""Reports and rows for tests: one valid value each; a test names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tieout.report import (
    Ambiguity,
    ApiCalls,
    Break,
    BridgePart,
    Delivery,
    DeliveryCount,
    Duplicate,
    FieldCount,
    MonthTieOut,
    QuarantinedRow,
    Report,
    Source,
    StepTime,
    TableRead,
    TableVersion,
    TieOut,
    VerdictCount,
    WriteBack,
)

AS_OF = datetime(2026, 10, 5, 14, 3, 22, tzinfo=UTC)

A_BREAK = Break(
    entity="customer",
    company="usmf",
    salesforce_key="001D500000Ab1CdIAJ",
    d365_key="AW00000317",
    label="Vinyl and Plastic Goods Corporation",
    field="street",
    salesforce_stored="1, place de la République",
    salesforce_compared="1, place de la république",
    d365_stored="1, place de la R‚publique",
    d365_compared="1, place de la r‚publique",
    owner="d365",
    cause="damaged_characters",
    proposed_fix="Type the street again in D365; the Salesforce value is intact.",
    first_seen=AS_OF - timedelta(days=12, hours=3),
    state="still_open",
    identity="b-3f09c1",
)

A_DELIVERY = Delivery(
    entity="sales_order",
    operation="create",
    company="usmf",
    business_key="006D500000QxYz1IAF",
    d365_key="T-006D500000QxYz1IAF",
    label="Progressive Sports, spring bikes",
    outcome="confirmed",
    amount=Decimal("20184.32"),
    currency="USD",
    effect="created",
)


def a_break(**changes: object) -> Break:
    return replace(A_BREAK, **changes)


def a_delivery(**changes: object) -> Delivery:
    return replace(A_DELIVERY, **changes)


def an_empty_report(**changes: object) -> Report:
    return replace(Report(run_id="6f1c2a90", as_of=AS_OF), **changes)


def a_clean_report(**changes: object) -> Report:
    """Two currencies that agree to the cent, nothing open."""
    return replace(
        an_empty_report(
            sources=_sources(),
            tie_out=(
                TieOut("usmf", "USD", Decimal("20134551.23"), Decimal("20134551.23")),
                TieOut("demf", "EUR", Decimal("984210.07"), Decimal("984210.07")),
            ),
            verdicts=(VerdictCount("customer", "matched", 701), VerdictCount("sales_order", "matched", 3796)),
            duration_s=41.7,
        ),
        **changes,
    )


def a_busy_report(**changes: object) -> Report:
    """A run with something of everything, as a controller would meet it."""
    return replace(
        an_empty_report(
            run_id="6f1c2a90-57d1-4c1b-9a55-2f2b7b0c1e77",
            sources=_sources(),
            tie_out=(
                TieOut("usmf", "USD", Decimal("59112034.5680"), Decimal("59044102.4420"), Decimal("71332.126")),
                TieOut("usca", "USD", Decimal("1204410.00"), Decimal("1204410.00")),
                TieOut("usca", "CAD", Decimal("14377925.59"), Decimal("14377925.59")),
                TieOut("gbsi", "GBP", Decimal("4279009.53"), Decimal("4282209.53")),
                TieOut("demf", "EUR", Decimal("1983988.04"), Decimal("1950211.80"), Decimal("33776.24")),
                TieOut("frrt", "EUR", Decimal("4607537.94"), Decimal("4607537.94")),
                TieOut("aufs", "AUD", Decimal("1594335.38"), Decimal("1594335.38")),
            ),
            months=(
                MonthTieOut("usmf", "USD", "2026-01", Decimal("50000000.00"), Decimal("50003400.00")),
                MonthTieOut(
                    "usmf", "USD", "2026-02", Decimal("9112034.5680"), Decimal("9040702.4420"), Decimal("71332.126")
                ),
                MonthTieOut("demf", "EUR", "", Decimal("33776.24"), Decimal("0.00"), Decimal("33776.24")),
            ),
            bridge=(
                BridgePart("usmf", "USD", "delivery_rejected", Decimal("41208.00"), 2),
                BridgePart("usmf", "USD", "in_flight", Decimal("30124.126"), 3),
                BridgePart("usmf", "USD", "line_differs", Decimal("-3400.00"), 1, False),
                BridgePart("gbsi", "GBP", "entered_in_d365", Decimal("-3212.40"), 1, False),
                BridgePart("demf", "EUR", "quarantined", Decimal("33776.24"), 1),
            ),
            verdicts=_verdicts(),
            field_counts=_field_counts(),
            breaks=_breaks(),
            duplicates=tuple(
                Duplicate(
                    "customer",
                    "d365",
                    "usmf",
                    f"AW{29484 + n:08d}",
                    f"{name}",
                    f"AW{n + 1:08d}",
                    "Same party 000-0" + str(4100 + n),
                )
                for n, name in enumerate(
                    (
                        "A Bike Store",
                        "Progressive Sports",
                        "Advanced Bike Components",
                        "Modular Cycle Systems",
                        "Metropolitan Sports Supply",
                        "Aerobic Exercise Company",
                        "Associated Bikes",
                        "Exemplary Cycles",
                        "Tandem Bicycle Store",
                    )
                )
            ),
            ambiguities=(
                Ambiguity(
                    "customer",
                    "salesforce",
                    "001D500000Ab9XkIAJ",
                    ("AW00000402", "AW00029701"),
                    "Two customers have this account number, and the account names no company.",
                ),
            ),
            quarantine=(
                QuarantinedRow(
                    "salesforce",
                    "opportunity_line",
                    "00kD5000003HhTqIAK",
                    "line_without_product",
                    "product",
                    "error",
                    None,
                    "The line names no product, so no order line can be made. Give it a product in Salesforce.",
                ),
                QuarantinedRow(
                    "salesforce",
                    "opportunity",
                    "006D500000Qzz11IAF",
                    "unknown_value",
                    "currency",
                    "error",
                    "FRF",
                    "FRF is not in the value map of currencies. It was replaced by EUR.",
                ),
                QuarantinedRow(
                    "salesforce",
                    "account",
                    "001D500000Ab1CwIAJ",
                    "outer_blanks",
                    "name",
                    "warn",
                    "Riding Cycles  ",
                    "The name ends in blanks.",
                ),
            ),
            deliveries=_deliveries(),
            delivery_counts=(
                DeliveryCount("customer", "confirmed", 12),
                DeliveryCount("sales_order", "confirmed", 3791),
                DeliveryCount("sales_order", "rejected", 2),
                DeliveryCount("sales_order", "in_doubt", 1),
                DeliveryCount("sales_order", "cancelled", 4),
            ),
            write_backs=(
                WriteBack(
                    "Opportunity",
                    "006D500000QxYz1IAF",
                    "Progressive Sports, spring bikes",
                    ("ERP_Order_Number__c", "ERP_Order_Status__c", "ERP_Amount__c", "ERP_Synced_At__c"),
                    "updated",
                ),
                WriteBack(
                    "Account",
                    "001D500000Ab1CdIAJ",
                    "Vinyl and Plastic Goods Corporation",
                    ("Payment_Terms__c", "Credit_Limit__c"),
                    "updated",
                ),
                WriteBack(
                    "Opportunity",
                    "006D500000QxYz9IAF",
                    "Tandem Bicycle Store, helmets",
                    ("ERP_Order_Status__c",),
                    "failed",
                    "UNABLE_TO_LOCK_ROW: unable to obtain exclusive access to this record or 1 records: 006D500000QxYz9IAF",
                ),
            ),
            api_calls=(ApiCalls("salesforce", 19, 2310, 115000), ApiCalls("d365", 64)),
            steps=tuple(
                StepTime(step, took)
                for step, took in (
                    ("salesforce/account", 1.92),
                    ("salesforce/opportunity", 3.41),
                    ("d365/customer", 6.2),
                    ("d365/sales_order", 8.84),
                    ("crosswalk/customer", 0.31),
                    ("reconciliation/sales_order", 2.07),
                    ("delivery/sales_order", 11.9),
                    ("writeback/opportunity", 2.4),
                )
            ),
            versions=tuple(
                TableVersion(table, version, rows)
                for table, version, rows in (
                    ("salesforce/account", 41, 701),
                    ("salesforce/opportunity", 57, 5012),
                    ("salesforce/opportunity_line", 57, 60855),
                    ("d365/customer", 38, 1336),
                    ("d365/sales_order", 52, 3802),
                    ("d365/sales_order_line", 52, 60811),
                )
            ),
            duration_s=74.3,
        ),
        **changes,
    )


def _sources() -> tuple[Source, ...]:
    def read(table: str, rows: int, second: int, took_s: float) -> TableRead:
        started = AS_OF - timedelta(seconds=90 - second)
        return TableRead(table, rows, started, started + timedelta(seconds=took_s))

    return (
        Source(
            "salesforce",
            "https://contoso.my.salesforce.com",
            (read("account", 701, 0, 1.9), read("opportunity", 5012, 2, 3.4), read("opportunity_line", 60855, 5, 9.1)),
        ),
        Source(
            "d365",
            "https://contoso.operations.dynamics.com",
            (
                read("customer", 1336, 1, 6.2),
                read("sales_order", 3802, 7, 8.8),
                read("sales_order_line", 60811, 15, 20.4),
            ),
        ),
    )


def _verdicts() -> tuple[VerdictCount, ...]:
    counts = {
        "customer": {"matched": 677, "differs": 20, "only_in_salesforce": 4, "duplicate": 635},
        "sales_order": {
            "matched": 3784,
            "differs": 4,
            "only_in_salesforce": 2,
            "only_in_d365": 1,
            "in_flight": 3,
            "quarantined": 2,
        },
        "sales_order_line": {
            "matched": 60798,
            "differs": 9,
            "only_in_salesforce": 31,
            "only_in_d365": 4,
            "in_flight": 17,
        },
    }
    return tuple(
        VerdictCount(entity, verdict, records) for entity, by in counts.items() for verdict, records in by.items()
    )


def _field_counts() -> tuple[FieldCount, ...]:
    rows = (
        ("customer", "name", 693, 8, 0, 0),
        ("customer", "street", 683, 0, 3, 15),
        ("customer", "city", 701, 0, 0, 0),
        ("customer", "phone", 540, 161, 0, 0),
        ("customer", "payment_terms", 699, 0, 2, 0),
        ("customer", "credit_limit", 701, 0, 0, 0),
        ("sales_order", "amount", 3787, 0, 2, 0),
        ("sales_order", "purchase_order", 3701, 86, 2, 0),
        ("sales_order_line", "quantity", 60810, 0, 1, 0),
        ("sales_order_line", "unit_price", 8029, 52782, 0, 0),
    )
    return tuple(FieldCount(*row) for row in rows)


def _breaks() -> tuple[Break, ...]:
    order = {
        "entity": "sales_order",
        "owner": "salesforce",
        "currency": "USD",
        "salesforce_key": "006D500000Qx7RzIAJ",
        "d365_key": "T-006D500000Qx7RzIAJ",
    }
    return (
        a_break(),
        a_break(
            label="Rotthäuser Fahrräder & Söhne GmbH",
            company="demf",
            d365_key="AW00000093",
            salesforce_stored="Rotthäuser Weg 511",
            salesforce_compared="rotthäuser weg 511",
            d365_stored="Rotth„user Weg 511",
            d365_compared="rotth„user weg 511",
        ),
        a_break(
            label="Bicycle Exporters",
            salesforce_stored="Zur Lindung 4\u00a0b",
            salesforce_compared="zur lindung 4 b",
            d365_stored="Zur Lind\u0081ng 4 b",
            d365_compared="zur lind\u0081ng 4 b",
            state="open",
            first_seen=AS_OF,
        ),
        a_break(
            label="Riding Cycles",
            field="name",
            owner="salesforce",
            salesforce_stored="Riding Cycles  ",
            salesforce_compared="riding cycles",
            d365_stored="Riding Cycle",
            d365_compared="riding cycle",
            cause="write_pending",
            proposed_fix="Nothing: the next run writes the name to D365.",
            needs_person=False,
            first_seen=AS_OF,
        ),
        a_break(
            label="متجر الدراجات في الخليج",
            field="payment_terms",
            salesforce_stored="Net30",
            salesforce_compared="net30",
            d365_stored="Net45",
            d365_compared="net45",
            cause="Write-back failed",
            proposed_fix="The record was locked; the next run tries again.",
            needs_person=False,
            state="reopened",
        ),
        a_break(
            **order,
            company="usmf",
            label="Tandem Bicycle Store, 40 frames",
            field="only_in_salesforce",
            salesforce_stored="38,112.00",
            salesforce_compared="38112.00",
            d365_stored=None,
            d365_compared=None,
            amount=Decimal("38112.00"),
            cause="delivery_rejected",
            detail="Customer AW00000412 is on hold for All.",
            proposed_fix="Release the customer’s hold in D365, then re-drive the delivery.",
            assigned_to="r.okafor",
            comment="Called credit control, limit is being raised.",
        ),
        a_break(
            **order,
            company="usmf",
            label="Cycle Merchants ⛵ winter",
            field="only_in_salesforce",
            salesforce_stored="3,096.00",
            salesforce_compared="3096.00",
            d365_stored=None,
            d365_compared=None,
            amount=Decimal("3096.00"),
            cause="delivery_rejected",
            detail="The value 'BK-R19B-58' in field 'Item number' is not found in the related table 'Released products'.",
            proposed_fix="Release item BK-R19B-58 to company usmf.",
        ),
        a_break(
            **order,
            company="usmf",
            label="Metropolitan Sports Supply, May",
            field="quantity",
            line_key="3",
            salesforce_stored="12",
            salesforce_compared="12",
            d365_stored="14",
            d365_compared="14",
            amount=Decimal("3400.00"),
            cause="line_differs",
            proposed_fix="Agree the quantity with the warehouse, then change the opportunity line.",
        ),
        a_break(
            **(order | {"currency": "GBP", "salesforce_key": "", "d365_key": "GBSI-000412"}),
            company="gbsi",
            label="GBSI-000412",
            field="only_in_d365",
            salesforce_stored=None,
            salesforce_compared=None,
            d365_stored="3,212.40",
            d365_compared="3212.40",
            amount=Decimal("3212.40"),
            cause="entered_in_d365",
            proposed_fix="Win an opportunity for it, or mark the order as out of scope.",
        ),
        a_break(
            label="Aerobic Exercise Company",
            field="amount",
            entity="sales_order",
            company="gbsi",
            salesforce_key="006D500000Qx8AbIAJ",
            d365_key="T-006D500000Qx8AbIAJ",
            salesforce_stored="1,200.00",
            salesforce_compared="1200.00",
            d365_stored="1,187.60",
            d365_compared="1187.60",
            amount=Decimal("12.40"),
            currency="GBP",
            owner="salesforce",
            cause="value_differs",
            proposed_fix="Compare the order’s lines; no line of it differs.",
        ),
        a_break(
            label="Settled Cycles", state="closed", cause="Corrected in D365", first_seen=AS_OF - timedelta(days=40)
        ),
    )


def _deliveries() -> tuple[Delivery, ...]:
    return (
        a_delivery(),
        a_delivery(
            label="Modular Cycle Systems, gearing",
            business_key="006D500000QxYz2IAF",
            d365_key="T-006D500000QxYz2IAF",
            amount=Decimal("874.00"),
        ),
        a_delivery(
            label="Tandem Bicycle Store, 40 frames",
            business_key="006D500000Qx7RzIAJ",
            d365_key="T-006D500000Qx7RzIAJ",
            outcome="rejected",
            effect="",
            amount=Decimal("38112.00"),
            message="Write failed for table row of type 'SalesOrderHeaderV2Entity'. Infolog: Warning: Customer AW00000412 is on hold for All; Error: validateWrite failed on data source 'SalesTable'.",
        ),
        a_delivery(
            label="Cycle Merchants ⛵ winter",
            business_key="006D500000Qx7S0IAJ",
            d365_key="T-006D500000Qx7S0IAJ",
            outcome="rejected",
            effect="",
            amount=Decimal("3096.00"),
            message="The value 'BK-R19B-58' in field 'Item number' is not found in the related table 'Released products'.",
        ),
        a_delivery(
            label="Exemplary Cycles, tyres",
            business_key="006D500000QxYz3IAF",
            d365_key="T-006D500000QxYz3IAF",
            outcome="in_doubt",
            effect="",
            amount=Decimal("1420.10"),
            message="No answer within 120 s.",
        ),
        a_delivery(
            entity="customer",
            label="متجر الدراجات في الخليج",
            business_key="001D500000AbZZ1IAJ",
            d365_key="T-001D500000AbZZ1IAJ",
            amount=None,
            currency="",
        ),
    )
