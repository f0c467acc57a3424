"""What the listener keeps of the events of Salesforce, whatever happens on the way."""

from collections.abc import Callable
from typing import Any

import pytest

from resources.ledger import Ledger
from tests.pubsub.hearing import (
    ACCOUNTS,
    OPPORTUNITIES,
    ORDER_STATUS,
    Hearing,
    accounts_at_once,
    an_account_of,
    changed,
)
from tests.sandbox_salesforce.running_org import Sandbox, an_opportunity

Start = Callable[..., Hearing]
SOMEBODY_ELSE = "0058d0000000009AAA"


def test_a_write_becomes_one_hint_however_often_its_event_comes(org: Sandbox, hearing: Start) -> None:
    ears = hearing()

    account = an_account_of(org)
    for _ in range(3):
        org.control("events/repeat", topic=ACCOUNTS)
    marker = an_account_of(org)

    ears.hears(account, marker)
    [first] = [each for each in ears.ledger.events.waiting_hints(10) if each.hint.key == account]
    assert (first.hint.source, first.hint.entity, first.hint.kind) == ("salesforce", "account", "Account CREATE")
    assert first.hint.changed_at is not None
    assert abs((first.received_at - first.hint.changed_at).total_seconds()) < 60


def test_nothing_of_what_a_record_holds_is_kept(org: Sandbox, hearing: Start, ledger: Ledger) -> None:
    ears = hearing()

    account = org.create("Account", Name="Zwiebelfisch")

    ears.hears(account)
    [waiting] = ledger.events.waiting_hints(10)
    assert "Zwiebelfisch" not in repr(waiting)


def test_several_channels_are_heard_at_once(org: Sandbox, hearing: Start) -> None:
    ears = hearing(ACCOUNTS, OPPORTUNITIES, ORDER_STATUS)
    ears.wait(lambda: ears.told()["streams"] == 3)

    account = an_account_of(org)
    opportunity = org.create("Opportunity", **an_opportunity(AccountId=account))
    published(org, opportunity, user=SOMEBODY_ELSE)

    ears.wait(lambda: len(ears.keys()) == 3)
    assert sorted(ears.kinds()) == ["Account CREATE", "Opportunity CREATE", "platform event"]
    assert sorted(ears.keys()) == sorted([account, opportunity, opportunity])


def published(org: Sandbox, opportunity: str, **more: Any) -> None:
    org.control(
        "events/publish",
        event="ERP_Order_Status__e",
        fields={"Opportunity_Id__c": opportunity, "ERP_Order_Status__c": "Confirmed"},
        **more,
    )


def test_what_we_wrote_ourselves_does_not_come_back(org: Sandbox, hearing: Start) -> None:
    account = an_account_of(org)
    ears = hearing(ACCOUNTS, ORDER_STATUS)
    ears.wait(lambda: ears.told()["streams"] == 2)

    changed(org, "Account", account, client="tieout", Payment_Terms__c="Net30")
    org.control("events/gap", entity="Account", kind="GAP_UPDATE", ids=[account], origin="x/62.0;client=tieout")
    published(org, "0068d00000AbCdEAAV")
    other = an_account_of(org)

    ears.hears(other)


def test_changes_of_fields_that_nobody_reads_are_no_reason_to_look(org: Sandbox, hearing: Start) -> None:
    account, marker = an_account_of(org), an_account_of(org)
    ears = hearing()

    changed(org, "Account", account, Description="talked on the phone", AccountSource="Web")
    changed(org, "Account", marker, BillingCity="Berlin")
    changed(org, "Account", account, Name="Acme Ltd")
    changed(org, "Account", marker, BillingCity=None)

    ears.wait(lambda: len(ears.keys()) == 3)
    assert sorted(ears.keys()) == sorted([marker, account, marker])
    assert ears.kinds() == ["Account UPDATE"] * 3


def test_a_deleted_record_is_looked_at(org: Sandbox, hearing: Start) -> None:
    account = an_account_of(org)
    ears = hearing()

    assert org.call("DELETE", f"sobjects/Account/{account}").status_code == 204
    org.control("undelete", ids=[account])

    ears.wait(lambda: len(ears.keys()) == 2)
    assert sorted(ears.kinds()) == ["Account DELETE", "Account UNDELETE"]


def test_reading_goes_on_where_it_ended(org: Sandbox, hearing: Start) -> None:
    ears = hearing()
    first = an_account_of(org)
    ears.hears(first)
    ears.stop()

    missed = accounts_at_once(org, 450)
    again = hearing()

    last = an_account_of(org)
    again.hears(first, *missed, last)
    assert again.sweeps() == []


@pytest.mark.parametrize("code", ["service.unavailable", "subscription.internal.error", "service.auth.error"])
def test_nothing_is_lost_or_doubled_where_streams_break_while_records_are_written(
    org: Sandbox, hearing: Start, code: str
) -> None:
    ears = hearing()
    made = [an_account_of(org)]
    ears.hears(*made)

    for _ in range(4):
        org.control("events/fail", code=code)
        made += accounts_at_once(org, 60)

    made.append(an_account_of(org))
    ears.hears(*made)
    assert ears.sweeps() == []
    assert ears.opened() > 1


def test_a_session_that_has_died_is_renewed(org: Sandbox, hearing: Start) -> None:
    ears = hearing()
    first = an_account_of(org)
    ears.hears(first)

    org.control("tokens/expire")
    org.log_in()
    second = an_account_of(org)

    ears.hears(first, second)


def forgotten(org: Sandbox, ledger: Ledger) -> None:  # noqa: ARG001 one of several
    org.control("events/forget")


def too_old(org: Sandbox, ledger: Ledger) -> None:  # noqa: ARG001 one of several
    org.control("clock", advance_s=73 * 3600)
    org.log_in()


def garbage(org: Sandbox, ledger: Ledger) -> None:  # noqa: ARG001 one of several
    ledger.events.receive_from(ACCOUNTS, (), {}, b"no replay id at all")


def of_the_future(org: Sandbox, ledger: Ledger) -> None:  # noqa: ARG001 one of several
    ledger.events.receive_from(ACCOUNTS, (), {}, (2**62).to_bytes(8) + b"\0\0")


def empty(org: Sandbox, ledger: Ledger) -> None:  # noqa: ARG001 one of several
    ledger.events.receive_from(ACCOUNTS, (), {}, b"")


@pytest.mark.parametrize("lose", [forgotten, too_old, garbage, of_the_future, empty])
def test_where_the_place_is_lost_a_sweep_is_asked_for_and_reading_goes_on(
    org: Sandbox, hearing: Start, ledger: Ledger, lose: Callable[[Sandbox, Ledger], None]
) -> None:
    ears = hearing()
    first = an_account_of(org)
    ears.hears(first)
    ears.stop()
    an_account_of(org)
    lose(org, ledger)

    again = hearing()

    again.wait(again.sweeps)
    assert "replayid" in again.sweeps()[0]
    last = an_account_of(org)
    again.hears(first, last)
    assert len(again.sweeps()) == 1


def test_a_stream_that_breaks_before_its_place_is_known_asks_for_another_sweep(org: Sandbox, hearing: Start) -> None:
    ears = hearing()
    ears.hears(first := an_account_of(org))
    ears.stop()
    org.control("events/forget")
    again = hearing()
    again.wait(again.sweeps)
    again.wait(lambda: again.told()["streams"] == 1)

    opened = again.opened()
    org.control("events/fail", code="service.unavailable")
    again.wait(lambda: again.opened() > opened and again.told()["streams"] == 1)
    last = an_account_of(org)

    again.hears(first, last)
    again.wait(lambda: len(again.sweeps()) == 2)


def test_a_gap_that_names_its_records_is_followed_by_key(org: Sandbox, hearing: Start) -> None:
    account, other = an_account_of(org), an_account_of(org)
    ears = hearing()

    org.control("events/gap", entity="Account", kind="GAP_UPDATE", ids=[account, other])

    ears.wait(lambda: len(ears.keys()) == 2)
    assert sorted(ears.keys()) == sorted([account, other])
    assert ears.sweeps() == []


@pytest.mark.parametrize(
    ("kind", "ids"),
    [("GAP_OVERFLOW", ["0018d0000000001AAA"]), ("GAP_UPDATE", ["001*"]), ("UPDATE", ["001*"]), ("GAP_CREATE", [])],
)
def test_an_event_that_does_not_name_its_records_asks_for_a_sweep(
    org: Sandbox, hearing: Start, kind: str, ids: list[str]
) -> None:
    ears = hearing()

    org.control("events/gap", entity="Account", kind=kind, ids=ids)
    marker = an_account_of(org)

    ears.hears(marker)
    assert ears.sweeps() == [f"Account {kind}: the event does not name the records"]


def test_a_schema_that_changes_is_read_anew(org: Sandbox, hearing: Start) -> None:
    account, marker = an_account_of(org), an_account_of(org)
    ears = hearing()

    changed(org, "Account", account, Name="Acme 1")
    # Everything behind the phone has another position now.
    org.control("settings", hidden_fields=["Account.Type", "Account.Fax"])
    changed(org, "Account", marker, AccountSource="Web")
    changed(org, "Account", account, Email__c="a@example.com")

    ears.hears(account, account)
    assert ears.sweeps() == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"payload": "ff" * 40}, "does not fit its schema"),
        ({"payload": "", "zeros": 0}, "does not fit its schema"),
        ({"zeros": 1_100_000}, "1,048,576 are taken"),
        ({"zeros": 5_000_000}, "larger than 4,194,304 bytes"),
        ({"payload": "00", "schema_id": "no-such-schema"}, "schema.not.found"),
    ],
)
def test_hostile_events_ask_for_a_sweep_and_stop_nobody(
    org: Sandbox, hearing: Start, raw: dict[str, Any], reason: str
) -> None:
    ears = hearing()
    first = an_account_of(org)
    ears.hears(first)
    schema_id = str(org.http.get(f"{org.url}/_sandbox/events", timeout=10).json()["schemas"][ACCOUNTS])

    org.control("events/raw", **({"topic": ACCOUNTS, "schema_id": schema_id} | raw))

    ears.wait(ears.sweeps)
    assert reason in ears.sweeps()[0]
    # Behind an answer that is too large, reading begins anew.
    ears.wait(lambda: ears.told()["streams"] == 1)
    last = an_account_of(org)
    ears.hears(first, last)
    assert len(ears.sweeps()) == 1


def test_a_channel_that_is_not_there_keeps_no_other_from_being_heard(org: Sandbox, hearing: Start) -> None:
    ears = hearing("/data/NopeChangeEvent", ACCOUNTS)

    account = an_account_of(org)

    ears.hears(account)
    assert ears.sweeps() == []


def test_a_stream_that_has_gone_silent_is_opened_anew(org: Sandbox, hearing: Start) -> None:
    ears = hearing(silence_s=0.5)
    first = an_account_of(org)
    ears.hears(first)
    before = ears.opened()

    org.control("settings", event_silence=True)
    second = an_account_of(org)
    ears.wait(lambda: ears.opened() > before)
    org.control("settings", event_silence=False)

    ears.hears(first, second)


def test_signs_of_life_move_the_place_on(org: Sandbox, hearing: Start, ledger: Ledger) -> None:
    org.control("settings", event_keep_alive_s=1)
    ears = hearing(OPPORTUNITIES)

    ears.wait(lambda: ledger.events.replay_id(OPPORTUNITIES))
    before = ledger.events.replay_id(OPPORTUNITIES)
    an_account_of(org)

    ears.wait(lambda: ledger.events.replay_id(OPPORTUNITIES) != before)
    assert ears.keys() == []


def test_one_listener_works_and_the_next_takes_over(org: Sandbox, hearing: Start) -> None:
    ears = hearing()
    waiting = hearing(waits_for_streams=False)
    first = an_account_of(org)
    ears.hears(first)
    assert ears.told()["streams"] == 1

    ears.listener.stop()
    second = an_account_of(org)

    waiting.hears(first, second)
