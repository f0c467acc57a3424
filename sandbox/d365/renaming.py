"""Renaming a primary key, which in D365 only a person can do (Record info > Rename): a customer gets another number everywhere. Test-only route."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.control import json_response, refusal
from sandbox.common.journal import EFFECT, Journal
from sandbox.d365.catalogue import COMPANY, catalogue
from sandbox.d365.rules import Rulebook
from sandbox.d365.store import quoted

ACCOUNT = "CustomerAccount"
NAMING_A_CUSTOMER = ("OrderingCustomerAccountNumber", "InvoiceCustomerAccountNumber", "InvoiceAccount")
"""Columns that hold the number of a customer, in whatever table they are."""


class Renaming:
    """Gives customers new numbers. Party and everything else of the record stay."""

    def __init__(self, book: Rulebook, journal: Journal) -> None:
        self._book = book
        self._journal = journal

    def routes(self) -> list[Route]:
        """The test-only routes."""
        return [Route("/_sandbox/rename-customer", self._rename_customer, methods=["POST"])]

    def rename(self, company: str, number: str, new_number: str, request_id: str) -> dict[str, int]:
        """Rename one customer; returns how many rows of other tables named it. Raises KeyError without such a customer, ValueError for a taken number."""
        store = self._book.store
        with store.transaction():
            customer = store.find("CustomersV3", {COMPANY: company, ACCOUNT: number})
            if customer is None:
                raise KeyError(f"There is no customer {number} in {company}.")
            is_other = new_number.lower() != str(customer[ACCOUNT]).lower()
            if is_other and store.find("CustomersV3", {COMPANY: company, ACCOUNT: new_number}, [ACCOUNT]):
                raise ValueError(f"There is a customer {new_number} in {company} already.")
            store.update("CustomersV3", customer["_rec_id"], {ACCOUNT: new_number})
            followed = self._follow(company, str(customer[ACCOUNT]), new_number)
            self._journal.record(
                EFFECT, connection=store.connection, request_id=request_id, effect="renamed", entity="CustomersV3",
                key=new_number, company=customer[COMPANY], order=None, values={"from": customer[ACCOUNT], "to": new_number},
            )  # fmt: skip
        return followed

    def _follow(self, company: str, number: str, new_number: str) -> dict[str, int]:
        """Every row that names the customer names it by the new number."""
        followed = {}
        for entity in catalogue().entities.values():
            for column in NAMING_A_CUSTOMER:
                if column in entity.properties and entity.is_per_company:
                    cursor = self._book.store.connection.execute(
                        f"UPDATE {quoted(entity.set_name)} SET {quoted(column)} = ? WHERE {COMPANY} = ? AND {quoted(column)} = ?",
                        (new_number, company, number),
                    )
                    followed[f"{entity.set_name}.{column}"] = cursor.rowcount
        return followed

    async def _rename_customer(self, request: Request) -> Response:
        try:
            wanted = orjson.loads(await request.body())
            company, number, new_number = (str(wanted[name]) for name in ("company", "number", "new_number"))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return refusal('Send {"company": "usmf", "number": "C-1", "new_number": "C-2"}.')
        if not new_number.strip():
            return refusal("A customer needs a number.")
        try:
            return json_response(self.rename(company, number, new_number, request.state.request_id))
        except KeyError as problem:
            return json_response({"error": str(problem.args[0])}, 404)
        except ValueError as problem:
            return json_response({"error": str(problem)}, 409)
