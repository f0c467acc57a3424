"""The journal: what was asked, what took effect, what was answered; and that it keeps no secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.common.credentials import DEFAULT_CLIENT_SECRET
from sandbox.common.journal import Journal
from tests.sandbox_d365.environment import Caller, an_order


def test_an_order_is_one_effect_for_the_header_and_one_per_line(d365: Caller, new_number: Callable[[], str]):
    number, after = new_number(), d365.journal_end()

    d365.batch(an_order(number, lines=2))

    entries = d365.journal(after)
    assert [entry["phase"] for entry in entries] == ["asked", "effect", "effect", "effect", "answered"]
    assert len({entry["request_id"] for entry in entries}) == 1
    effects = entries[1:-1]
    assert [entry["entity"] for entry in effects] == ["SalesOrderHeadersV2", "SalesOrderLines", "SalesOrderLines"]
    assert {entry["effect"] for entry in effects} == {"created"}
    assert {(entry["company"], entry["order"]) for entry in effects} == {("usmf", number)}
    assert effects[0]["key"] == number
    assert effects[1]["values"]["LineAmount"] == "4049.99"
    assert "ItemNumber" in effects[1]["fields"]
    assert (entries[-1]["status"], entries[0]["path"]) == (200, "/data/$batch")


def test_what_was_rolled_back_had_no_effect(d365: Caller, new_number: Callable[[], str]):
    after = d365.journal_end()

    d365.batch([*an_order(new_number(), lines=1), ("POST", "SalesOrderLines", {"ItemNumber": "gone"})])

    assert [entry["phase"] for entry in d365.journal(after)] == ["asked", "answered"]


def test_changes_and_deletions_name_their_fields(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.batch(an_order(number, lines=1))
    after = d365.journal_end()
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')"

    d365.patch(key, {"SalesOrderName": "new", "CurrencyCode": "USD"})
    d365.patch(key, {"SalesOrderName": "new"})
    d365.delete(key)

    effects = d365.journal(after, phase="effect")
    assert [(entry["effect"], entry["entity"], entry.get("fields")) for entry in effects] == [
        ("updated", "SalesOrderHeadersV2", ["SalesOrderName"]),
        ("deleted", "SalesOrderLines", None),
        ("deleted", "SalesOrderHeadersV2", None),
    ]
    assert len(d365.journal(after, phase="asked", method="PATCH")) == 2


def test_a_refusal_keeps_its_body(d365: Caller):
    after = d365.journal_end()

    d365.get("CustomersV3", filter="Nope eq 1")

    [answered] = d365.journal(after, phase="answered")
    assert answered["status"] == 400
    assert "Could not find a property named 'Nope'" in answered["body"]


def test_no_secret_is_kept(d365: Caller):
    d365.sign_in()
    token = d365.http.headers["Authorization"].removeprefix("Bearer ")

    kept = str(d365.journal())

    assert DEFAULT_CLIENT_SECRET not in kept
    assert token not in kept
    assert "client_secret=" in kept


def test_pages_of_the_journal_follow_each_other(d365: Caller):
    d365.get("Companies")
    url = f"{d365.process.url}/_sandbox/journal"
    first = d365.http.get(url, params={"limit": "2"}).json()
    second = d365.http.get(url, params={"limit": "2", "after": str(first["next"])}).json()

    assert [entry["seq"] for entry in first["entries"] + second["entries"]] == [1, 2, 3, 4]


def test_the_journal_cannot_be_rewritten(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record("effect", entity="X")

    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    for statement in ("UPDATE _journal SET entity = 'Y'", "DELETE FROM _journal"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    journal.close()
