"""One OData operation from its request to its answer, whether it came alone or inside a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

import orjson

from sandbox.common.fault_rules import Asked
from sandbox.common.faults import Faults
from sandbox.common.journal import Journal
from sandbox.d365.addressing import Address, Options, Target, address_of, options_of
from sandbox.d365.catalogue import Entity
from sandbox.d365.errors import Answer, RequestRefusedError, WriteRefusedError, bad_request, forbidden, no_route
from sandbox.d365.faults import EXPIRED_NEXT_LINK, FOREIGN_NEXT_LINK, UPDATE_CONFLICT, expired_page
from sandbox.d365.metadata import metadata, service_document
from sandbox.d365.query import Reader
from sandbox.d365.rules import Rulebook
from sandbox.d365.writes import Writer

NEXT_LINK = "@odata.nextLink"


@dataclass(frozen=True, slots=True)
class Operation:
    """A request: `raw_path` still percent-encoded, header names in lower case, `base` the address that the caller used."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    request_id: str
    meets_conflict: bool = False

    @property
    def uri(self) -> str:
        """The whole address."""
        return f"{self.base}{self.raw_path}" + (f"?{self.query}" if self.query else "")

    def asked(self) -> Asked:
        """As rules of faults see it; inside a batch its own method and path count."""
        path = unquote(self.raw_path)
        target = f"{path}?{unquote_plus(self.query)}" if self.query else path
        return Asked(self.request_id, self.method, path, target, self.body)


class Service:
    """Answers OData operations on one store."""

    def __init__(self, book: Rulebook, journal: Journal, faults: Faults) -> None:
        self.book = book
        self.faults = faults
        self._reader = Reader(book.store, book.switches)
        self._writer = Writer(book, self._reader, journal)

    def answer(self, operation: Operation) -> Answer:
        """The answer to one operation; refusals are answers too."""
        try:
            address = address_of(operation.raw_path, operation.uri)
            options = options_of(operation.query)
            if address.entity and address.entity.set_name in self.book.switches["forbidden_sets"]:
                raise forbidden(address.entity)
            return self._dispatch(operation, address, options)
        except RequestRefusedError as refused:
            return refused.answer
        except WriteRefusedError as refused:
            return self._writer.refusal(refused)

    def meeting_conflicts(self, operation: Operation) -> Operation:
        """The operation, marked when a fault lets it meet a conflict. To be asked outside of any transaction."""
        if operation.method != "PATCH" or self.faults.strike((UPDATE_CONFLICT,), operation.asked()) is None:
            return operation
        return replace(operation, meets_conflict=True)

    def _dispatch(self, operation: Operation, address: Address, options: Options) -> Answer:
        match operation.method, address:
            case "GET", Address(Target.SERVICE):
                return service_document(operation.base)
            case "GET", Address(Target.METADATA):
                return metadata()
            case _, Address(Target.ROWS | Target.COUNT | Target.ROW, Entity() as entity):
                return self._on_entity(operation, address, entity, options)
            case _:
                raise no_route(operation.uri)

    def _on_entity(self, operation: Operation, address: Address, entity: Entity, options: Options) -> Answer:
        if_match = operation.headers.get("if-match", "")
        match operation.method, address.target:
            case "GET", Target.ROWS:
                return self._page(operation, entity, options)
            case "GET", Target.COUNT:
                return self._reader.count(entity, options)
            case "GET", Target.ROW:
                return self._reader.row(entity, address.key or {}, options, operation.base)
            case "POST", Target.ROWS:
                return self._writer.create(entity, operation.body, operation.base, operation.request_id)
            case "PATCH", Target.ROW:
                return self._writer.update(
                    entity,
                    address.key or {},
                    operation.body,
                    options,
                    if_match,
                    operation.request_id,
                    meets_conflict=operation.meets_conflict,
                )
            case "DELETE", Target.ROW:
                return self._writer.delete(entity, address.key or {}, options, if_match, operation.request_id)
            case _:
                raise bad_request(
                    f"The requested resource does not support http method '{operation.method}'.", status=405
                )

    def _page(self, operation: Operation, entity: Entity, options: Options) -> Answer:
        if options.whole_number("$skip"):
            expired = self.faults.strike((EXPIRED_NEXT_LINK,), operation.asked())
            if expired is not None:
                return expired_page(expired)
        answer = self._reader.rows(entity, options, operation.base, operation.raw_path)
        if not self.faults.rules.are_waiting or NEXT_LINK.encode() not in answer.body:
            return answer
        link = orjson.loads(answer.body).get(NEXT_LINK)
        foreign = None if link is None else self.faults.strike((FOREIGN_NEXT_LINK,), operation.asked())
        if foreign is None:
            return answer
        elsewhere = urlunsplit(urlsplit(link)._replace(netloc=foreign["host"]))
        # In the text, because decimals would not survive being parsed and written again.
        return replace(answer, body=answer.body.replace(orjson.dumps(link), orjson.dumps(elsewhere)))
