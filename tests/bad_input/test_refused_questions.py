"""Questions that a system refuses: the run ends with the system's own words, and the next one goes on."""

import json

import pytest

from resources.connections import D365Resource, SalesforceResource
from tests.bad_input.books import Books
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Installation
from tieout.errors import RequestRefused

MALFORMED = "\nSystemModstamp FROM\n               ^\nERROR at Row:1:Column:7\nunexpected token: FROM"
ODATA_WORDS = "Invalid argument type for a call to a method of the data source."


@pytest.fixture(scope="module")
def installation(install: Install) -> Installation:
    books = Books()
    books.deal(customer="C-1")
    return install(books)


def test_the_words_of_the_soql_parser_are_in_the_message(installation: Installation) -> None:
    with (
        installation.environs(),
        SalesforceResource().client() as client,
        pytest.raises(RequestRefused) as refused,
    ):
        client.query("SELECT Id FROM Account WHERE Name LIKE")

    assert str(refused.value).startswith("Salesforce refused. MALFORMED_QUERY: ")
    assert "unexpected token" in str(refused.value)


def test_the_words_of_the_odata_service_are_in_the_message(installation: Installation) -> None:
    with installation.environs(), D365Resource().client() as client, pytest.raises(RequestRefused) as refused:
        client.rows("CustomersV3", where="NoSuchProperty eq 'x'")

    assert "Could not find a property named 'NoSuchProperty'" in str(refused.value)


def test_a_run_that_meets_a_soql_error_ends_with_its_words_and_the_next_one_goes_on(
    installation: Installation,
) -> None:
    refusal = [{"message": MALFORMED, "errorCode": "MALFORMED_QUERY"}]
    installation.systems.salesforce.fault("refuse", path="queryAll/", status=400, body=refusal)

    run = installation.run()

    assert not run.success
    assert run.problem == (
        "Salesforce refused. MALFORMED_QUERY: SystemModstamp FROM ^ ERROR at Row:1:Column:7 unexpected token: FROM"
    )
    assert installation.systems.d365.orders_made() == []
    assert installation.run(only=["salesforce/account", "salesforce/opportunity"]).success


def test_a_run_that_meets_an_odata_error_ends_with_its_words_and_the_next_one_goes_on(
    installation: Installation,
) -> None:
    error = {
        "code": "",
        "message": "An error has occurred.",
        "innererror": {"message": ODATA_WORDS, "stacktrace": "at"},
    }
    # Where D365 refuses the question for open orders, all of them are asked for: that is refused as well.
    installation.systems.d365.fault(
        "refuse", path="/data/SalesOrderLines", status=400, body=json.dumps({"error": error}), times=None
    )

    run = installation.run()

    assert not run.success
    assert run.problem == f"D365 at 127.0.0.1: {ODATA_WORDS}"
    assert installation.systems.d365.orders_made() == []
    installation.systems.d365.mend()
    assert installation.run(only=["d365/sales_order_line"]).success


def test_a_set_that_the_user_may_not_read_is_told_with_what_to_give_it(installation: Installation) -> None:
    d365 = installation.systems.d365
    d365.post("settings", forbidden_sets=["CustomersV3"])

    run = installation.run(only=["d365/customer"])

    d365.post("settings", forbidden_sets=[])
    assert not run.success
    assert run.problem.startswith("D365 at 127.0.0.1 does not allow this (")
    assert run.problem.endswith("Give the user of client tieout-sandbox a role for the entity.")
