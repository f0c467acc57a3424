"""What is proposed, and why: constructed parties, and real lists with known truth."""

import math
from decimal import Decimal

import duckdb
import pytest

from tests.conftest import PROJECT
from tests.matching.parties import a_party, connection, strangers
from tieout.matching import Proposal, propose
from tieout.matching.model import LEAST_FOR_PRIOR
from tieout.matching.proposals import PROPOSE_FROM

SITES = PROJECT.parent / "shared" / "data" / "company_matching" / "chicago_sites_true_ids.csv.gz"


def links(left: list[dict[str, str | None]], right: list[dict[str, str | None]]) -> list[Proposal]:
    """Proposals between two systems that hold forty strangers each besides."""
    con = connection(account=[*left, *strangers("a", 40)], customer=[*right, *strangers("z", 0), *_others("c", 40)])
    return propose(con, "link", "account", "customer")


def _others(prefix: str, number: int) -> list[dict[str, str | None]]:
    """Strangers of the strangers."""
    return [party | {"key": f"{prefix}{each}"} for each, party in enumerate(strangers("x", 200)[200 - number :])]


@pytest.mark.parametrize(
    "spelling",
    [
        {"name": "CONTOSO PUMPS, INC.", "phone": None, "email": None},
        {"name": "Contoso Pumps GmbH", "street": "12 Harbour St.", "phone": "(206) 555-0100"},
        {"name": "Pumps Contoso Ltd", "email": None},
        {"name": "Cóntoso  Pumps", "postal_code": "98 101", "phone": None},
    ],
)
def test_another_spelling_of_the_same_company_is_proposed(spelling: dict[str, str | None]) -> None:
    (found,) = links([a_party("left")], [a_party("right", **spelling)])

    assert (found.left_key, found.right_key) == ("left", "right")
    assert found.probability > 0.9


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Fabrikam Bikes", "phone": "+1 206 555 0177", "email": "info@fabrikam.example"},
        {
            "street": "9 Mill Lane",
            "city": "Boston",
            "postal_code": "02101",
            "phone": "617 555 0199",
            "email": "hi@other.example",
            "name": "Contoso Bakery",
        },
    ],
)
def test_a_neighbour_or_a_namesake_is_not_proposed(other: dict[str, str | None]) -> None:
    assert links([a_party("left")], [a_party("right", **other)]) == []


def test_the_explanation_adds_up_to_the_weight_to_the_last_digit() -> None:
    (found,) = links([a_party("left")], [a_party("right", name="Contoso Pumps Ltd", street="14 Harbour Street")])

    assert sum((part.weight for part in found.evidence), Decimal(0)) + found.prior == found.weight
    # The prior is what is left over, and would hide a part that the explanation forgot; so it has to be the odds of any two records.
    assert float(found.prior) == pytest.approx(math.log2(1 / (LEAST_FOR_PRIOR - 1)), abs=0.05)
    assert found.probability == pytest.approx(1 / (1 + 2 ** -float(found.weight)), abs=1e-5)
    said = {part.comparison: part.words for part in found.evidence}
    assert said["name"] == "the same name"
    assert said["phone"] == "the same phone number"
    assert "tax number" not in said  # neither has one, so it says nothing


def test_an_exact_rule_comes_before_the_model() -> None:
    found = links(
        [
            a_party("1", tax_number="DE 123.456.789"),
            a_party("2", name="Fabrikam", phone="5559999999", email=None, street="1 X", tax_number=None),
        ],
        [
            a_party("3", tax_number="de123456789", name="Something Else AG"),
            a_party("4", name="Fabrikam", phone="5559999999", email=None, street="1 X"),
        ],
    )

    assert [(each.left_key, each.right_key, each.found_by) for each in found[:2]] == [
        ("1", "3", "same_tax_number"),
        ("2", "4", "same_name_and_address"),
    ]


def test_what_an_exact_rule_finds_is_proposed_even_where_the_model_is_sure_of_the_contrary() -> None:
    moved = a_party(
        "2", tax_number="DE1234567", name="Quite Other AG", street="9 Mill Lane", city="Boston", postal_code="02101",
        phone="617 555 0199", email="hi@other.example",
    )  # fmt: skip

    (found,) = links([a_party("1", tax_number="DE 123-4567")], [moved])

    assert found.found_by == "same_tax_number"
    assert found.probability < PROPOSE_FROM
    assert {part.comparison: (part.left, part.right) for part in found.evidence}["name"] == (
        "Contoso Pumps",
        "Quite Other AG",
    )


def test_an_exact_rule_finds_one_customer_in_each_company() -> None:
    found = links([a_party("1")], [a_party("2", company="usmf"), a_party("3", company="demf")])

    assert {(each.right_key, each.found_by) for each in found} == {
        ("2", "same_name_and_address"),
        ("3", "same_name_and_address"),
    }


def test_the_same_customer_in_two_companies_is_no_double() -> None:
    con = connection(customer=[a_party("1"), a_party("2", company="demf"), *strangers("c", 40)])

    assert propose(con, "duplicate_in_d365", "customer") == []
    assert len(propose(con, "duplicate_in_salesforce", "customer")) == 1


def test_an_exact_rule_that_finds_two_partners_decides_nothing() -> None:
    found = links([a_party("1")], [a_party("2"), a_party("3")])

    assert {each.found_by for each in found} == {"model"}
    assert {each.right_key for each in found} == {"2", "3"}


def test_doubles_inside_one_system_are_found_once() -> None:
    con = connection(customer=[a_party("1"), a_party("2", name="Contoso Pumps Inc"), *strangers("c", 40)])

    (found,) = propose(con, "duplicate_in_d365", "customer")

    assert {found.left_key, found.right_key} == {"1", "2"}


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "'; DROP TABLE account; --", "=cmd()", "\u202eשלום", "x" * 300, "   ", "???"]
)
def test_hostile_names_are_matched_as_text(name: str) -> None:
    found = links([a_party("1", name=name)], [a_party("2", name=name)])

    assert [(each.left_key, each.right_key) for each in found] == [("1", "2")]
    assert found[0].left["name"] == name


def test_the_same_parties_are_proposed_the_same_each_time() -> None:
    left, right = [a_party("1"), *strangers("a", 300)], [a_party("2"), *_others("c", 150)]

    first, second = (
        propose(connection(account=rows, customer=right), "link", "account", "customer") for rows in (left, left[::-1])
    )

    assert first == second


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (1, 1)])
def test_next_to_nothing_is_no_error(sizes: tuple[int, int]) -> None:
    left, right = strangers("a", sizes[0]), _others("c", sizes[1])
    con = connection(account=left, customer=right)

    assert propose(con, "link", "account", "customer") == []
    assert propose(con, "duplicate_in_salesforce", "account") == []


def test_real_lists_with_known_truth_are_matched_well() -> None:
    if not SITES.exists():
        pytest.skip(f"no data in {SITES.parent}")
    con = duckdb.connect(config={"threads": 2})
    con.execute(
        f"CREATE TABLE site AS SELECT * FROM read_csv('{SITES}', header = true, all_varchar = true, quote = '\"', escape = '\"', new_line = '\\n')"
    )
    con.execute(
        """CREATE VIEW party AS SELECT Id AS key, '' AS company, Id AS number, "Site name" AS name, Address AS street, NULL::VARCHAR AS city,
    regexp_extract(coalesce(Zip, ''), '([0-9]{5})', 1) AS postal_code, 'US' AS country, Phone AS phone, NULL::VARCHAR AS email, NULL::VARCHAR AS tax_number
FROM site"""
    )
    site_of = dict(con.execute('SELECT Id, "True Id" FROM site').fetchall())

    found = propose(con, "duplicate_in_d365", "party")
    right = sum(site_of[each.left_key] == site_of[each.right_key] for each in found)

    assert right / len(found) > 0.9
    assert right / 6_608 > 0.9
