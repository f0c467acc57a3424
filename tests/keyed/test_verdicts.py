"""What a keyed comparison says about small books: equal and different values, splits, duplicates, missing orders, totals."""

from dataclasses import replace
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.keyed.orders import COMPARISON, FIELDS, Order, compared, delivered, relation
from tieout.compared_field import ComparedField
from tieout.keyed import KeyedComparison, compare

AN_ORDER = Order("006A")


def verdict_on(con: duckdb.DuckDBPyConnection, order: Order, *parts: Order) -> tuple[str, str | None]:
    verdicts, _ = compared(con, [order], parts)
    assert set(verdicts) == {order.key}
    return verdicts[order.key]


@pytest.mark.parametrize(
    ("field", "value", "there", "is_equal"),
    [
        ("amount", "100.00", "100.01", True),
        ("amount", "100.00", "99.99", True),
        ("amount", "100.00", "100.02", False),
        ("amount", "100.00", None, False),
        ("amount", None, "0.00", False),
        ("amount", None, None, True),
        ("quantity", "10.00", "10.01", False),
        ("quantity", None, None, True),
        ("rate", "1.0000", "1.0100", True),
        ("rate", "1.0000", "1.0102", False),
        ("rate", "1.0000", None, False),
        ("status", "open", "closed", False),
        ("status", None, "open", False),
        ("status", None, None, True),
        ("ship_date", "2026-03-01", "2026-03-02", False),
        ("ship_date", "2026-03-01", None, False),
        ("ship_date", None, "2026-03-02", True),
    ],
)
def test_a_value_is_judged_by_its_tolerance_and_by_what_its_owner_says(
    con: duckdb.DuckDBPyConnection, field: str, value: str | None, there: str | None, is_equal: bool
) -> None:
    is_number = next(each.is_number for each in FIELDS if each.name == field)
    here, there_ = (Decimal(text) if text and is_number else text for text in (value, there))

    found = verdict_on(con, replace(AN_ORDER, **{field: here}), delivered(AN_ORDER, **{field: there_}))

    assert found == (("matched", None) if is_equal else ("differs", field))


def test_all_fields_that_differ_are_named_in_the_order_of_the_contract(con: duckdb.DuckDBPyConnection) -> None:
    part = delivered(AN_ORDER, quantity=Decimal(1), status="closed", amount=Decimal(7))

    assert verdict_on(con, AN_ORDER, part) == ("differs", "status,amount,quantity")


class TestSplits:
    """One Salesforce order delivered as several D365 orders."""

    def test_sixty_and_forty_of_a_hundred_match(self, con: duckdb.DuckDBPyConnection) -> None:
        parts = [
            delivered(AN_ORDER, "T-1", amount=Decimal(60), quantity=Decimal(6)),
            delivered(AN_ORDER, "T-2", amount=Decimal(40), quantity=Decimal(4)),
        ]
        verdicts, _ = compared(con, [AN_ORDER], parts)
        rows = con.execute("SELECT salesforce_rows, d365_rows FROM keyed_verdict").fetchall()

        assert verdicts == {"006A": ("matched", None)}
        assert rows == [(1, 2)]

    @pytest.mark.parametrize(
        ("second", "is_equal"), [("40.01", True), ("40.02", False), ("39.99", True), ("39.98", False)]
    )
    def test_the_tolerance_is_that_of_the_whole_not_of_each_part(
        self, con: duckdb.DuckDBPyConnection, second: str, is_equal: bool
    ) -> None:
        parts = [
            delivered(AN_ORDER, "T-1", amount=Decimal(60), quantity=Decimal(6)),
            delivered(AN_ORDER, "T-2", amount=Decimal(second), quantity=Decimal(4)),
        ]
        assert verdict_on(con, AN_ORDER, *parts) == (("matched", None) if is_equal else ("differs", "amount"))

    def test_a_value_that_does_not_add_up_has_to_fit_in_every_part(self, con: duckdb.DuckDBPyConnection) -> None:
        parts = [
            delivered(AN_ORDER, "T-1", amount=Decimal(60), quantity=Decimal(6)),
            delivered(AN_ORDER, "T-2", amount=Decimal(40), quantity=Decimal(4), currency="USD", rate=Decimal(2)),
        ]
        assert verdict_on(con, AN_ORDER, *parts) == ("differs", "currency,rate")

    def test_whole_copies_are_not_taken_for_parts(self, con: duckdb.DuckDBPyConnection) -> None:
        assert verdict_on(con, AN_ORDER, delivered(AN_ORDER, "T-1"), delivered(AN_ORDER, "T-2")) == (
            "differs",
            "amount,quantity",
        )

    def test_an_empty_part_adds_nothing(self, con: duckdb.DuckDBPyConnection) -> None:
        parts = [delivered(AN_ORDER, "T-1"), delivered(AN_ORDER, "T-2", amount=None, quantity=None)]

        assert verdict_on(con, AN_ORDER, *parts) == ("matched", None)

    def test_orders_of_nothing_match_a_whole_of_nothing(self, con: duckdb.DuckDBPyConnection) -> None:
        nothing = replace(AN_ORDER, amount=Decimal(0), quantity=Decimal(0))

        assert verdict_on(con, nothing, delivered(nothing, "T-1"), delivered(nothing, "T-2")) == ("matched", None)


class TestDuplicates:
    """The same record twice on one side."""

    def test_an_order_twice_in_salesforce_is_a_duplicate(self, con: duckdb.DuckDBPyConnection) -> None:
        verdicts, _ = compared(con, [AN_ORDER, AN_ORDER], [delivered(AN_ORDER)])
        assert verdicts == {"006A": ("duplicate", None)}

    def test_an_order_twice_in_d365_is_a_duplicate_and_no_split(self, con: duckdb.DuckDBPyConnection) -> None:
        half = delivered(AN_ORDER, amount=Decimal(50), quantity=Decimal(5))
        assert verdict_on(con, AN_ORDER, half, half) == ("duplicate", None)

    def test_a_part_that_is_there_twice_makes_the_split_a_duplicate(self, con: duckdb.DuckDBPyConnection) -> None:
        part = delivered(AN_ORDER, "T-1", amount=Decimal(30), quantity=Decimal(3))
        rest = delivered(AN_ORDER, "T-2", amount=Decimal(40), quantity=Decimal(4))
        assert verdict_on(con, AN_ORDER, part, part, rest) == ("duplicate", None)

    @pytest.mark.parametrize(("here", "there"), [(2, 2), (3, 1), (1, 3), (2, 0), (0, 2)])
    def test_copies_never_cancel_each_other_out(self, con: duckdb.DuckDBPyConnection, here: int, there: int) -> None:
        """The hashes of an even or odd number of equal rows must not look like one pair."""
        verdicts, _ = compared(con, [AN_ORDER] * here, [delivered(AN_ORDER)] * there)
        assert verdicts == {"006A": ("duplicate", None)}


class TestMissing:
    """What only one system has."""

    def test_both_directions_are_told_apart(self, con: duckdb.DuckDBPyConnection) -> None:
        verdicts, _ = compared(con, [AN_ORDER], [Order("T-own"), delivered(Order("006gone"))])
        assert verdicts == {
            "006A": ("only_in_salesforce", None),
            "T-own": ("only_in_d365", None),
            "006gone": ("only_in_d365", None),
        }

    def test_parts_of_an_order_that_is_gone_are_one_group(self, con: duckdb.DuckDBPyConnection) -> None:
        verdicts, _ = compared(con, [], [delivered(AN_ORDER, "T-1"), delivered(AN_ORDER, "T-2")])
        assert verdicts == {"006A": ("only_in_d365", None)}

    def test_two_empty_books_agree(self, con: duckdb.DuckDBPyConnection) -> None:
        verdicts, result = compared(con, [], [])
        assert (verdicts, result.verdicts, result.totals) == ({}, {}, {})


def test_two_keys_with_one_hash_are_told_apart(con: duckdb.DuckDBPyConnection) -> None:
    """A hash only picks candidates: the keys decide, whether the twins stand on one side or on two."""
    books = [Order("006A"), Order("006B")], [delivered(Order("006A")), delivered(Order("006C"), status="closed")]
    same = (f"(SELECT * REPLACE (1 AS _key_hash) FROM {relation(orders)})" for orders in books)

    compare(con, COMPARISON, *same)

    found = con.execute("SELECT key, verdict FROM keyed_verdict ORDER BY key").fetchall()
    assert found == [("006A", "matched"), ("006B", "only_in_salesforce"), ("006C", "only_in_d365")]


@pytest.mark.parametrize("amount", ["100.00", "100.01"])
def test_one_pair_of_different_keys_with_one_hash_is_no_match(con: duckdb.DuckDBPyConnection, amount: str) -> None:
    near = delivered(Order("006B"), amount=Decimal(amount))
    same = (f"(SELECT * REPLACE (1 AS _key_hash) FROM {relation(orders)})" for orders in ([Order("006A")], [near]))

    compare(con, COMPARISON, *same)

    found = con.execute("SELECT key, verdict FROM keyed_verdict ORDER BY key").fetchall()
    assert found == [("006A", "only_in_salesforce"), ("006B", "only_in_d365")]


def test_totals_are_exact_and_kept_apart_by_currency(con: duckdb.DuckDBPyConnection) -> None:
    many = [Order(f"006{number}", amount=Decimal("0.10")) for number in range(1000)]
    _, result = compared(con, [*many, Order("006usd", currency="USD", amount=None)], [delivered(each) for each in many])

    assert result.totals["salesforce", "EUR"].amounts == {"amount": Decimal("100.00")}
    assert result.totals["d365", "EUR"].amounts == {"amount": Decimal("100.00")}
    assert result.totals["salesforce", "USD"].rows == 1
    assert ("d365", "USD") not in result.totals


AMOUNTS = st.decimals("-3", "3", places=2)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(
        st.tuples(
            st.lists(st.tuples(AMOUNTS | st.none(), st.sampled_from(["open", "closed", None])), max_size=2),
            st.lists(
                st.tuples(st.integers(1, 2), AMOUNTS | st.none(), st.sampled_from(["open", "closed", None])), max_size=3
            ),
        ),
        max_size=6,
    )
)
def test_any_books_are_judged_as_a_person_would_row_by_row(groups: list[tuple[list[tuple], list[tuple]]]) -> None:
    salesforce, d365, expected = [], [], {}
    for number, (wholes, parts) in enumerate(groups):
        key = f"006{number}"
        here = [Order(key, amount=amount, status=status, quantity=None) for amount, status in wholes]
        there = [
            Order(f"T-{number}-{part}", key, amount=amount, status=status, quantity=None)
            for part, amount, status in parts
        ]
        salesforce += here
        d365 += there
        if here or there:
            expected[key] = _by_hand(here, there)

    with duckdb.connect() as con:
        verdicts, result = compared(con, salesforce, d365)

    assert verdicts == expected
    assert result.verdicts == {
        word: count
        for word in {verdict for verdict, _ in expected.values()}
        if (count := sum(verdict == word for verdict, _ in expected.values()))
    }


def _by_hand(here: list[Order], there: list[Order]) -> tuple[str, str | None]:
    if len(here) > 1 or len({each.key for each in there}) < len(there):
        return "duplicate", None
    if not there:
        return "only_in_salesforce", None
    if not here:
        return "only_in_d365", None
    amounts = [each.amount for each in there if each.amount is not None]
    total = sum(amounts) if amounts else None
    fields = []
    if any(each.status != here[0].status for each in there):
        fields.append("status")
    if (total is None) != (here[0].amount is None) or (
        total is not None and here[0].amount is not None and abs(total - here[0].amount) > Decimal("0.01")
    ):
        fields.append("amount")
    return ("differs", ",".join(fields)) if fields else ("matched", None)


@pytest.mark.parametrize(
    ("fields", "additive", "currency", "complaint"),
    [
        ((), frozenset(), None, "needs fields"),
        ((FIELDS[0], FIELDS[0]), frozenset(), None, "each once"),
        (FIELDS, frozenset({"weight"}), None, "called weight"),
        (FIELDS, frozenset(), "coin", "called coin"),
        (FIELDS, frozenset({"status"}), None, "status cannot be additive"),
        ((ComparedField("name", "name", "d365", "report", primary_only=True),), frozenset(), None, "primary customers"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(
    fields: tuple[ComparedField, ...], additive: frozenset[str], currency: str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        KeyedComparison(fields, additive, currency)
