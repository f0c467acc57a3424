"""A D365 sandbox as a process of its own, and a caller that speaks to it over HTTP as any client would."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from sandbox.d365.store import Store

START = ("-m", "sandbox", "d365", "--port", "0", "--tls-port", "0", "--state")
STOP_TIMEOUT_S = 10
PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Process:
    """A running sandbox with its addresses."""

    popen: subprocess.Popen[str]
    url: str
    tls_url: str
    ca: str

    @classmethod
    def start(cls, state: Path) -> Process:
        """Start on free ports and wait for the line that says ready."""
        popen = subprocess.Popen([sys.executable, *START, str(state)], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert popen.stdout is not None
        ready = json.loads(popen.stdout.readline())
        return cls(popen, ready["url"], ready["tls_url"], ready["ca"])

    def stop(self) -> None:
        """Stop as an operator would, with SIGTERM."""
        self.popen.terminate()
        self.popen.wait(STOP_TIMEOUT_S)
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def kill(self) -> None:
        """Stop as a power cut would."""
        self.popen.kill()
        self.popen.wait(STOP_TIMEOUT_S)


class Caller:
    """A client with a token; answers are parsed with exact decimals."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.http = requests.Session()
        self.http.trust_env = False
        self.sign_in()

    @property
    def data(self) -> str:
        """The address of the OData service."""
        return f"{self.process.url}/data"

    def sign_in(self) -> None:
        """Take a token by client secret."""
        answer = self.http.post(
            f"{self.process.url}/{DEFAULT_TENANT_ID}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": DEFAULT_CLIENT_ID,
                "client_secret": DEFAULT_CLIENT_SECRET,
                "scope": f"{self.process.url}/.default",
            },
        )
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: str | int) -> requests.Response:
        """GET below `/data`; option names are given without `$`, `company` is `cross-company`."""
        named = {("cross-company" if name == "company" else f"${name}"): str(value) for name, value in params.items()}
        return self.http.get(f"{self.data}/{path}", params=named)

    def rows(self, path: str, **params: str | int) -> list[dict[str, Any]]:
        """The rows of one page."""
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return parsed(answer)["value"]

    def post(self, path: str, row: Mapping[str, Any]) -> requests.Response:
        """POST one row."""
        return self.http.post(f"{self.data}/{path}", data=written(row), headers={"Content-Type": "application/json"})

    def patch(self, path: str, row: Mapping[str, Any], **headers: str) -> requests.Response:
        """PATCH one row."""
        return self.http.patch(
            f"{self.data}/{path}", data=written(row), headers={"Content-Type": "application/json", **headers}
        )

    def delete(self, path: str) -> requests.Response:
        """DELETE one row."""
        return self.http.delete(f"{self.data}/{path}")

    def batch(self, *parts: Sequence[tuple[str, str, Mapping[str, Any]]] | str) -> requests.Response:
        """One batch of changesets (lists of method, path, row) and reads (paths)."""
        boundary = f"batch_{uuid.uuid4()}"
        body = "".join(f"--{boundary}\r\n{self._part(part)}\r\n" for part in parts) + f"--{boundary}--\r\n"
        return self.http.post(
            f"{self.data}/$batch",
            data=body.encode(),
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
        )

    def control(self, path: str, content: Any = None) -> Any:
        """POST to one of the sandbox's own routes."""
        answer = self.http.post(f"{self.process.url}/_sandbox/{path}", json=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self, after: int = 0, **filters: str) -> list[dict[str, Any]]:
        """Entries of the journal."""
        answer = self.http.get(
            f"{self.process.url}/_sandbox/journal", params={"after": str(after), "limit": "100000", **filters}
        )
        return answer.json()["entries"]

    def journal_end(self) -> int:
        """The number behind which new entries will be."""
        return int(self.http.get(f"{self.process.url}/_sandbox/journal", params={"limit": "0"}).json()["next"])

    def _part(self, part: Sequence[tuple[str, str, Mapping[str, Any]]] | str) -> str:
        if isinstance(part, str):
            return (
                "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
                f"GET {self.data}/{part} HTTP/1.1\r\nAccept: application/json\r\n\r\n"
            )
        boundary = f"changeset_{uuid.uuid4()}"
        operations = "".join(
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: {number}\r\n\r\n{method} {self.data}/{path} HTTP/1.1\r\n"
            f"Content-Type: application/json;odata.metadata=minimal;charset=UTF-8\r\n\r\n{written(row)}\r\n"
            for number, (method, path, row) in enumerate(part, start=1)
        )
        return f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n{operations}--{boundary}--\r\n"


def written(row: Mapping[str, Any]) -> str:
    """A row as JSON with exact decimals."""
    numbers: dict[str, str] = {}

    def placeholder(value: object) -> str:
        assert isinstance(value, Decimal)
        mark = f"@@{len(numbers)}@@"
        numbers[mark] = format(value, "f")
        return mark

    text = json.dumps(row, default=placeholder)
    for mark, number in numbers.items():
        text = text.replace(f'"{mark}"', number)
    return text


def parsed(answer: requests.Response) -> Any:
    """The JSON of an answer with exact decimals."""
    return json.loads(answer.text, parse_float=Decimal)


def inner_message(answer: requests.Response) -> str:
    """The message of an OData error that says something."""
    return answer.json()["error"]["innererror"]["message"]


def fill(state: Path) -> None:
    """Two companies with groups, terms, three customers and two products each."""
    store = Store(state / "d365.sqlite")
    store.insert_many("Companies", [{"DataArea": area, "Name": area, "LanguageId": "en-US"} for area in COMPANIES])
    store.insert_many(
        "CustomerGroups",
        [{"dataAreaId": area, "CustomerGroupId": "30", "Description": "Resellers"} for area in COMPANIES],
    )
    store.insert_many("PaymentTerms", [{"dataAreaId": area, "Name": "Net30", "NumberOfDays": 30} for area in COMPANIES])
    store.insert_many(
        "CustomersV3", [customer(area, account) for area in COMPANIES for account in ("C-1", "C-2", "C-3")]
    )
    store.insert_many(
        "ReleasedProductsV2",
        [
            {
                "dataAreaId": area,
                "ItemNumber": item,
                "ProductSearchName": f"Product {item}",
                "SalesPrice": price,
                "SalesUnitSymbol": "ea",
            }
            for area in COMPANIES
            for item, price in PRICES.items()
        ],
    )
    store.close()


COMPANIES = ("usmf", "demf")
PRICES = {"BK-1": Decimal("2024.9940"), "HL-2": Decimal("19.5")}


def customer(area: str, account: str) -> dict[str, Any]:
    """A customer with an address and terms."""
    return {
        "dataAreaId": area,
        "CustomerAccount": account,
        "OrganizationName": f"Customer {account} of {area}",
        "CustomerGroupId": "30",
        "SalesCurrencyCode": "USD" if area == "usmf" else "EUR",
        "PaymentTerms": "Net30",
        "LanguageId": "en-US",
        "AddressStreet": "1 Main Street",
        "AddressCity": "Reno",
        "AddressCountryRegionId": "USA",
    }


def an_order(number: str, lines: int = 2, **changes: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """The operations of one changeset: a header with our own number and its lines."""
    header = {
        "dataAreaId": "usmf",
        "SalesOrderNumber": number,
        "OrderingCustomerAccountNumber": "C-1",
        "InvoiceCustomerAccountNumber": "C-1",
        "CurrencyCode": "USD",
        "CustomersOrderReference": number,
        "DefaultShippingSiteId": "1",
        "DefaultShippingWarehouseId": "11",
        **changes,
    }
    return [
        ("POST", "SalesOrderHeadersV2", header),
        *(("POST", "SalesOrderLines", a_line(number, position)) for position in range(1, lines + 1)),
    ]


def a_line(order: str, position: int = 1, **changes: Any) -> dict[str, Any]:
    """A line of an order, with its amount as given."""
    return {
        "dataAreaId": "usmf",
        "SalesOrderNumber": order,
        "ItemNumber": "BK-1",
        "OrderedSalesQuantity": 2,
        "SalesPrice": Decimal("2024.9940"),
        "LineAmount": Decimal("4049.99"),
        "CalculateLineAmount": "No",
        "CustomersLineNumber": position,
        **changes,
    }
