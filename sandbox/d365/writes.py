"""Writing rows: POST, PATCH and DELETE with the order of checks that X++ has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from sandbox.common.journal import EFFECT, Journal
from sandbox.d365.addressing import Options
from sandbox.d365.catalogue import COMPANY, Entity, catalogue
from sandbox.d365.customer_rules import CustomerRules
from sandbox.d365.errors import (
    JSON,
    NOT_SELECTED_FOR_UPDATE,
    WRITE_EXCEPTION,
    Answer,
    RequestRefusedError,
    WriteRefusedError,
    already_exists,
    bad_request,
    envelope,
    unknown_property_in_body,
    update_conflict,
)
from sandbox.d365.etag import etag_maker
from sandbox.d365.order_header_rules import OrderHeaderRules, order_key
from sandbox.d365.order_line_rules import OrderLineRules
from sandbox.d365.query import Reader
from sandbox.d365.rules import PlainRules, Rulebook, Rules, check_fields, company_of, label
from sandbox.d365.store import Row
from sandbox.d365.values import Stored, from_wire

RULES: Mapping[str, Rules] = {
    "CustomersV3": CustomerRules(),
    "SalesOrderHeadersV2": OrderHeaderRules(),
    "SalesOrderLines": OrderLineRules(),
}
PLAIN = PlainRules()
STATUS_IN_ANSWER = {"SalesOrderHeadersV2": {"SalesOrderStatus": "None"}}
"""The answer to a POST says None although Backorder is stored: the status is derived after the answer was made."""
SHOWN_WITH_KEY = {
    "CustomersV3": "OrganizationName",
    "SalesOrderHeadersV2": "OrderingCustomerAccountNumber",
    "CustomerGroups": "Description",
    "PaymentTerms": "Description",
}
ANY_VERSION = "*"


class Writer:
    """Executes single writes; several inside one store transaction make a changeset."""

    def __init__(self, book: Rulebook, reader: Reader, journal: Journal) -> None:
        self._book = book
        self._reader = reader
        self._journal = journal

    def create(self, entity: Entity, body: bytes, base: str, request_id: str) -> Answer:
        """POST: 201 with all properties."""
        given = _given(entity, body)
        _refuse_read_only(entity)
        rules = RULES.get(entity.set_name, PLAIN)
        row: Row = {
            name: value
            for name, value in given.items()
            if value is not None and entity.properties[name].is_set_on_create
        }
        with self._book.store.transaction():
            company_of(self._book, entity, row)
            check_fields(self._book, entity, row, _company(row))
            rules.create(self._book, entity, row)
            self._refuse_second_copy(entity, row)
            rec_id = self._book.store.insert(entity.set_name, row)
            self._record("created", entity, row, request_id, fields=sorted(given), values=row)
        answer = self._reader.whole_row(entity, rec_id, **STATUS_IN_ANSWER.get(entity.set_name, {}))
        context = f"{base}/data/$metadata#{entity.set_name}/$entity"
        return Answer(201, orjson.dumps({"@odata.context": context, **answer}), {"Content-Type": JSON})

    def update(
        self,
        entity: Entity,
        key: Mapping[str, Stored],
        body: bytes,
        options: Options,
        if_match: str,
        request_id: str,
        *,
        meets_conflict: bool,
    ) -> Answer:
        """PATCH: 204, also when nothing changes; with `meets_conflict` somebody else has just changed the row."""
        given = _given(entity, body)
        _refuse_read_only(entity)
        wanted = {name: value for name, value in given.items() if entity.properties[name].is_editable}
        with self._book.store.transaction():
            before = self._selected_for_update(entity, key, options, if_match)
            if meets_conflict:
                raise update_conflict(entity, _shown(entity, before))
            changes: Row = {
                name: entity.properties[name].default if value is None else value
                for name, value in wanted.items()
                if value != before[name]
            }
            check_fields(self._book, entity, changes, _company(before))
            RULES.get(entity.set_name, PLAIN).update(self._book, entity, before, changes)
            changes = {name: value for name, value in changes.items() if value != before[name]}
            if changes:
                self._book.store.update(entity.set_name, before["_rec_id"], changes)
                self._record("updated", entity, before, request_id, fields=sorted(changes), values=changes)
        return Answer(204)

    def delete(
        self, entity: Entity, key: Mapping[str, Stored], options: Options, if_match: str, request_id: str
    ) -> Answer:
        """DELETE: 204; an order takes its lines along."""
        _refuse_read_only(entity)
        with self._book.store.transaction():
            row = self._selected_for_update(entity, key, options, if_match)
            RULES.get(entity.set_name, PLAIN).delete(self._book, entity, row)
            if entity.set_name == "SalesOrderHeadersV2":
                lines = catalogue().entities["SalesOrderLines"]
                for line in list(self._book.store.rows(lines.set_name, order_key(row))):
                    self._remove(lines, line, request_id)
            self._remove(entity, row, request_id)
        return Answer(204)

    def refusal(self, refused: WriteRefusedError) -> Answer:
        """The answer to a write that the rules refused; its status is a switch, older systems answered 500."""
        return Answer(
            self._book.switches["write_error_status"],
            envelope(str(refused), WRITE_EXCEPTION),
            {"Content-Type": JSON},
        )

    def _selected_for_update(self, entity: Entity, key: Mapping[str, Stored], options: Options, if_match: str) -> Row:
        row = self._book.store.find(entity.set_name, key)
        in_sight = options.cross_company or not entity.is_per_company
        if row is None or not (in_sight or str(row[COMPANY]).lower() == self._book.switches["default_company"].lower()):
            raise WriteRefusedError(NOT_SELECTED_FOR_UPDATE)
        hidden = {str(name).lower() for name in self._book.switches["hidden_companies"]}
        if entity.is_per_company and str(row[COMPANY]).lower() in hidden:
            raise WriteRefusedError(NOT_SELECTED_FOR_UPDATE)
        if self._book.switches["if_match_is_honoured"] and if_match not in ("", ANY_VERSION):
            current = etag_maker(entity)(row["_rec_id"], row["_rec_version"])
            if if_match != current:
                message = "The request was not performed because of a conflict: the row was changed."
                raise RequestRefusedError(Answer(412, envelope(message), {"Content-Type": JSON}))
        return row

    def _refuse_second_copy(self, entity: Entity, row: Row) -> None:
        key = {name: row.get(name) or entity.properties[name].default for name in entity.key}
        if self._book.store.find(entity.set_name, key, list(entity.key)) is not None:
            raise already_exists(entity, _shown(entity, row))

    def _remove(self, entity: Entity, row: Row, request_id: str) -> None:
        self._book.store.delete(entity.set_name, row["_rec_id"])
        self._record("deleted", entity, row, request_id)

    def _record(self, effect: str, entity: Entity, row: Row, request_id: str, **more: Any) -> None:
        self._journal.record(
            EFFECT,
            connection=self._book.store.connection,
            request_id=request_id,
            effect=effect,
            entity=entity.set_name,
            key="|".join(str(row[name]) for name in entity.key if name != COMPANY),
            company=_company(row),
            order=row.get("SalesOrderNumber"),
            **more,
        )


def _company(row: Mapping[str, Any]) -> str | None:
    company = row.get(COMPANY)
    return None if company is None else str(company)


def _shown(entity: Entity, row: Mapping[str, Any]) -> str:
    """How messages name a row: the key's label and value, and one more field where it has one."""
    names = [name for name in entity.key if name != COMPANY][:1]
    if entity.set_name in SHOWN_WITH_KEY:
        names.append(SHOWN_WITH_KEY[entity.set_name])
    return ", ".join(f"{label(name)}: {row.get(name) or ''}" for name in names)


def _refuse_read_only(entity: Entity) -> None:
    if entity.is_read_only:
        raise bad_request(f"The entity '{entity.type_name}' is read-only.")


def _given(entity: Entity, body: bytes) -> Row:
    """The written row with typed values; unknown properties and values that do not fit are refused before any rule runs."""
    try:
        parsed = json.loads(body or b"null", parse_float=Decimal)
    except ValueError as problem:
        raise bad_request(f"The request body is not valid JSON: {problem}") from None
    if not isinstance(parsed, dict):
        raise bad_request("The request body must be a JSON object.")
    given: Row = {}
    for name, value in parsed.items():
        if name.startswith("@") or "@odata." in name:
            continue
        of = entity.properties.get(name)
        if of is None:
            raise unknown_property_in_body(name, entity)
        given[name] = from_wire(of, value)
    return given
