"""One running org: its records, clock, journal and switches, as every handler gets them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.common.clock import Clock
from sandbox.common.credentials import Credentials
from sandbox.common.faults import Faults
from sandbox.common.journal import EFFECT, Journal
from sandbox.common.switches import Switches
from sandbox.salesforce import stamps
from sandbox.salesforce.change_events import Change, ChangeEvents
from sandbox.salesforce.event_bus import EventBus
from sandbox.salesforce.faults import FORMS, KINDS
from sandbox.salesforce.late_rows import LateRows
from sandbox.salesforce.schema import SObject
from sandbox.salesforce.store import FILE_NAME, Store
from sandbox.salesforce.visibility import visible_objects

OLDEST_VERSION, NEWEST_VERSION = 50, 68

SWITCHES: Mapping[str, Any] = {
    "page_size": 2000,  # rows of a query page unless the caller asks for fewer
    "child_page_size": 200,  # rows of a child subquery before it pages by itself
    "daily_api_limit": 115_000,
    "hidden_fields": [],  # field-level security: ["Account.ERP_Number__c"]
    "read_only_fields": [],  # field-level security: seen and not edited
    "rights": {},  # of the running user: {"Account": "ru"} out of create, read, update, delete; all where an object is not named
    "system_permissions": ["ApiEnabled", "ApiUserOnly", "UpdateWithInactiveOwner"],
    "session_timeout_s": 7200,
    "client_secret": "",  # the secret that the app has been given since; "" leaves it SANDBOX_CLIENT_SECRET
    "refresh_token": "sandbox-refresh-token",  # what a person's consent gave the app; it stays the same with every use
    "jwt_public_key": "",  # PEM of the key or certificate that JWT assertions are checked with
    "bulk_in_progress_polls": 1,
    "bulk_page_rows": 50_000,  # rows of a result page when the caller names no maxRecords
    "bulk_error": "",  # a text makes the next jobs fail with it
    "change_events_of": ["Account", "Opportunity"],  # objects selected for change data capture
    "event_retention_h": 72,  # hours that the event bus keeps events
    "event_keep_alive_s": 270,  # seconds after which a subscription without events hears from the bus all the same
    "event_silence": False,  # subscriptions hear nothing at all, not even that they live
    "locked_rows": {},  # id: how many more writes are refused with UNABLE_TO_LOCK_ROW
}


@dataclass(slots=True)
class Org:
    """Everything that lives as long as the process."""

    state_dir: Path
    store: Store
    clock: Clock
    journal: Journal
    switches: Switches
    credentials: Credentials
    faults: Faults
    late: LateRows
    bus: EventBus
    changes: ChangeEvents

    @property
    def objects(self) -> Mapping[str, SObject]:
        """What the running user may see, by lower-case name."""
        return visible_objects(
            self.switches["hidden_fields"], self.switches["read_only_fields"], self.switches["rights"]
        )

    @property
    def client_secret(self) -> str:
        """What the app has to send."""
        return str(self.switches["client_secret"]) or self.credentials.client_secret

    def now(self) -> datetime:
        """The present instant in whole seconds, as records are stamped."""
        return self.clock.now().astimezone(UTC).replace(microsecond=0)

    def stamp(self) -> str:
        return stamps.written(self.now())

    def today(self) -> date:
        return self.now().date()

    def count_call(self) -> None:
        """Counts one API call; hours older than the rolling day are forgotten."""
        now = self.now()
        execute = self.store.connection.execute
        execute(
            "INSERT INTO _usage VALUES (?, 1) ON CONFLICT (hour) DO UPDATE SET calls = calls + 1",
            (now.strftime("%Y-%m-%dT%H"),),
        )
        if now.minute == 0:
            execute("DELETE FROM _usage WHERE hour < ?", ((now - timedelta(days=1)).strftime("%Y-%m-%dT%H"),))

    def calls_today(self) -> int:
        """API calls of the last 24 hours."""
        since = (self.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H")
        used = self.store.connection.execute("SELECT coalesce(sum(calls), 0) FROM _usage WHERE hour > ?", (since,))
        return int(used.fetchone()[0])

    def record_effects(self, request_id: str, effects: list[dict[str, Any]], changes: Iterable[Change] = ()) -> None:
        """Writes effects into the journal and changes onto the event bus, inside the transaction that made them."""
        self.changes.publish(changes, self.objects)
        self.journal.record_many(
            [{"phase": EFFECT, "request_id": request_id, **effect} for effect in effects],
            connection=self.store.connection,
        )


def open_org(state_dir: Path, credentials: Credentials | None = None) -> Org:
    """The org whose state is in `state_dir`; new when there is none."""
    clock = Clock()
    path = state_dir / FILE_NAME
    store = Store(path, clock.now)
    journal = Journal(path, clock)
    switches = Switches(SWITCHES)
    bus = EventBus(store, clock, switches)
    return Org(
        state_dir=state_dir,
        store=store,
        clock=clock,
        journal=journal,
        switches=switches,
        credentials=credentials or Credentials.from_environment(),
        faults=Faults(journal, FORMS, KINDS, in_transaction=lambda: store.connection.in_transaction),
        late=LateRows(store.connection, clock),
        bus=bus,
        changes=ChangeEvents(bus, clock, switches),
    )
