"""Reading: documents, keys, companies, pages, expansions, numbers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tests.sandbox_d365.environment import Caller, an_order, inner_message, parsed

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


@pytest.fixture
def five_orders(d365: Caller, new_number: Callable[[], str]) -> list[str]:
    numbers = [new_number() for _ in range(5)]
    assert d365.batch(*[an_order(number, lines=1) for number in numbers]).text.count("201 Created") == 10
    return numbers


def test_the_service_document_lists_the_sets_without_lines_v2(d365: Caller):
    names = [item["name"] for item in d365.get("").json()["value"]]

    assert {"CustomersV3", "SalesOrderHeadersV2", "SalesOrderLines", "ReleasedProductsV2", "Companies"} <= set(names)
    assert "SalesOrderLinesV2" not in names


def test_the_metadata_has_every_property_of_the_entities_and_no_facets(d365: Caller):
    schema = ElementTree.fromstring(d365.get("$metadata").content)
    types = {item.get("Name"): item for item in schema.iter(f"{EDM}EntityType")}

    counts = {name: len(item.findall(f"{EDM}Property")) for name, item in types.items()}
    assert counts["CustomerV3"] == 305
    assert counts["SalesOrderHeaderV2"] == 168
    assert counts["SalesOrderLine"] == 151
    assert counts["ReleasedProductV2"] == 266
    assert not any(of.get("MaxLength") or of.get("Precision") for of in schema.iter(f"{EDM}Property"))
    status = next(of for of in types["SalesOrderHeaderV2"] if of.get("Name") == "SalesOrderStatus")
    assert status.get("Type") == "Microsoft.Dynamics.DataEntities.SalesStatus"
    keys = [reference.get("Name") for reference in types["SalesOrderLine"].iter(f"{EDM}PropertyRef")]
    assert keys == ["dataAreaId", "InventoryLotId"]


def test_a_key_read_finds_letters_of_either_case(d365: Caller):
    row = d365.get("CustomersV3(CustomerAccount='c-1',dataAreaId='USMF')").json()

    assert row["CustomerAccount"] == "C-1"
    assert row["dataAreaId"] == "usmf"
    assert row["@odata.context"].endswith("#CustomersV3/$entity")
    assert row["AddressTimeZone"] is None
    assert row["CreditLimit"] == 0
    assert row["OnHoldStatus"] == "No"


def test_a_row_of_another_company_is_only_there_across_companies(d365: Caller):
    key = "CustomersV3(dataAreaId='demf',CustomerAccount='C-1')"

    alone = d365.get(key)
    assert (alone.status_code, alone.content) == (404, b"")
    assert d365.get(key, company="true").status_code == 200
    assert d365.rows("CustomersV3", filter="dataAreaId eq 'demf'") == []
    assert len(d365.rows("CustomersV3", filter="dataAreaId eq 'DEMF'", company="true")) == 3


def test_global_sets_have_no_company(d365: Caller):
    assert len(d365.rows("Companies")) == 2


@pytest.mark.parametrize(
    "path",
    [
        "SalesOrderLinesV2",
        "Nothing",
        "CustomersV3('C-1')",
        "CustomersV3(CustomerAccount='C-1')",
        "CustomersV3(dataAreaId=1,CustomerAccount='C-1')",
    ],
)
def test_an_unknown_set_and_an_unnamed_key_have_no_route(d365: Caller, path: str):
    answer = d365.get(path)

    assert answer.status_code == 404
    message = answer.json()["Message"]
    assert message.startswith(f"No HTTP resource was found that matches the request URI '{d365.data}/")
    assert message.endswith("No route data was found for this request.")


@pytest.mark.parametrize("option", ["filter", "select", "orderby"])
def test_an_unknown_property_in_the_url_is_named(d365: Caller, option: str):
    answer = d365.get("CustomersV3", **{option: "Nope eq 1" if option == "filter" else "Nope"})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "An error has occurred."
    assert inner_message(answer) == (
        "Could not find a property named 'Nope' on type 'Microsoft.Dynamics.DataEntities.CustomerV3'."
    )


def test_pages_follow_each_other_to_the_last_row(d365: Caller, five_orders: list[str]):
    d365.control("settings", {"page_size": 2})
    query = {"filter": f"SalesOrderNumber ge '{five_orders[0]}' and SalesOrderNumber le '{five_orders[-1]}'"}
    query |= {"select": "SalesOrderNumber", "orderby": "SalesOrderNumber desc", "count": "true"}

    page = d365.get("SalesOrderHeadersV2", **query).json()
    seen = [page]
    while link := page.get("@odata.nextLink"):
        page = d365.http.get(link).json()
        seen.append(page)

    assert seen[0]["@odata.nextLink"].endswith("$skip=2&$top=2")
    assert [row["SalesOrderNumber"] for page in seen for row in page["value"]] == five_orders[::-1]
    assert {page["@odata.count"] for page in seen} == {5}
    assert [len(page["value"]) for page in seen] == [2, 2, 1]


@pytest.mark.usefixtures("five_orders")
def test_top_up_to_the_page_size_ends_the_reading(d365: Caller):
    d365.control("settings", {"page_size": 3})

    assert "@odata.nextLink" not in d365.get("SalesOrderHeadersV2", top=2).json()
    assert "@odata.nextLink" not in d365.get("SalesOrderHeadersV2", top=3).json()
    first = d365.get("SalesOrderHeadersV2", top=5).json()
    second = d365.http.get(first["@odata.nextLink"]).json()
    assert (len(first["value"]), len(second["value"])) == (3, 2)
    assert "@odata.nextLink" not in second


@pytest.mark.usefixtures("five_orders")
def test_a_next_link_can_come_with_the_other_scheme(d365: Caller):
    d365.control("settings", {"page_size": 2, "next_link_scheme": "https"})

    assert d365.get("SalesOrderHeadersV2").json()["@odata.nextLink"].startswith("https://")


def test_counting_is_plain_text(d365: Caller):
    answer = d365.get("CustomersV3/$count", filter="CustomerAccount ne 'C-1'", company="true")

    assert answer.text == "4"
    assert answer.headers["content-type"].startswith("text/plain")


def test_apply_is_silently_ignored_and_an_unknown_option_is_not(d365: Caller):
    assert len(d365.rows("CustomersV3", apply="aggregate($count as n)")) == 3
    assert d365.get("CustomersV3", search="x").status_code == 400


def test_decimals_are_exact_and_whole_ones_have_no_point(d365: Caller, five_orders: list[str]):
    answer = d365.get(
        "SalesOrderLines",
        filter=f"SalesOrderNumber eq '{five_orders[0]}'",
        select="OrderedSalesQuantity,SalesPrice,LineAmount",
    )

    assert '"OrderedSalesQuantity":2,"SalesPrice":2024.994,"LineAmount":4049.99}' in answer.text
    assert parsed(answer)["value"][0]["LineAmount"] == Decimal("4049.99")


def test_lines_come_with_their_order_one_level_deep(d365: Caller, five_orders: list[str]):
    answer = d365.get(
        "SalesOrderHeadersV2",
        filter=f"SalesOrderNumber eq '{five_orders[1]}'",
        select="SalesOrderNumber",
        expand="SalesOrderLines($select=ItemNumber,LineAmount)",
    ).json()

    assert answer["@odata.context"].endswith(
        "#SalesOrderHeadersV2(SalesOrderNumber,SalesOrderLines,SalesOrderLines(ItemNumber,LineAmount))"
    )
    [line] = answer["value"][0]["SalesOrderLines"]
    assert (line["ItemNumber"], line["LineAmount"]) == ("BK-1", 4049.99)
    [row] = d365.rows(
        "SalesOrderLines",
        filter=f"SalesOrderNumber eq '{five_orders[1]}'",
        expand="SalesOrderHeaderV2",
        select="LineNumber",
    )
    assert row["SalesOrderHeaderV2"]["CustomersOrderReference"] == five_orders[1]
    assert d365.get("SalesOrderHeadersV2", expand="SalesOrderLines($expand=SalesOrderHeaderV2)").status_code == 400


def test_an_etag_is_the_versions_and_ids_of_the_data_sources(d365: Caller, five_orders: list[str]):
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{five_orders[2]}')"

    def decoded() -> list[str]:
        etag = d365.get(key).json()["@odata.etag"]
        text = base64.b64decode(etag.removeprefix('W/"').removesuffix('"')).decode()
        assert text[0] == text[-1] == "'"
        return text[1:-1].split(";")

    fresh = decoded()
    assert fresh[0].startswith("1,56371")
    assert fresh[1:] == ["0,0"] * 6
    d365.patch(key, {"SalesOrderName": "other"})
    assert decoded()[0] != fresh[0]
    assert decoded()[0].partition(",")[2] == fresh[0].partition(",")[2]
