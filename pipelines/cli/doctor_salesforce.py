"""What the doctor asks a Salesforce: it reads, describes, and changes nothing. What the answers mean is in `tieout/doctor/salesforce.py`."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from resources.listening import is_wanted
from resources.pubsub import PubSubClient
from resources.salesforce import SalesforceClient
from resources.salesforce_session import SalesforceSession
from tieout.contract import Contracts, check_against_salesforce
from tieout.doctor import Finding, clock, salesforce
from tieout.doctor.finding import fields, good
from tieout.errors import AuthenticationProblem, RequestRefused, SourceUnavailable, TieoutError
from tieout.settings import Settings

_REFUSALS = (RequestRefused, AuthenticationProblem)


def examine_salesforce(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    """Sign-in, version, clock, then the rights on every object of the contracts, one by one, and the quota."""
    assert settings.salesforce is not None
    with SalesforceClient(settings.salesforce, ca_bundle=settings.ca_bundle) as client:
        versions = client.versions()
        apart_s = abs((client.server_now() - datetime.now(UTC)).total_seconds())
        yield good("Salesforce sign-in", f"{settings.salesforce.instance_url}, by {settings.salesforce.secret}")
        yield salesforce.version(settings.salesforce.api_version, versions)
        yield clock("Salesforce", apart_s)
        yield from _objects(client, contracts)
        yield from _permissions(client)
        yield from _channels(settings)
        if client.quota is not None:
            yield salesforce.quota(client.quota.used, client.quota.allowed, settings.salesforce_reserve_percent)


def _objects(client: SalesforceClient, contracts: Contracts) -> Iterator[Finding]:
    tables = contracts.tables("salesforce")
    described = {table.source: _described(client, table.source) for table in tables}
    there = {name: each for name, each in described.items() if each is not None}
    yield fields("Salesforce", check_against_salesforce(contracts, there))
    seen: dict[str, int] = {}
    for table in tables:
        found = described[table.source]
        rows = _count(client, table.source)
        yield salesforce.reading(table, found, rows)
        if found is None or rows is None:
            continue
        seen[table.source] = rows
        editing = salesforce.editing(table, found)
        if editing is not None:
            yield editing
        yield salesforce.nothing_more(table, found)
    yield salesforce.view_all(seen, _record_counts(client, salesforce.objects_of(tables)))


def _permissions(client: SalesforceClient) -> Iterator[Finding]:
    granted = {name: client.system_permission(name) for name in salesforce.asked_permissions()}
    yield from salesforce.needed_permissions(granted)
    yield salesforce.powers(granted)


def _channels(settings: Settings) -> Iterator[Finding]:
    """Whether the channels of events that are to be listened to can be."""
    if settings.salesforce is None or not is_wanted(settings):
        return
    with (
        closing(SalesforceSession(settings.salesforce, settings.ca_bundle)) as session,
        closing(PubSubClient(settings.salesforce.pubsub_address, settings.ca_bundle)) as client,
    ):
        access = session.access()
        for topic in settings.salesforce.topics:
            try:
                client.check_topic(access, topic)
                yield salesforce.channel(topic)
            except TieoutError as problem:
                yield salesforce.channel(topic, str(problem), is_reached=not isinstance(problem, SourceUnavailable))


def _described(client: SalesforceClient, sobject: str) -> dict[str, Any] | None:
    """None for an object that this user does not see, which is the same as none at all."""
    try:
        return client.describe(sobject)
    except RequestRefused as refusal:
        if refusal.status == 404:
            return None
        raise


def _count(client: SalesforceClient, sobject: str) -> int | None:
    try:
        return client.count(sobject)
    except _REFUSALS:
        return None


def _record_counts(client: SalesforceClient, sobjects: tuple[str, ...]) -> dict[str, int] | None:
    try:
        return client.record_counts(sobjects)
    except _REFUSALS:
        return None
