"""What a `$filter` lets through, asked of a real Postgres and a real DuckDB, and what it can never do."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from odata_query.grammar import ODataLexer
from sqlalchemy.dialects import postgresql

from desk.feed.filters import condition_of
from desk.feed.functions import FUNCTIONS
from desk.feed.model import BREAKS, ENTITY_SETS
from desk.feed.problems import FeedProblem
from resources.ledger import Ledger
from resources.ledger.break_queries import BreakFilter
from tests.desk.books import NOW, Served, a_break, a_verdict, in_days, keep_breaks, keep_verdicts, served
from tieout.contract import Contracts

INJECTIONS = [
    "'; drop table tieout.break; --",
    "' or '1'='1",
    "\\'; select pg_sleep(60); --",
    "$1 %s %(x)s :x ?",
    "x' union select usename from pg_user--",
    "\u202e\U0001f4a3%_",
]


@pytest.fixture
def asked(tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Served]:
    """Four breaks: `old` is closed, `none` has no amount, `quote` has a name with a quote in it."""
    keep_breaks(ledger, a_break("old", amount=Decimal("5"), cause="rounding"))
    keep_breaks(
        ledger,
        a_break("big", amount=Decimal("100.10"), company="demf", needs_a_person=False),
        a_break("none", amount=None, salesforce_value=None, label="ÄPFEL "),
        a_break("quote", amount=Decimal("-0.000001"), label="O'Neil 100%"),
        at=NOW + timedelta(hours=1),
        run_id="run 2",
    )
    ledger.breaks.accept("big", in_days(3), "", "ann")
    with served(tmp_path / "lake", ledger, contracts) as running:
        yield running


def found(desk: Served, text: str) -> str:
    """The identities that a filter lets through, in order, or the status that refuses it."""
    answer = desk.get(f"/odata/Breaks?$select=identity&$filter={quote(text)}")
    if answer.status_code != 200:
        return str(answer.status_code)
    return " ".join(row["identity"] for row in answer.json()["value"])


def test_filters_let_through_what_odata_says(asked: Served) -> None:
    wanted = {
        "identity eq 'big'": "big",
        "'big' eq identity": "big",
        "state eq 'open'": "big none quote",
        "state ne 'open'": "old",
        "amount eq 100.1": "big",
        "amount eq 100.10000000": "big",
        "amount eq -0.000001": "quote",
        "amount eq -1e-6": "quote",
        "amount lt 0": "quote",
        "amount ge 5": "big old",
        "not (amount ge 5)": "none quote",
        "not(amount ge 5)": "none quote",
        "amount ne 5": "big none quote",
        "not (amount ne 5)": "old",
        "amount eq null": "none",
        "amount ne null": "big old quote",
        "null ne amount": "big old quote",
        "amount gt null": "",
        "null eq null": "big none old quote",
        "identity eq null": "",
        "amount in (5,100.1)": "big old",
        "amount in (5)": "old",
        "identity in ('big')": "big",
        "identity in ('big') or identity in ('old','none')": "big none old",
        "not (amount in (5))": "big none quote",
        "amount in (null,5)": "none old",
        "needs_a_person": "none old quote",
        "needs_a_person eq false": "big",
        "not needs_a_person": "big",
        "company eq 'demf' or cause eq 'rounding' and state eq 'open'": "big",
        "(company eq 'demf' or cause eq 'rounding') and state eq 'closed'": "old",
        "contains(label,'O''Neil')": "quote",
        "contains(label,'100%')": "quote",
        "contains(label,'%')": "quote",
        "contains(label,'_')": "",
        "startswith(identity,'o') or endswith(identity,'g')": "big old",
        "endswith(identity,'')": "big none old quote",
        "tolower(trim(label)) eq 'äpfel'": "none",
        "toupper(company) eq 'DEMF'": "big",
        "length(identity) eq 5": "quote",
        "indexof(identity,'g') eq 2": "big",
        "concat(identity,'x') eq 'bigx'": "big",
        "contains(salesforce_value,'100')": "big old quote",
        "not contains(salesforce_value,'nothing')": "big old quote",
        "salesforce_value eq d365_value": "",
        "salesforce_value ne d365_value": "big none old quote",
        "first_seen le now()": "old",
        "first_seen gt 2020-01-01T00:00:00Z and year(first_seen) ge 2024": "big none old quote",
        "first_seen lt 2020-01-01T00:00:00+14:00": "",
        "month(first_seen) ge 1 and day(first_seen) le 31 and hour(first_seen) lt 24": "big none old quote",
        "minute(first_seen) lt 60 and second(first_seen) lt 60": "big none old quote",
        "date(first_seen) gt 2020-01-31": "big none old quote",
        f"accepted_until eq {in_days(3)}": "big",
        "year(accepted_until) ge 2024": "big",
        "closed_at ne null": "old",
        "round(amount) eq 100 or floor(amount) eq -1 or ceiling(amount) eq 101": "big quote",
        "times_opened eq 1": "big none old quote",
    }

    assert {text: found(asked, text) for text in wanted} == wanted


def test_the_lake_is_filtered_by_the_same_rules(desk: Served) -> None:
    keep_verdicts(
        desk.desk.lake,
        a_verdict(1, company="usmf", month=None),
        a_verdict(2, company="O'Neil", d365_amount=Decimal("60.5"), verdict="differs"),
    )
    wanted = {
        "company eq 'O''Neil'": 1,
        "difference eq 39.5": 1,
        "difference ge 0 and not(is_explained)": 1,
        "month ne '2026-10'": 1,
        "month eq null": 1,
        "not (month eq '2026-10')": 1,
        "records in (1)": 2,
        "company in ('usmf','x') or contains(toupper(company),'NEIL')": 2,
        "startswith(identity,'O''Neil|USD') and endswith(identity,'false') and length(company) eq 6": 1,
        "indexof(company,'s') eq 1 and concat(company,currency) eq 'usmfUSD'": 1,
        "round(difference) eq 40 and floor(difference) eq 39 and ceiling(difference) eq 40": 1,
        "salesforce gt 0.000000000001 and salesforce lt 1234567890123456789012": 2,
        "trim(tolower(company)) eq 'usmf'": 1,
        "is_explained eq true": 1,
    }

    got = {text: desk.get(f"/odata/TieOutBridge/$count?$filter={quote(text)}").text for text in wanted}
    assert got == {text: str(number) for text, number in wanted.items()}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        (" ", 400),
        ("identity", 400),
        ("5", 400),
        ("null", 400),
        ("identity eq", 400),
        ("identity eq 'x", 400),
        ('identity eq "x"', 400),
        ("identity == 'x'", 400),
        ("nothing eq 'x'", 400),
        ("searched eq 'x'", 400),
        ("identity eq 5", 400),
        ("amount eq 'x'", 400),
        ("first_seen ge 2026-01-01", 400),
        ("first_seen ge 2026-01-01T00:00:00", 400),
        ("first_seen ge 2026-02-31T00:00:00Z", 400),
        ("first_seen ge 9999-12-31T23:59:59-14:00", 400),
        ("accepted_until eq 2026-02-30", 400),
        ("accepted_until eq 2026-01-01T00:00:00Z", 400),
        ("amount eq 1e999999999", 400),
        ("amount eq 0.0000000000001", 400),
        ("amount eq 99999999999999999999999", 400),
        ("amount eq " + "9" * 6000, 400),
        ("amount eq NaN", 400),
        ("amount eq ١", 400),
        ("needs_a_person gt false", 400),
        ("not identity", 400),
        ("identity and needs_a_person", 400),
        ("contains(label)", 400),
        ("contains(label,5)", 400),
        ("pg_sleep(60) eq null", 400),
        ("geo.length(label) eq 1", 501),
        ("matchesPattern(label,'(a+)+$')", 501),
        ("substring(label,1) eq 'x'", 501),
        ("amount add 1 eq 2", 501),
        ("amount div 0 eq 1", 501),
        ("-amount eq 1", 501),
        ("label/x eq 'x'", 501),
        ("lines/any(x:x/amount gt 1)", 501),
        ("identity in (label)", 501),
        ("identity in ()", 400),
        ("identity in (5,'x')", 400),
        ("('a','b')", 400),
        ("identity eq 12345678-1234-1234-1234-123456789012", 400),
        ("amount eq duration'P1D'", 501),
        ("identity eq 'a\x00b'", 400),
        ("identity eq 'a'; drop table tieout.break", 400),
        ("identity eq 'a' -- ", 400),
    ],
)
def test_what_is_no_condition_is_refused_in_a_sentence(desk: Served, text: str, status: int) -> None:
    answer = desk.get(f"/odata/Breaks?$filter={quote(text)}")

    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"]["message"].endswith("."), answer.text


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_hostile_text_is_a_text(desk: Served, text: str) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1", label=text), a_break("b2"))
    keep_verdicts(desk.desk.lake, a_verdict(1, company=text), a_verdict(2))
    value = "'" + text.replace("'", "''") + "'"

    for test in (f"label eq {value}", f"contains(label,{value})", f"label in ({value})"):
        assert found(desk, test) == "b1", test
    assert desk.get(f"/odata/TieOutBridge/$count?$filter={quote(f'company eq {value}')}").text == "1"
    # Without the quotes doubled it is no filter, or one that lets nothing else through.
    assert found(desk, f"label eq '{text}'") in ("400", "501", "b1", "b1 b2")
    assert desk.desk.ledger.break_queries.count(BreakFilter("all")) == 2


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_value_stands_in_the_statement(text: str) -> None:
    value = text.replace("'", "''")
    condition = condition_of(BREAKS, f"label eq '{value}' or contains(label,'{value}') or amount gt 987654321")

    compiled = condition.compile(dialect=postgresql.dialect())

    assert text not in compiled.string
    assert "987654321" not in compiled.string
    assert text in compiled.params.values()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "needs_a_person" + ")" * 5000,
        "(" * 41 + "needs_a_person" + ")" * 41,
        "not " * 4000 + "needs_a_person",
        "tolower(" * 2000 + "label" + ")" * 2000 + " eq 'x'",
        "/".join(["a"] * 9000) + " eq 1",
        "a" * 25_000,
        " or ".join(["identity eq 'x'"] * 1200),
        "-" * 3000 + "1 eq 1",
        "'" * 15_001,
        " eq ".join(["1"] * 1900),
        "identity in (" + ",".join(["'x'"] * 2500) + ")",
    ],
    ids=lambda text: text[:12],
)
def test_a_filter_without_bounds_is_refused_soon(text: str) -> None:
    with pytest.raises(FeedProblem) as refused:
        condition_of(BREAKS, text)

    assert refused.value.status in (400, 501)


def test_many_keys_in_one_filter_are_no_nesting(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, *(a_break(f"b{each:03d}") for each in range(700)))
    chain = " or ".join(f"identity eq 'b{each:03d}'" for each in range(600))
    many = "identity in (" + ",".join(f"'b{each:03d}'" for each in range(600)) + ")"

    for text in (chain, many, "(" * 30 + chain + ")" * 30):
        assert desk.get(f"/odata/Breaks/$count?$filter={quote(text)}").text == "600"


def test_every_property_and_function_can_be_written_in_a_filter() -> None:
    """The grammar takes names that begin with `true`, `any` or `null` for something else."""
    for entity_set in ENTITY_SETS.values():
        for each in entity_set.properties:
            assert [token.type for token in ODataLexer().tokenize(each.name)] == ["ODATA_IDENTIFIER"], each.name
    for name in FUNCTIONS:
        assert [token.type for token in ODataLexer().tokenize(name)] == ["ODATA_IDENTIFIER"], name
