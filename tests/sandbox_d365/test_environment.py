"""The process: both addresses, restarts, the clock, switches, faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.sandbox_d365.environment import Caller, Process, an_order, fill


def test_state_journal_and_tokens_survive_a_kill(tmp_path: Path):
    fill(tmp_path)
    process = Process.start(tmp_path)
    caller = Caller(process)
    caller.batch(an_order("K-1", lines=2))
    effects = caller.journal(phase="effect")
    lot = caller.rows("SalesOrderLines")[-1]["InventoryLotId"]
    process.kill()

    process = Process.start(tmp_path)
    again = Caller(process)
    assert [row["SalesOrderNumber"] for row in again.rows("SalesOrderHeadersV2")] == ["K-1"]
    assert again.journal(phase="effect") == effects
    again.batch(an_order("K-2", lines=1))
    assert again.rows("SalesOrderLines")[-1]["InventoryLotId"] > lot
    process.stop()


def test_it_is_healthy_on_both_addresses_and_counts_its_rows(process: Process):
    http = requests.Session()
    http.trust_env = False
    for url in (process.url, process.tls_url):
        health = http.get(f"{url}/_sandbox/health", verify=process.ca).json()
        assert (health["status"], health["system"]) == ("ok", "d365")
        assert health["counts"]["Companies"] == 2


def test_a_switch_that_does_not_exist_is_refused(d365: Caller):
    for wanted in ({"page_sice": 5}, {"page_size": "5"}, {"long_text": "maybe"}, {"page_size": 5, "x": 1}):
        answer = d365.http.post(f"{d365.process.url}/_sandbox/settings", json=wanted)
        assert answer.status_code == 400
    assert d365.http.get(f"{d365.process.url}/_sandbox/settings").json()["page_size"] == 10_000


def test_the_clock_dates_new_orders_and_answers(d365: Caller):
    d365.control("clock", {"now": "2030-05-06T07:08:09Z", "frozen": True})
    d365.control("settings", {"token_lifetime_s": 600})
    d365.sign_in()

    answer = d365.post("SalesOrderHeadersV2", {"OrderingCustomerAccountNumber": "C-1"})
    made = answer.json()

    assert answer.headers["Date"] == "Mon, 06 May 2030 07:08:09 GMT"
    assert made["OrderCreationDateTime"] == "2030-05-06T07:08:09Z"
    assert made["RequestedShippingDate"] == "2030-05-06T12:00:00Z"
    d365.control("clock", {"now": None})


def test_a_lost_answer_leaves_the_order_behind(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.control("faults", {"kind": "lose_answer", "method": "POST", "path": "/data/$batch"})

    with pytest.raises(requests.ConnectionError):
        d365.batch(an_order(number, lines=1))

    assert len(d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber eq '{number}'")) == 1


def test_a_gateways_page_can_stand_for_the_answer(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.control(
        "faults",
        {
            "kind": "replace_answer",
            "method": "POST",
            "status": 502,
            "headers": {"Content-Type": "text/html"},
            "body": "<html>Bad Gateway</html>",
        },
    )

    answer = d365.batch(an_order(number, lines=1))

    assert (answer.status_code, answer.text) == (502, "<html>Bad Gateway</html>")
    assert len(d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber eq '{number}'")) == 1


def test_throttling_comes_before_anything_happens(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.control(
        "faults",
        {"kind": "refuse", "status": 429, "headers": {"Retry-After": "2"}, "method": "POST", "times": 2, "after": 1},
    )

    codes = [d365.batch(an_order(number, lines=1)).status_code for _ in range(4)]

    assert codes == [200, 429, 429, 200]


def test_a_caller_who_gave_up_does_not_stop_the_order(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.control("faults", {"kind": "delay", "delay_s": 0.6, "method": "POST"})
    row = an_order(number, lines=0)[0][2]
    with pytest.raises(requests.Timeout):
        d365.http.post(f"{d365.data}/SalesOrderHeadersV2", json=row, timeout=0.2)

    assert d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber eq '{number}'") == []
    deadline = time.monotonic() + 10
    while not d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber eq '{number}'"):
        assert time.monotonic() < deadline, "The order never came."
        time.sleep(0.1)


def test_what_was_to_take_effect_later_is_lost_with_the_process(tmp_path: Path) -> None:
    """As with a server that is switched off: nobody finishes for it what it had not begun."""
    fill(tmp_path)
    running = Process.start(tmp_path)
    caller = Caller(running)
    caller.control("faults", {"kind": "slow_commit", "delay_s": 60})
    with pytest.raises(requests.ConnectionError):
        caller.batch(an_order("T-LATER", lines=1))
    running.stop()

    running = Process.start(tmp_path)
    caller = Caller(running)
    found = caller.rows("SalesOrderHeadersV2", filter="SalesOrderNumber eq 'T-LATER'")
    phases = [entry["phase"] for entry in caller.journal(path="/data/$batch")]
    running.stop()

    assert found == []
    assert phases == ["asked", "fault", "answered"]
