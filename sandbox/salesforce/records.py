"""Writing records: create, update, upsert and delete, with stamps, uniqueness, roll-ups and cascades."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox.salesforce.catalogue import BY_PREFIX, CATALOGUE, USER_ID
from sandbox.salesforce.change_events import Change
from sandbox.salesforce.errors import SalesforceError, entity_is_deleted, not_found, refused
from sandbox.salesforce.faults import unable_to_lock
from sandbox.salesforce.field_values import checked_values, ids_by_external_id
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.product_rules import checked_line, checked_price, follow_lines, followed_stage
from sandbox.salesforce.schema import Field, SObject
from sandbox.salesforce.store import stored_value

Row = dict[str, Any]
_STAMPED = frozenset({"LastModifiedDate"})


class SeveralMatches(Exception):
    """An external id that more than one record has."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} records")
        self.ids = ids


class Records:
    """The writes of one request. Effects are journalled in the transaction that makes them."""

    def __init__(self, org: Org, request_id: str) -> None:
        self.org = org
        self.store = org.store
        self._request_id = request_id
        self._effects: list[dict[str, Any]] = []
        self._changes: list[Change] = []
        self._depth = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing; parts can be nested. The outermost one journals what took effect."""
        before, changed_before = len(self._effects), len(self._changes)
        self._depth += 1
        try:
            with self.store.transaction():
                yield
                if self._depth == 1:
                    self.org.record_effects(self._request_id, self._effects, self._changes)
                    self._effects.clear()
                    self._changes.clear()
        except BaseException:
            del self._effects[before:]
            del self._changes[changed_before:]
            raise
        finally:
            self._depth -= 1

    # -- reading -----------------------------------------------------------------------------------------------

    def row(self, sobject: SObject, record_id: str) -> Row | None:
        """All columns of one record, deleted or not."""
        cursor = self.store.connection.execute(f'SELECT * FROM "{sobject.name}" WHERE "Id" = ?', (record_id,))
        found = cursor.fetchone()
        return dict(zip((column[0] for column in cursor.description), found, strict=True)) if found else None

    def live_row(self, sobject: SObject, record_id: str, missing: SalesforceError) -> Row:
        """All columns of one live record; `missing` is raised for an id that never was, 404 for a deleted one."""
        row = self.row(sobject, id18(record_id)) if is_id(record_id) else None
        if row is None:
            raise missing
        if row.get("IsDeleted"):
            raise entity_is_deleted()
        return row

    def by_external_id(self, sobject: SObject, field: Field, value: str) -> str | None:
        """The live record with this external id; SeveralMatches when it is not the only one."""
        found = ids_by_external_id(self.store, sobject, field, value)
        if len(found) > 1:
            raise SeveralMatches(found)
        return found[0] if found else None

    # -- writing -----------------------------------------------------------------------------------------------

    def create(self, sobject: SObject, body: Mapping[str, Any]) -> str:
        """Creates one record; returns its id."""
        self._allowed(sobject, "c")
        with self.writing():
            given = checked_values(self.store, sobject, body, creating=True, objects=self.org.objects)
            full = CATALOGUE[sobject.name]
            row: Row = {
                each.name: stored_value(each, each.default) for each in full.columns() if each.default is not None
            } | given  # fmt: skip
            row |= self._rules(sobject, {}, given, row)
            self._check_unique(sobject, row, None)
            row["Id"] = self.store.next_id(sobject.name)
            row |= self._stamps(creating=True)
            names = list(row)
            self.org.late.touch(sobject.name, row["Id"])
            self.store.connection.execute(
                f'INSERT INTO "{sobject.name}" ({", ".join(f"{chr(34)}{name}{chr(34)}" for name in names)}) '
                f"VALUES ({', '.join('?' * len(names))})",
                list(row.values()),
            )
            self._effect("created", sobject, row, given)
            self._follow(sobject, row)
        return str(row["Id"])

    def update(self, sobject: SObject, record_id: str, body: Mapping[str, Any]) -> str:
        """Changes one live record; an unchanged value moves the stamps all the same. Returns the 18-character id."""
        self._allowed(sobject, "u")
        with self.writing():
            old = self.live_row(sobject, record_id, _never_was())
            self._check_lock(str(old["Id"]))
            given = checked_values(self.store, sobject, body, creating=False, objects=self.org.objects)
            changes = dict(given)
            changes |= self._rules(sobject, old, given, old | given)
            self._check_unique(sobject, changes, str(old["Id"]))
            changes |= self._stamps(creating=False)
            self._set(sobject, str(old["Id"]), changes)
            self._effect("updated", sobject, old | changes, {name: changes[name] for name in given}, old)
            self._follow(sobject, old | changes)
        return str(old["Id"])

    def upsert(
        self, sobject: SObject, field: Field, value: str, body: Mapping[str, Any], *, update_only: bool = False
    ) -> tuple[str, bool]:
        """Updates the record with this external id, or creates it; returns its id and whether it is new."""
        found = self.by_external_id(sobject, field, value)
        if found is not None:
            return self.update(sobject, found, body), False
        if update_only:
            raise not_found()
        return self.create(sobject, {**body, field.name: value}), True

    def delete(self, record_id: str) -> str:
        """Puts a record and what hangs on it into the recycle bin; returns the 18-character id."""
        sobject = BY_PREFIX.get(record_id[:3])
        if sobject is None or not is_id(record_id):
            raise refused("MALFORMED_ID", f"bad id {record_id}")
        self._allowed(sobject, "d")
        with self.writing():
            row = self.live_row(sobject, record_id, _never_was())
            self._check_lock(str(row["Id"]))
            self._delete(sobject, row)
        return str(row["Id"])

    def _delete(self, sobject: SObject, row: Row) -> None:
        for relationship in sobject.children:
            if relationship.cascade:
                child = CATALOGUE[relationship.child]
                cursor = self.store.connection.execute(
                    f'SELECT "Id" FROM "{child.name}" WHERE "{relationship.field}" = ? AND "IsDeleted" = 0',
                    (row["Id"],),
                )
                for (child_id,) in cursor.fetchall():
                    self._delete(child, self.row(child, child_id) or {})
        self._set(sobject, row["Id"], {"IsDeleted": 1} | self._stamps(creating=False))
        self._effect("deleted", sobject, row, {})
        self._follow(sobject, row)

    def undelete(self, record_id: str) -> str:
        """Takes a record out of the recycle bin (on a real org only Apex, SOAP and people can)."""
        sobject = BY_PREFIX.get(record_id[:3])
        row = self.row(sobject, id18(record_id)) if sobject and is_id(record_id) else None
        if sobject is None or row is None:
            raise not_found()
        with self.writing():
            self._set(
                sobject,
                row["Id"],
                {"IsDeleted": 0, "MasterRecordId": None} if sobject.has("MasterRecordId") else {"IsDeleted": 0},
            )
            self._set(sobject, row["Id"], self._stamps(creating=False))
            self._effect("undeleted", sobject, row, {})
            self._follow(sobject, row)
        return str(row["Id"])

    def purge(self, record_id: str) -> None:
        """Removes a record without a trace, as a hard delete or the emptied recycle bin does."""
        sobject = BY_PREFIX.get(record_id[:3])
        row = self.row(sobject, id18(record_id)) if sobject and is_id(record_id) else None
        if sobject is None or row is None:
            raise not_found()
        with self.writing():
            self.store.connection.execute(f'DELETE FROM "{sobject.name}" WHERE "Id" = ?', (row["Id"],))
            self._effect("purged", sobject, row, {})
            self._follow(sobject, row)

    def merge(self, master_id: str, loser_id: str) -> None:
        """Merges one account into another: its children move, it becomes a deleted record that names its master."""
        account = CATALOGUE["Account"]
        with self.writing():
            master = self.live_row(account, master_id, not_found())
            loser = self.live_row(account, loser_id, not_found())
            for relationship in account.children:
                self.store.connection.execute(
                    f'UPDATE "{relationship.child}" SET "{relationship.field}" = ?, "SystemModstamp" = ? '
                    f'WHERE "{relationship.field}" = ?',
                    (master["Id"], self.org.stamp(), loser["Id"]),
                )
            self._set(
                account, loser["Id"], {"IsDeleted": 1, "MasterRecordId": master["Id"]} | self._stamps(creating=False)
            )
            stamped = self._stamps(creating=False)
            self._set(account, master["Id"], stamped)
            self._changes.append(Change("updated", account.name, master["Id"], master | stamped, _STAMPED))
            self._effect("merged", account, loser, {"MasterRecordId": master["Id"]})

    # -- rules -------------------------------------------------------------------------------------------------

    def _allowed(self, sobject: SObject, right: str) -> None:
        """Refuses what nobody may do through the API, and what the running user may not do (`c`, `u` or `d`)."""
        seen = self.org.objects.get(sobject.name.lower())
        if seen is None or (sobject.writeable and not seen.may(right)):
            raise refused("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
        if not sobject.writeable:
            raise SalesforceError(
                400,
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                f"entity type {sobject.name} cannot be written through the API",
                (),
            )

    def _rules(self, sobject: SObject, old: Row, given: Row, row: Row) -> Row:
        """What the business rules of the object add to, or take from, a write."""
        if sobject.name == "Opportunity":
            return followed_stage(old, given, row, self.org.stamp())
        if sobject.name == "OpportunityLineItem":
            return checked_line(self.store, old, given, row)
        if sobject.name == "PricebookEntry" and not old:
            return checked_price(self.store, row)
        return {}

    def _follow(self, sobject: SObject, row: Row) -> None:
        """A changed line changes its opportunity."""
        if sobject.name != "OpportunityLineItem":
            return
        changes = follow_lines(self.store, str(row["OpportunityId"]))
        opportunity = CATALOGUE["Opportunity"]
        parent = self.row(opportunity, str(row["OpportunityId"]))
        if parent is not None and changes:
            stamped = changes | self._stamps(creating=False)
            self._set(opportunity, parent["Id"], stamped)
            self._effect("recalculated", opportunity, parent | stamped, changes, parent)

    def _check_unique(self, sobject: SObject, values: Row, own_id: str | None) -> None:
        for field in CATALOGUE[sobject.name].fields:
            value = values.get(field.name)
            if not field.unique or value is None:
                continue
            others = [each for each in ids_by_external_id(self.store, sobject, field, str(value)) if each != own_id]
            if others:
                raise refused(
                    "DUPLICATE_VALUE",
                    f"duplicate value found: {field.name} duplicates value on record with id: {others[0][:15]}",
                )

    def _check_lock(self, record_id: str) -> None:
        locked = self.org.switches["locked_rows"]
        if locked.get(record_id, 0) > 0:
            locked[record_id] -= 1
            raise unable_to_lock(record_id)

    def _stamps(self, *, creating: bool) -> Row:
        now = self.org.stamp()
        changed = {"LastModifiedDate": now, "LastModifiedById": USER_ID, "SystemModstamp": now}
        return {"CreatedDate": now, "CreatedById": USER_ID} | changed if creating else changed

    def _set(self, sobject: SObject, record_id: str, changes: Row) -> None:
        self.org.late.touch(sobject.name, record_id)
        assignments = ", ".join(f'"{name}" = ?' for name in changes)
        self.store.connection.execute(
            f'UPDATE "{sobject.name}" SET {assignments} WHERE "Id" = ?', [*changes.values(), record_id]
        )

    def _effect(self, effect: str, sobject: SObject, row: Row, values: Row, old: Row | None = None) -> None:
        # An update that changes no value moves the stamp all the same.
        changed = {name for name, value in row.items() if old is not None and value != old.get(name)} | _STAMPED
        self._changes.append(Change(effect, sobject.name, row["Id"], row, frozenset(changed)))
        self._effects.append({
            "effect": effect, "entity": sobject.name, "key": row["Id"], "company": row.get("ERP_Company__c"),
            "fields": list(values), "values": values,
        })  # fmt: skip


def _never_was() -> SalesforceError:
    return SalesforceError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ())
