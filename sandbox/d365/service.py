"""One OData operation from its request to its answer, whether it came alone or inside a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.common.journal import Journal
from sandbox.d365.addressing import Address, Options, Target, address_of, options_of
from sandbox.d365.catalogue import Entity
from sandbox.d365.errors import Answer, RequestRefusedError, WriteRefusedError, bad_request, forbidden, no_route
from sandbox.d365.metadata import metadata, service_document
from sandbox.d365.query import Reader
from sandbox.d365.rules import Rulebook
from sandbox.d365.writes import Writer


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

    @property
    def uri(self) -> str:
        """The whole address."""
        return f"{self.base}{self.raw_path}" + (f"?{self.query}" if self.query else "")


class Service:
    """Answers OData operations on one store."""

    def __init__(self, book: Rulebook, journal: Journal) -> None:
        self.book = book
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
                return self._reader.rows(entity, options, operation.base, operation.raw_path)
            case "GET", Target.COUNT:
                return self._reader.count(entity, options)
            case "GET", Target.ROW:
                return self._reader.row(entity, address.key or {}, options, operation.base)
            case "POST", Target.ROWS:
                return self._writer.create(entity, operation.body, operation.base, operation.request_id)
            case "PATCH", Target.ROW:
                return self._writer.update(
                    entity, address.key or {}, operation.body, options, if_match, operation.request_id
                )
            case "DELETE", Target.ROW:
                return self._writer.delete(entity, address.key or {}, options, if_match, operation.request_id)
            case _:
                raise bad_request(
                    f"The requested resource does not support http method '{operation.method}'.", status=405
                )
