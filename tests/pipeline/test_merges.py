"""The main job on accounts that were merged in Salesforce and a customer that was renumbered in D365, over HTTP and a real ledger."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
import requests

from pipelines.services import processes
from resources.ledger import Ledger
from tests.conftest import PROJECT
from tests.pipeline.installation import API, Books, Installation, Run, running_installation
from tests.pipeline.reading import CUSTOMERS, HEADERS, effects_of, report_of, written_back

SEED = "generated:600"
NEW_NUMBER, NEW_PHONE = "RENAMED-1", "+1 555 0100777"
KEPT = (
    *(
        "Name",
        "Phone",
        "Email__c",
        "CurrencyIsoCode",
        "ERP_Company__c",
        "Payment_Terms__c",
        "Credit_Limit__c",
        "ERP_On_Hold__c",
    ),
    *("BillingStreet", "BillingCity", "BillingPostalCode", "BillingState", "BillingCountry"),
)
"""What a new account needs of another one to agree with its customer."""


@dataclass
class Changes:
    """What happened in the two systems between the second and the third run, by account id."""

    company_of: dict[str, str] = field(default_factory=dict)
    with_customer: tuple[str, str] = ("", "")  # loser, master: both have a customer
    moving: tuple[str, str] = ("", "")  # the master is a new account
    chain: tuple[str, str, str] = ("", "", "")
    lost: tuple[str, str] = ("", "")  # the master is gone before anybody reads it
    renumbered: str = ""
    won: str = ""  # an opportunity of the moving loser, won after the merge
    customer_of: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def installation(
    prepared_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation on a seed with enough accounts about which nothing was planted."""
    folder = tmp_path_factory.mktemp("seeded") / "sandbox"
    command = processes.python("sandbox", "seed", SEED, "--state", str(folder))
    subprocess.run(command, check=True, capture_output=True, cwd=PROJECT)
    with running_installation(folder, prepared_database()) as running:
        yield running


@pytest.fixture(scope="module")
def second_run(installation: Installation) -> Run:
    installation.run()
    time.sleep(1)
    return installation.run()


@pytest.fixture(scope="module")
def changes(installation: Installation, second_run: Run) -> Changes:  # noqa: ARG001 the order
    books, made = installation.books(), Changes()
    accounts = quiet_accounts(installation, books)
    ids = [row["Id"] for row in accounts]
    made.customer_of = {row["Id"]: row["ERP_Number__c"].partition("/")[2] for row in accounts}
    of_open_deal = next(row for row in open_deals(books) if row["AccountId"] in ids)
    mover, made.won = of_open_deal["AccountId"], of_open_deal["Id"]
    ids.remove(mover)
    rows = {row["Id"]: row for row in accounts}
    made.with_customer = next(
        (one, other) for one, other in combinations(ids, 2) if rows[one]["company"] == rows[other]["company"]
    )
    ids = [each for each in ids if each not in made.with_customer]
    made.moving = (mover, new_account(installation, rows[mover]))
    made.chain = (ids[0], new_account(installation, rows[ids[0]]), new_account(installation, rows[ids[0]]))
    made.lost = (ids[1], new_account(installation, rows[ids[1]]))
    made.renumbered = ids[2]
    made.company_of = {row["Id"]: row["company"] for row in accounts}
    for loser, *masters in (made.moving, made.chain, made.lost):
        made.company_of |= dict.fromkeys(masters, made.company_of[loser])
    for loser, master in (made.with_customer, made.moving, made.chain[:2], made.chain[1:], made.lost):
        installation.salesforce.post("merge", {"master": master, "loser": loser})
    installation.salesforce.post("purge", {"ids": [made.lost[1]]})
    installation.changed_in_salesforce("Opportunity", made.won, StageName="Closed Won")
    followed = installation.d365.post(
        "rename-customer",
        {
            "company": made.company_of[made.renumbered],
            "number": made.customer_of[made.renumbered],
            "new_number": NEW_NUMBER,
        },
    )
    assert followed[f"{HEADERS}.OrderingCustomerAccountNumber"] > 0
    installation.changed_in_salesforce("Account", made.renumbered, Phone=NEW_PHONE)
    time.sleep(1)
    return made


@pytest.fixture(scope="module")
def third_run(installation: Installation, changes: Changes) -> Run:  # noqa: ARG001 the order
    return installation.run()


@pytest.fixture(scope="module")
def fourth_run(installation: Installation, third_run: Run) -> Run:  # noqa: ARG001 the order
    time.sleep(1)
    return installation.run()


@pytest.fixture(scope="module")
def book(installation: Installation, third_run: Run) -> Iterator[Ledger]:  # noqa: ARG001 the order
    with Ledger.opened(installation.database_url or "") as ledger:
        yield ledger


def quiet_accounts(installation: Installation, books: Books) -> list[Any]:
    """Accounts about which nothing was planted, with a customer and an order in the one company that they deal with."""
    planted = {key for keys in installation.planted.values() for key in keys}
    rows = books.salesforce(
        """SELECT account.*, lower(account.ERP_Company__c) AS company FROM Account AS account
WHERE account.ERP_Number__c IS NOT NULL AND account.IsDeleted = 0 AND EXISTS (
    SELECT 1 FROM Opportunity AS deal WHERE deal.AccountId = account.Id AND deal.ERP_Order_Number__c LIKE account.ERP_Company__c || '/%')
AND NOT EXISTS (SELECT 1 FROM Opportunity AS deal WHERE deal.AccountId = account.Id AND deal.ERP_Company__c <> account.ERP_Company__c)
ORDER BY account.Id"""
    )
    [held] = installation.planted["customer_on_hold"]
    [of_held] = books.salesforce("SELECT AccountId FROM Opportunity WHERE Id = ?", held)
    return [row for row in rows if row["Id"] not in planted | {of_held["AccountId"]}]


def open_deals(books: Books) -> list[Any]:
    """Opportunities with lines that are not won."""
    return books.salesforce(
        "SELECT Id, AccountId FROM Opportunity WHERE IsWon = 0 AND HasOpportunityLineItem = 1 AND IsDeleted = 0 ORDER BY Id"
    )


def new_account(installation: Installation, like: Any) -> str:
    answer = requests.post(
        f"{installation.salesforce.url}/{API}/sobjects/Account/",
        json={name: like[name] for name in KEPT if like[name] is not None},
        headers={"Authorization": f"Bearer {installation._token('salesforce')}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def breaks_of(run: Run) -> dict[str, dict[str, Any]]:
    return {each["identity"]: each for each in report_of(run)["breaks"]}


def customers_of(book: Ledger) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (link.salesforce_id, link.company): (link.d365_key, link.found_by) for link in book.crosswalk.links("customer")
    }


def test_no_customer_is_created_and_no_order_but_the_one_that_was_won(changes: Changes, third_run: Run) -> None:
    [order] = effects_of(third_run.d365, HEADERS, "created")

    assert effects_of(third_run.d365, CUSTOMERS, "created") == []
    assert order["values"]["CustomersOrderReference"] == changes.won
    assert order["values"]["OrderingCustomerAccountNumber"] == changes.customer_of[changes.moving[0]]


def test_the_crosswalk_follows_the_merges_and_the_new_number(changes: Changes, book: Ledger) -> None:
    links = customers_of(book)
    number = changes.customer_of

    def link(account: str) -> tuple[str, str] | None:
        return links.get((account, changes.company_of[account]))

    assert link(changes.moving[1]) == (number[changes.moving[0]], "merged")
    assert link(changes.chain[2]) == (number[changes.chain[0]], "merged")
    assert link(changes.renumbered) == (NEW_NUMBER, "renumbered")
    assert [link(account) for account in (changes.moving[0], *changes.chain[:2])] == [None] * 3
    # Who had a customer is not forgotten where nobody could take it over.
    for account in (*changes.with_customer, changes.lost[0]):
        assert (link(account) or ("",))[0] == number[account]


def test_each_link_that_followed_has_a_decision(changes: Changes, book: Ledger) -> None:
    for account, former, action in (
        (changes.moving[1], changes.moving[0], "merged"),
        (changes.chain[2], changes.chain[0], "merged"),
        (changes.renumbered, changes.renumbered, "renumbered"),
    ):
        [decision] = book.decisions.of("crosswalk", f"{account}/{changes.company_of[account]}")
        assert (decision.action, decision.who) == (action, "tieout")
        assert decision.before == {
            "salesforce_id": former,
            "company": changes.company_of[account],
            "d365_key": changes.customer_of[former],
        }


def new_breaks(before: Run, after: Run) -> list[dict[str, Any]]:
    known = breaks_of(before)
    return [each for identity, each in breaks_of(after).items() if identity not in known]


def test_no_order_is_a_break_for_a_merge_or_a_new_number(changes: Changes, second_run: Run, third_run: Run) -> None:
    new = [each for each in new_breaks(second_run, third_run) if each["entity"] != "customer"]

    assert [(each["salesforce_key"], each["cause"]) for each in new] == [(changes.won, "delivered_in_this_run")]


def test_only_the_customers_that_nobody_could_take_over_are_new_breaks(
    changes: Changes, second_run: Run, third_run: Run
) -> None:
    new = [each for each in new_breaks(second_run, third_run) if each["entity"] == "customer"]
    details = {each["d365_key"]: each["detail"] for each in new if each["cause"] != "write_pending"}
    duplicate, away = (changes.customer_of[account] for account in (changes.with_customer[0], changes.lost[0]))

    assert set(details) == {duplicate, away}
    assert "{} into {}".format(*changes.with_customer) in details[duplicate]
    assert "{} into {}".format(*changes.lost) in details[away]


def test_what_salesforce_owns_goes_to_the_new_number_and_to_no_other_customer(third_run: Run) -> None:
    updated = effects_of(third_run.d365, CUSTOMERS, "updated")

    assert [(each["key"], each["fields"]) for each in updated] == [(NEW_NUMBER, ["PrimaryContactPhone"])]


def test_the_numbers_go_back_to_the_accounts(changes: Changes, third_run: Run) -> None:
    written = {key: values.get("ERP_Number__c") for key, values in written_back(third_run, "Account").items()}

    assert written == {
        changes.moving[1]: f"{changes.company_of[changes.moving[1]]}/{changes.customer_of[changes.moving[0]]}",
        changes.chain[2]: f"{changes.company_of[changes.chain[2]]}/{changes.customer_of[changes.chain[0]]}",
        changes.renumbered: f"{changes.company_of[changes.renumbered]}/{NEW_NUMBER}",
    }


def test_the_next_run_changes_nothing(changes: Changes, third_run: Run, fourth_run: Run, book: Ledger) -> None:
    master = changes.moving[1]
    where = (master, changes.company_of[master])

    assert fourth_run.d365 == []
    assert fourth_run.salesforce == []
    assert set(breaks_of(fourth_run)) <= set(breaks_of(third_run))
    assert customers_of(book)[where][1] == "merged"
    assert len(book.decisions.of("crosswalk", "/".join(where))) == 1
