"""Listening to the events of Salesforce: threads that turn what its channels say into hints of the ledger, and come back after every trouble.

One listener of an installation works at a time; another one waits for its place. What an event comes to and how far its channel was read are one
transaction of the ledger, so that nothing is lost or kept twice however it ends. Where events do not tell which records changed, a run of the main
job is asked for: it finds everything that any event could have told.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from resources.ledger import Ledger
from resources.pubsub import Batch, PlaceLost, PubSubClient, Subscription
from resources.salesforce_session import CLIENT_NAME, Access, SalesforceSession
from tieout.contract import Contracts
from tieout.errors import AuthenticationProblem, RecordError, RequestRefused, SourceUnavailable, TieoutError
from tieout.events import Hint
from tieout.pubsub import Heard, Ourselves, ReceivedEvent, heard, watched_fields
from tieout.settings import SalesforceSettings, Settings

log = logging.getLogger(__name__)

SILENCE_S = 330.0
"""A stream that has said nothing for so long is dead, whatever its connection looks like: signs of life come every 270 s."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
PAUSE_AFTER_REFUSAL_S = 600.0
"""What was refused (a channel that is not there, a right that is missing) is changed by people."""
LOOK_EVERY_S = 1.0
LOOK_FOR_PLACE_S = 5.0
STOP_WITHIN_S = 5.0
LONGEST_ID = 128
_PLACE = "pubsub"


def is_wanted(settings: Settings) -> bool:
    """Whether the settings name an address and a channel to listen to."""
    salesforce = settings.salesforce
    return salesforce is not None and bool(salesforce.pubsub_address and salesforce.topics)


@contextmanager
def listening(settings: Settings, ledger: Ledger, contracts: Contracts) -> Iterator[None]:
    """Listens for the length of a block, where the settings ask for it."""
    if settings.salesforce is None or not is_wanted(settings):
        yield
        return
    listener = Listener(ledger, settings.salesforce, contracts, settings.ca_bundle)
    listener.start()
    try:
        yield
    finally:
        listener.stop()


class Listener:
    """Listens from `start` to `stop`. It logs what goes wrong and never raises it: the schedule finds what it missed."""

    def __init__(
        self,
        ledger: Ledger,
        settings: SalesforceSettings,
        contracts: Contracts,
        ca_bundle: Path | None = None,
        *,
        silence_s: float = SILENCE_S,
        first_pause_s: float = FIRST_PAUSE_S,
        pause_after_refusal_s: float = PAUSE_AFTER_REFUSAL_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._watched = watched_fields(contracts)
        self._ca_bundle = ca_bundle
        self._silence_s = silence_s
        self._first_pause_s = first_pause_s
        self._pause_after_refusal_s = pause_after_refusal_s
        self._look_every_s = look_every_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in threads of its own."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until nothing is under way, but not for a sign-in that hangs; harmless when it has not begun."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._ledger.if_alone(_PLACE) as still_ours:
                    if still_ours is not None:
                        self._listen(still_ours)
            except TieoutError as problem:
                log.warning("events.listener_without_ledger", extra={"problem": str(problem)})
            except Exception:
                log.exception("events.listener_failed")
            self._stopping.wait(min(LOOK_FOR_PLACE_S, 5 * self._first_pause_s))

    def _listen(self, still_ours: Callable[[], object]) -> None:
        """Follow every channel in a thread of its own, for as long as the place is ours."""
        client = PubSubClient(self._settings.pubsub_address, self._ca_bundle)
        session = _Session(self._settings, self._ca_bundle)
        channels = [_Channel(self, client, session, topic) for topic in self._settings.topics]
        try:
            for channel in channels:
                channel.start()
            log.info("events.listening", extra={"topics": list(self._settings.topics)})
            while not self._stopping.wait(self._look_every_s):
                still_ours()
                for channel in channels:
                    channel.end_if_silent(self._silence_s)
        finally:
            for channel in channels:
                channel.leave()
            for channel in channels:
                channel.join()
            client.close()


class _Session:
    """The session that all channels share: signed in when it is needed, and anew when it was refused."""

    def __init__(self, settings: SalesforceSettings, ca_bundle: Path | None) -> None:
        self._settings = settings
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self._access: Access | None = None

    def access(self) -> Access:
        """The session's token; raises what signing in raises."""
        with self._lock:
            if self._access is None:
                session = SalesforceSession(self._settings, self._ca_bundle)
                try:
                    self._access = session.access()
                finally:
                    session.close()
            return self._access

    def refused(self, access: Access | None) -> None:
        """This token was refused; another channel may have a new one already."""
        with self._lock:
            if self._access is access:
                self._access = None


class _Channel:
    """One channel: read from where it broke off, kept, read on."""

    def __init__(self, listener: Listener, client: PubSubClient, session: _Session, topic: str) -> None:
        self._ledger = listener._ledger
        self._watched = listener._watched
        self._first_pause_s = self._pause_s = listener._first_pause_s
        self._pause_after_refusal_s = listener._pause_after_refusal_s
        self._client = client
        self._session = session
        self._topic = topic
        self._opened_without_place = 0
        self._leaving = threading.Event()
        self._subscription: Subscription | None = None
        self._thread = threading.Thread(target=self._follow, name=f"listener {topic}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """Ask it to end."""
        self._leaving.set()
        if self._subscription is not None:
            self._subscription.end()

    def join(self) -> None:
        """Wait until it has ended, or is held up by somebody who does not answer."""
        self._thread.join(STOP_WITHIN_S)

    def end_if_silent(self, silence_s: float) -> None:
        """End a stream from which nothing came for so long; it is opened anew."""
        subscription = self._subscription
        if subscription is not None and subscription.silent_s() > silence_s:
            log.warning("events.silent", extra={"topic": self._topic})
            subscription.end()

    def _follow(self) -> None:
        while not self._leaving.is_set():
            self._leaving.wait(self._read_until_trouble())

    def _read_until_trouble(self) -> float:
        """Read until something goes wrong; returns how many seconds to wait before it is tried again."""
        access: Access | None = None
        try:
            access = self._session.access()
            self._read(access)
        except AuthenticationProblem as problem:
            self._session.refused(access)
            self._tell("events.session_refused", problem)
        except PlaceLost as lost:
            self._tell("events.place_lost", lost)
            self._begin_anew(str(lost))
        except RequestRefused as refusal:
            self._tell("events.refused", refusal)
            return self._pause_after_refusal_s
        except TieoutError as problem:
            self._tell("events.interrupted", problem)
        except Exception:
            log.exception("events.channel_failed", extra={"topic": self._topic})
        return self._pause()

    def _read(self, access: Access) -> None:
        us = Ourselves(CLIENT_NAME, access.user_id)
        place = self._ledger.events.replay_id(self._topic)
        self._opened_without_place += place is None
        subscription = self._client.subscribe(access, self._topic, place)
        self._subscription = subscription
        try:
            if self._leaving.is_set():
                return
            for batch in subscription:
                self._keep(access, us, batch)
                self._pause_s = self._first_pause_s
        finally:
            subscription.end()
            self._subscription = None

    def _keep(self, access: Access, us: Ourselves, batch: Batch) -> None:
        hints: list[Hint] = []
        reasons: dict[str, str] = {}
        for event in batch.events:
            found = self._heard(access, us, event)
            hints += found.hints
            if found.unknown:
                reasons[f"{self._topic} {event.replay_id.hex()[:LONGEST_ID]}"] = found.unknown
        if self._opened_without_place > 1:
            # What came between two openings at the newest event was told to nobody.
            reasons[f"{self._topic} {uuid4()}"] = "the stream broke before its place was known"
        new = self._ledger.events.receive_from(self._topic, hints, reasons, batch.replay_id)
        self._opened_without_place = 0
        if batch.events:
            log.info(
                "events.received",
                extra={"source": "salesforce", "topic": self._topic, "events": len(batch.events), "hints": len(hints), "new": new},
            )  # fmt: skip
        for why in reasons.values():
            log.warning("events.sweep_wanted", extra={"topic": self._topic, "reason": why})

    def _heard(self, access: Access, us: Ourselves, event: ReceivedEvent) -> Heard:
        try:
            return heard(event, self._client.schema(access, event.schema_id), us, self._watched)
        except (RecordError, RequestRefused) as problem:
            # Its place is known, so reading goes on behind it.
            return Heard(unknown=f"an event could not be read: {problem}")

    def _begin_anew(self, why: str) -> None:
        try:
            self._ledger.events.receive_from(self._topic, (), {f"{self._topic} {uuid4()}": why}, None)
        except SourceUnavailable as problem:
            # The place stays as it is, and is found to be lost again.
            self._tell("events.not_kept", problem)

    def _tell(self, what: str, problem: Exception) -> None:
        log.warning(what, extra={"topic": self._topic, "problem": str(problem)})

    def _pause(self) -> float:
        """Longer with every trouble in a row, at random, so that the channels do not come back together."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)
