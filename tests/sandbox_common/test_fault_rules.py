"""Rules of faults: which requests they mean, how often they strike, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox_common.conftest import Target

PROBE = {"d365": "/data/Companies", "salesforce": "/services/data/v62.0/limits"}


def statuses(system: Target, count: int, query: str = "") -> list[int]:
    """The statuses of so many harmless reads."""
    token = {"Authorization": f"Bearer {system.token()}"}
    url = f"{system.url}{PROBE[system.name]}{query}"
    return [system.http.get(url, headers=token, timeout=10).status_code for _ in range(count)]


def refusing(system: Target, **more: Any) -> dict[str, Any]:
    return {"kind": "refuse", "path": PROBE[system.name], **more}


def test_a_rule_lets_some_through_and_then_strikes_so_often(system: Target) -> None:
    system.fault(refusing(system, after=1, times=2))

    assert statuses(system, 4) == [200, 503, 503, 200]
    [rule] = system.faults()["rules"]
    assert (rule["left"], rule["struck"], system.faults()["struck"]) == (0, 2, {"refuse": 2})


def test_a_rule_without_an_end_strikes_until_it_is_forgotten(system: Target) -> None:
    system.fault(refusing(system, times=None))

    assert statuses(system, 3) == [503] * 3
    assert system.faults()["rules"][0]["left"] is None
    system.forget()
    assert statuses(system, 1) == [200]
    assert system.faults() == {"seed": 0, "rules": [], "struck": {}, "under_way": 0}


def test_the_first_rule_that_is_due_strikes(system: Target) -> None:
    system.fault(refusing(system, status=501, after=1), refusing(system, status=502), refusing(system, status=503))

    assert statuses(system, 4) == [502, 501, 503, 200]


def test_method_path_and_query_say_which_requests_are_meant(system: Target) -> None:
    system.fault(refusing(system, method="POST"), {"kind": "refuse", "path": r"\?.*a=b c$"})

    assert statuses(system, 1) == [200]
    assert statuses(system, 1, "?a=b%20c") == [503]


def test_what_the_body_holds_says_which_requests_are_meant(system: Target) -> None:
    """The same path writes and reads; and who is not meant finds its body as it was sent."""
    system.fault({"kind": "refuse", "method": "POST", "path": "/_elsewhere", "holds": "write"})
    url = f"{system.url}/_elsewhere"

    answers = [system.http.post(url, data=body, timeout=10).status_code for body in ("read", "a write", "a write")]

    assert answers[1] == 503
    assert 503 not in (answers[0], answers[2])
    assert system.faults()["struck"] == {"refuse": 1}


def test_a_dollar_before_a_word_means_itself(system: Target) -> None:
    system.fault({"kind": "refuse", "path": "$skip=20"})

    assert statuses(system, 1, "?%24skip=20") == [503]


def test_the_same_seed_and_the_same_requests_give_the_same_strikes(system: Target) -> None:
    def run(seed: int) -> list[int]:
        system.forget()
        system.fault(refusing(system, times=None, rate=0.5), seed=seed)
        return statuses(system, 24)

    first = run(7)

    assert run(7) == first
    assert run(8) != first
    assert 4 < first.count(503) < 20


def test_signing_in_is_struck_only_when_its_path_is_named(system: Target) -> None:
    system.fault({"kind": "refuse", "times": 1})
    system.sign_in()
    assert system.faults()["struck"] == {}

    system.forget()
    system.fault({"kind": "refuse", "path": system.token_path, "status": 503})
    with pytest.raises((requests.HTTPError, ValueError, KeyError)):
        system.sign_in()
    system.sign_in()
    assert system.faults()["struck"] == {"refuse": 1}


def test_the_sandboxs_own_routes_are_never_struck(system: Target) -> None:
    system.fault({"kind": "refuse", "times": None, "path": "_sandbox"})

    assert system.http.get(f"{system.url}/_sandbox/health", timeout=10).status_code == 200
    assert system.faults()["struck"] == {}


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"kind": "earthquake"}, "There is no fault 'earthquake' here. Known: refuse, "),
        ({"kind": "drop", "delay_s": 1}, "no parameter 'delay_s'. Known: method, path, holds, after, times, rate."),
        ({"kind": "delay", "delay_s": "1"}, "'delay_s' of 'delay' is a number of seconds, 0 or more, not '1'"),
        ({"kind": "drop", "times": 0}, "'times' of 'drop' is a whole number, 1 or more, or null for no end, not 0"),
        ({"kind": "drop", "rate": 1.5}, "'rate' of 'drop' is a number above 0 and up to 1, not 1.5"),
        ({"kind": "duplicate", "answer": "third"}, "is 'first' or 'second', not 'third'"),
        ({"kind": "gateway_page", "status": 500}, "is 502, 503 or 504, not 500"),
        ({"kind": "drop", "path": "("}, "The path '(' is no regular expression"),
        ({"seed": "x", "rules": []}, "The seed is a whole number, not 'x'."),
        ({"times": 1}, 'A rule names its "kind"'),
        (["drop"], "A rule is a JSON object, not 'drop'."),
    ],
)
def test_a_rule_that_is_not_right_is_refused_with_what_is_known(system: Target, wanted: Any, says: str) -> None:
    assert says in system.refusal(wanted)
    assert system.faults()["rules"] == []


def test_of_several_rules_none_is_added_when_one_is_not_right(system: Target) -> None:
    assert "earthquake" in system.refusal([{"kind": "drop"}, {"kind": "earthquake"}])
    assert system.faults()["rules"] == []


@pytest.mark.parametrize(("name", "stranger"), [("d365", "row_lock"), ("salesforce", "throttle_part")])
def test_a_kind_of_the_other_system_is_refused(both: dict[str, Target], name: str, stranger: str) -> None:
    assert f"There is no fault {stranger!r} here" in both[name].refusal({"kind": stranger})
