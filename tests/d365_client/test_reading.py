"""What the client reads from D365, and how reading goes wrong."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from resources.d365 import D365Client
from tests.d365_client.conftest import Sandbox
from tests.d365_client.gateway import Fault, Gateway
from tieout.contract import Contracts
from tieout.errors import AuthenticationProblem, RequestRefused, SourceUnavailable

ITEMS = 50
"""Products of the sandbox: 25 in each of its two companies."""


def test_a_table_is_read_page_by_page_over_all_companies_and_proven_complete(
    client: D365Client, sandbox: Sandbox, contracts: Contracts, tmp_path: Path
) -> None:
    sandbox.post("settings", {"page_size": 20})
    table = contracts.table("d365", "released_product")

    read = client.pages(table, tmp_path)

    pages = [json.loads(file.read_bytes()) for file in read.pages.files]
    rows = [row for page in pages for row in page]
    assert [len(page) for page in pages] == [20, 20, 10]
    assert (read.rows_read, read.pages.rows, read.complete, read.problem) == (ITEMS, ITEMS, True, "")
    assert len({(row["dataAreaId"], row["ItemNumber"]) for row in rows}) == ITEMS
    assert set(rows[0]) - {"@odata.etag"} == {column.name for column in table.columns}
    assert read.pages.started_at <= read.pages.ended_at


def test_a_table_can_be_read_in_part(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    read = client.pages(contracts.table("d365", "released_product"), tmp_path, where="dataAreaId eq 'demf'")

    assert (read.rows_read, read.complete) == (25, True)


def test_an_empty_table_is_one_empty_page(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    read = client.pages(contracts.table("d365", "released_product"), tmp_path, where="dataAreaId eq 'none'")

    assert [file.read_bytes() for file in read.pages.files] == [b"[]"]
    assert (read.rows_read, read.complete) == (0, True)


def test_a_next_page_on_another_host_is_fetched_from_our_own(
    client_behind_gateway: D365Client, gateway: Gateway, sandbox: Sandbox, contracts: Contracts, tmp_path: Path
) -> None:
    # The sandbox writes its own address into the links; the client was told the gateway's.
    sandbox.post("settings", {"page_size": 20})

    read = client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path)

    assert read.complete
    assert len([path for _, path in gateway.seen if "$count" not in path]) == 3


def test_a_read_during_which_rows_came_is_made_once_more(
    client_behind_gateway: D365Client, gateway: Gateway, contracts: Contracts, tmp_path: Path
) -> None:
    gateway.answer("GET", "/$count", 200, b"49", Content_Type="text/plain")

    read = client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path)

    assert read.complete
    assert sorted(tmp_path.iterdir()) == list(read.pages.files)


def test_a_read_that_its_count_does_not_prove_says_so(
    client_behind_gateway: D365Client, gateway: Gateway, contracts: Contracts, tmp_path: Path
) -> None:
    gateway.answer("GET", "/$count", 200, b"51", times=4, Content_Type="text/plain")

    read = client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path)

    assert not read.complete
    assert read.problem == "ReleasedProductsV2: 50 rows arrived; D365 counted 51 before the read and 51 after it."


def test_a_page_that_breaks_off_is_asked_for_again(
    client_behind_gateway: D365Client, gateway: Gateway, contracts: Contracts, tmp_path: Path
) -> None:
    gateway.faults.append(Fault("GET", "ReleasedProductsV2?", cut_body=True))

    assert client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path).complete


def test_throttling_is_obeyed_to_the_second_and_a_gateways_page_is_waited_out(
    client_behind_gateway: D365Client, gateway: Gateway, naps: list[float]
) -> None:
    gateway.answer("GET", "/$count", 429, b"", Retry_After="17")
    gateway.answer("GET", "/$count", 503, b"<html><title>Maintenance</title></html>", Content_Type="text/html")

    assert client_behind_gateway.count("ReleasedProductsV2") == ITEMS
    assert naps[0] == pytest.approx(17, abs=0.5)
    assert 0 < naps[1] < 5


def test_a_gateways_page_that_stays_ends_in_one_clear_sentence(
    client_behind_gateway: D365Client, gateway: Gateway
) -> None:
    gateway.answer("GET", "/$count", 503, b"<html><title>Maintenance</title></html>", times=5, Content_Type="text/html")

    with pytest.raises(
        SourceUnavailable, match=r"D365 at 127\.0\.0\.1: a web page instead of data \(HTTP 503, 'Maintenance'\)"
    ):
        client_behind_gateway.count("ReleasedProductsV2")


@pytest.mark.parametrize("body", [b"<html><title>Sign in</title></html>", b"not json at all"])
def test_a_success_that_is_no_data_is_refused(
    client_behind_gateway: D365Client, gateway: Gateway, contracts: Contracts, tmp_path: Path, body: bytes
) -> None:
    gateway.answer("GET", "ReleasedProductsV2?", 200, body, Content_Type="text/html" if b"<" in body else "text/plain")

    with pytest.raises(SourceUnavailable, match="Check that D365_URL is the environment's own address"):
        client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path)


def test_a_redirect_is_not_followed_because_it_could_carry_the_token_away(
    client_behind_gateway: D365Client, gateway: Gateway
) -> None:
    gateway.answer("GET", "/$count", 302, Location="https://example.invalid/")

    with pytest.raises(SourceUnavailable, match="sends us elsewhere"):
        client_behind_gateway.count("ReleasedProductsV2")


def test_a_token_that_ends_in_the_middle_of_a_read_is_replaced_once(
    client_behind_gateway: D365Client, gateway: Gateway, sandbox: Sandbox, contracts: Contracts, tmp_path: Path
) -> None:
    sandbox.post("settings", {"page_size": 20})
    gateway.faults.append(Fault("GET", "skip=20", cut_body=True, before=lambda: sandbox.post("tokens/expire")))

    assert client_behind_gateway.pages(contracts.table("d365", "released_product"), tmp_path).complete


def test_an_application_that_d365_does_not_know_is_told_where_to_register(
    client_behind_gateway: D365Client, gateway: Gateway
) -> None:
    gateway.answer(
        "GET", "/$count", 401, b'{"Message":"Authentication failed."}', times=2, Content_Type="application/json"
    )

    with pytest.raises(AuthenticationProblem, match=r"Authentication failed.*Register client tieout-sandbox"):
        client_behind_gateway.count("ReleasedProductsV2")
    assert len(gateway.seen) == 2


def test_a_missing_role_is_told(client_behind_gateway: D365Client, gateway: Gateway) -> None:
    gateway.answer("GET", "/$count", 403)

    with pytest.raises(AuthenticationProblem, match="Give the user of client tieout-sandbox a role"):
        client_behind_gateway.count("ReleasedProductsV2")


def test_an_unreachable_d365_is_named_with_the_variable_to_check(
    unreachable_client: D365Client, naps: list[float]
) -> None:
    with pytest.raises(SourceUnavailable, match=r"D365 at 127\.0\.0\.1: it cannot be reached\. Check D365_URL"):
        unreachable_client.count("CustomersV3")
    assert len(naps) == 4


def test_a_refused_question_ends_in_d365s_own_words(client: D365Client) -> None:
    with pytest.raises(RequestRefused, match="Could not find a property named 'Foo'") as problem:
        client.rows("CustomersV3", where="Foo eq 'x'")

    assert problem.value.status == 400


def test_an_entity_set_that_does_not_exist_is_refused(client: D365Client) -> None:
    with pytest.raises(RequestRefused, match="No HTTP resource was found"):
        client.rows("SalesOrderLinesV2")


def test_a_row_is_read_by_its_key_in_any_company_and_nothing_is_none(client: D365Client) -> None:
    row = client.by_key(
        "CustomersV3", {"dataAreaId": "demf", "CustomerAccount": "C-1"}, ["CustomerAccount", "CreditLimit"]
    )

    assert row is not None
    assert (row["CustomerAccount"], row["CreditLimit"]) == ("C-1", Decimal(0))
    assert client.by_key("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "O'Neil & /1"}) is None


def test_metadata_gives_each_property_its_type(client: D365Client) -> None:
    properties = client.metadata(["SalesOrderLines", "CustomersV3"])

    assert set(properties) == {"SalesOrderLines", "CustomersV3"}
    assert properties["SalesOrderLines"]["SalesPrice"] == "Edm.Decimal"
    assert "SalesOrderHeadersV2" in client.metadata()


def test_the_service_document_names_the_entity_sets(client: D365Client) -> None:
    assert {"CustomersV3", "SalesOrderHeadersV2", "SalesOrderLines"} <= set(client.entity_sets())


def test_every_call_is_counted_and_signing_in_is_not(client: D365Client) -> None:
    client.count("CustomersV3")
    client.count("CustomersV3")

    assert client.api_calls == 2


def test_the_client_works_over_tls_unmodified(open_client: Callable[..., D365Client], sandbox: Sandbox) -> None:
    assert open_client(url=sandbox.tls_url).count("ReleasedProductsV2") == ITEMS


def test_prices_arrive_with_every_digit(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    read = client.pages(contracts.table("d365", "released_product"), tmp_path)

    assert b'"SalesPrice":10' in read.pages.files[0].read_bytes()
    assert orjson.loads(read.pages.files[0].read_bytes())[0]["SalesPrice"] == 10
