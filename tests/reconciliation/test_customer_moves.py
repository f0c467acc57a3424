"""Where links lead after accounts were merged in Salesforce or customers got new numbers in D365."""

import pytest

from tests.reconciliation.books import Books, account_id, compared, opportunity_id

LOSER, MASTER = account_id(2), account_id(3)


def links(result):
    return result.rows("SELECT salesforce_id, d365_lake_key, found_by FROM crosswalk_customer ORDER BY ALL")[1:]


def merged(books: Books, loser: int = 2, master: int = 3) -> None:
    """Account `loser`, which the ledger has linked to customer `loser`, merged into account `master`."""
    books.account(loser, IsDeleted="true", MasterRecordId=account_id(master))
    books.customer(loser)
    books.known("customer", account_id(loser), "usmf", f"AW{loser:08d}", f"P{loser}")


def deal_on(books: Books, account: str, customer: str, number: int = 1) -> None:
    books.opportunity(number, AccountId=account)
    books.line(number)
    books.order(number, OrderingCustomerAccountNumber=customer)
    books.order_line(number)


def moved(result):
    return result.rows("SELECT former_id, former_key, salesforce_id, d365_key, found_by FROM crosswalk_customer_moved")


# --- merged accounts -----------------------------------------------------------------------------------------------------


def test_the_customer_of_a_merged_account_is_its_masters_and_its_orders_agree():
    def write(books: Books) -> None:
        merged(books)
        books.account(
            3, AccountNumber=None, Name="Bike Shop 2", Email__c="shop2@example.com", BillingStreet="2 Main Street"
        )
        deal_on(books, MASTER, "AW00000002")

    result = compared(write)
    assert links(result) == [(MASTER, "usmf|aw00000002", "merged")]
    assert moved(result) == [(LOSER, "AW00000002", MASTER, "AW00000002", "merged")]
    assert (result.customers, result.orders) == ({"matched": 2}, {"matched": 1})


def test_a_merge_moves_links_company_by_company():
    def write(books: Books) -> None:
        merged(books)
        books.customer(2, dataAreaId="frrt")
        books.known("customer", LOSER, "frrt", "AW00000002")
        books.account(3)
        books.customer(3)
        books.known("customer", MASTER, "usmf", "AW00000003")

    assert links(compared(write)) == [(MASTER, "frrt|aw00000002", "merged"), (MASTER, "usmf|aw00000003", "ledger")]


def both_have_a_customer(books: Books) -> None:
    merged(books)
    books.account(3)
    books.customer(3)
    books.known("customer", MASTER, "usmf", "AW00000003", "P3")


def test_the_second_customer_of_merged_accounts_is_a_duplicate_whose_reason_names_the_merge():
    result = compared(both_have_a_customer)

    assert links(result) == [(MASTER, "usmf|aw00000003", "ledger")]
    assert result.verdict("customer_verdict", "d365_key = 'AW00000002'") == (
        "duplicate",
        f"its account was merged into one that has another customer here: {LOSER} into {MASTER}, customer AW00000003",
    )
    assert result.customers == {"duplicate": 1, "matched": 2}


@pytest.mark.parametrize("customer", ["AW00000002", "AW00000003"])
@pytest.mark.parametrize("account", [MASTER, LOSER])
def test_an_order_may_stand_on_any_customer_of_merged_accounts(account, customer):
    def write(books: Books) -> None:
        both_have_a_customer(books)
        deal_on(books, account, customer)

    assert compared(write).orders == {"matched": 1}


def test_an_order_on_a_strangers_customer_still_differs_after_a_merge():
    def write(books: Books) -> None:
        both_have_a_customer(books)
        deal_on(books, MASTER, "AW00000001")

    result = compared(write)
    assert result.orders == {"differs": 1}
    assert result.differences("sales_order") == [("customer", "differs")]


def test_the_masters_stored_link_comes_before_the_losers_customer():
    def write(books: Books) -> None:
        merged(books)
        books.account(3, ERP_Number__c="usmf/AW00000003", AccountNumber=None)
        books.customer(3)

    result = compared(write)
    assert links(result) == [(MASTER, "usmf|aw00000003", "stored_link")]
    assert result.verdict("customer_verdict", "d365_key = 'AW00000002'")[0] == "duplicate"


def test_a_chain_of_merges_is_followed_to_its_end():
    def write(books: Books) -> None:
        merged(books, 2, 3)
        books.account(3, IsDeleted="true", MasterRecordId=account_id(4))
        books.customer(3, dataAreaId="frrt")
        books.known("customer", account_id(3), "frrt", "AW00000003", "P3")
        books.account(4, AccountNumber=None, ERP_Company__c=None)

    assert links(compared(write)) == [
        (account_id(4), "frrt|aw00000003", "merged"),
        (account_id(4), "usmf|aw00000002", "merged"),
    ]


def test_accounts_that_name_each_other_as_master_end_nowhere():
    def write(books: Books) -> None:
        merged(books, 2, 3)
        merged(books, 3, 2)

    assert links(compared(write)) == []


def test_two_losers_with_a_customer_each_and_a_master_without_one_are_left_to_a_person():
    def write(books: Books) -> None:
        merged(books, 2, 4)
        merged(books, 3, 4)
        books.account(4, AccountNumber=None)
        deal_on(books, account_id(4), "AW00000002")
        books.opportunity(2, AccountId=account_id(4))
        books.line(2)

    result = compared(write)
    assert links(result) == []
    assert result.verdict("sales_order_verdict", f"salesforce_key = '{opportunity_id(1)}'") == ("matched", None)
    assert result.verdict("sales_order_verdict", f"salesforce_key = '{opportunity_id(2)}'") == (
        "only_in_salesforce",
        "more than one record claims the link: its customer",
    )


def test_a_master_that_nobody_knows_gets_nothing_and_no_order_differs_for_it():
    def write(books: Books) -> None:
        merged(books)
        deal_on(books, MASTER, "AW00000002")

    result = compared(write)
    assert links(result) == []
    assert result.orders == {"matched": 1}
    assert result.verdict("customer_verdict", "d365_key = 'AW00000002'") == (
        "only_in_d365",
        f"its account was merged into one that is not there: {LOSER} into {MASTER}",
    )


def test_the_customer_of_a_merged_account_does_not_fall_to_a_stranger_with_the_same_number():
    def write(books: Books) -> None:
        both_have_a_customer(books)
        books.account(4, AccountNumber="AW00000002")

    assert links(compared(write)) == [(MASTER, "usmf|aw00000003", "ledger")]


def test_an_empty_ledger_follows_the_link_that_is_stored_in_the_merged_account():
    def write(books: Books) -> None:
        books.account(2, IsDeleted="true", MasterRecordId=MASTER, ERP_Number__c="usmf/AW00000002")
        books.account(3, AccountNumber=None)
        books.customer(2)

    assert links(compared(write)) == [(MASTER, "usmf|aw00000002", "merged")]


def test_no_customer_is_created_for_a_master_whose_losers_customer_was_not_read_yet():
    def write(books: Books) -> None:
        books.account(2, IsDeleted="true", MasterRecordId=MASTER)
        books.known("customer", LOSER, "usmf", f"T-{LOSER}")
        books.account(3, AccountNumber=None)
        books.opportunity(1, AccountId=MASTER)
        books.line(1)

    assert compared(write).verdict("sales_order_verdict") == (
        "only_in_salesforce",
        "the linked record is not in D365: its customer",
    )


# --- renumbered customers ------------------------------------------------------------------------------------------------


def test_a_renumbered_customer_is_found_by_its_party():
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None, ERP_Number__c="usmf/AW00000002")
        books.customer(2, CustomerAccount="C-9")
        books.known("customer", LOSER, "usmf", "AW00000002", "p2")
        deal_on(books, LOSER, "C-9")

    result = compared(write)
    assert links(result) == [(LOSER, "usmf|c-9", "renumbered")]
    assert moved(result) == [(LOSER, "AW00000002", LOSER, "C-9", "renumbered")]
    assert (result.customers, result.orders) == ({"matched": 2}, {"matched": 1})
    assert result.rows("SELECT count(*) FROM crosswalk_customer_open") == [(0,)]


@pytest.mark.parametrize(
    "other",
    [
        {"CustomerAccount": "C-9", "dataAreaId": "frrt"},
        {"CustomerAccount": "C-9", "PartyNumber": "P7"},
    ],
)
def test_another_company_or_party_is_not_the_renumbered_customer(other):
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None)
        books.customer(2, **other)
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")

    result = compared(write)
    assert links(result) == []
    assert result.rows("SELECT key, candidates, reason FROM crosswalk_customer_open") == [
        (LOSER, ["usmf|aw00000002"], "broken")
    ]


def test_two_customers_of_the_party_are_one_too_many():
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None)
        books.customer(2, CustomerAccount="C-8")
        books.customer(2, CustomerAccount="C-9")
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")

    assert links(compared(write)) == []


def test_a_customer_of_the_party_that_somebody_else_has_is_not_the_renumbered_one():
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None)
        books.account(3, AccountNumber=None)
        books.customer(2, CustomerAccount="C-9")
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")
        books.known("customer", MASTER, "usmf", "C-9", "P2")

    assert links(compared(write)) == [(MASTER, "usmf|c-9", "ledger")]


def test_a_number_that_was_given_to_another_party_is_not_followed():
    def write(books: Books) -> None:
        books.account(2, ERP_Number__c="usmf/AW00000002")
        books.customer(2, CustomerAccount="C-9")
        books.customer(2, PartyNumber="P77", OrganizationName="Somebody Else")
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")

    assert links(compared(write)) == [(LOSER, "usmf|c-9", "renumbered")]


def test_a_number_of_another_party_is_not_followed_by_any_other_way_either():
    def write(books: Books) -> None:
        books.account(2, ERP_Number__c="usmf/AW00000002")
        books.customer(2, PartyNumber="P77", OrganizationName="Somebody Else")
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")
        books.opportunity(1, AccountId=LOSER)
        books.line(1)

    result = compared(write)
    assert links(result) == []
    assert result.verdict("customer_verdict", "d365_key = 'AW00000002'")[0] == "only_in_d365"
    assert result.verdict("sales_order_verdict") == (
        "only_in_salesforce",
        "the linked record is not in D365: its customer",
    )


def test_a_link_without_a_party_is_followed_by_its_number():
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None)
        books.customer(2)
        books.known("customer", LOSER, "usmf", "AW00000002")

    result = compared(write)
    assert links(result) == [(LOSER, "usmf|aw00000002", "ledger")]
    assert ("p2",) in result.rows("SELECT party FROM crosswalk_customer_party")


def test_a_customer_that_was_renumbered_and_whose_account_was_merged_follows_both():
    def write(books: Books) -> None:
        books.account(2, IsDeleted="true", MasterRecordId=MASTER)
        books.account(3, AccountNumber=None)
        books.customer(2, CustomerAccount="C-9")
        books.known("customer", LOSER, "usmf", "AW00000002", "P2")

    result = compared(write)
    assert links(result) == [(MASTER, "usmf|c-9", "merged")]
    assert moved(result) == [(LOSER, "AW00000002", MASTER, "C-9", "merged")]
