"""Teams, Slack and whatever Apprise knows, against real HTTP servers."""

from pathlib import Path
from typing import Any

import pytest

from resources.notices import NotTaken, Sink, open_sink
from tests.alerts.samples import HOSTILE, a_notice, an_item
from tests.alerts.servers import Answer, WebServer
from tieout.alerting import model
from tieout.errors import AuthenticationProblem, ConfigurationError

KINDS: dict[str, Any] = {
    "teams": model.TeamsSink(kind="teams", url_from="HOOK"),
    "slack": model.SlackSink(kind="slack", url_from="HOOK"),
}


def channel(kind: str, server: WebServer) -> Sink:
    return open_sink(KINDS[kind], {"HOOK": f"{server.url}/hooks/canary-secret?sig=canary"})


def test_teams_gets_one_card(web: WebServer) -> None:
    web.answers = [Answer(202, body=b"")]

    channel("teams", web).send(a_notice())

    [post] = web.posts
    assert post.path == "/hooks/canary-secret?sig=canary"
    [attachment] = post.json["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    texts = [run["text"] for element in attachment["content"]["body"] for run in element["inlines"]]
    assert "On: money open, usmf USD" in texts


def test_slack_gets_one_message(web: WebServer) -> None:
    channel("slack", web).send(a_notice(an_item(subject=HOSTILE)))

    [post] = web.posts
    assert "<!channel>" not in post.json["text"]
    assert post.json["blocks"][0]["text"]["type"] == "plain_text"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "error", "told", "wait_s"),
    [
        (Answer(429, {"Retry-After": "90"}), NotTaken, "asks to wait", 90),
        (Answer(429, {"Retry-After": "9999999"}), NotTaken, "asks to wait", 86_400),
        (Answer(429), NotTaken, "asks to wait", None),
        (Answer(503, {"Retry-After": "5"}), NotTaken, "asks to wait", 5),
        (Answer(500, body=b"canary " * 50), NotTaken, r"did not take the notice \(HTTP 500\)", None),
        (Answer(400, body=b"invalid_payload"), NotTaken, "HTTP 400, invalid_payload", None),
        (Answer(302, {"Location": "http://127.0.0.1:1/canary"}), NotTaken, "HTTP 302", None),
        (Answer(404, body=b"no_service"), AuthenticationProblem, "HTTP 404, no_service.*Check HOOK", None),
    ],
)
def test_what_a_channel_answers_is_told_without_its_address(
    web: WebServer, kind: str, answer: Answer, error: type[Exception], told: str, wait_s: float | None
) -> None:
    web.answers = [answer]

    with pytest.raises(error, match=told) as problem:
        channel(kind, web).send(a_notice())

    assert "canary" not in str(problem.value)
    assert getattr(problem.value, "wait_s", None) == wait_s
    assert len(web.posts) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_that_is_away_is_told_without_its_address(kind: str) -> None:
    sink = open_sink(KINDS[kind], {"HOOK": "https://127.0.0.1:1/canary-secret"})

    with pytest.raises(NotTaken, match="cannot be reached") as problem:
        sink.send(a_notice())

    assert "canary" not in str(problem.value)
    assert problem.value.__cause__ is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "HOOK is not set"),
        ("canary", "HOOK holds no address"),
        ("ftp://canary", "HOOK holds no address"),
        ("https://[canary", "HOOK holds no address"),
        ("http://canary.example.com", "HOOK uses plain http"),
    ],
)
def test_an_address_that_is_missing_or_wrong_is_named_by_its_variable(value: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as problem:
        open_sink(KINDS["slack"], {"HOOK": value})

    assert "canary" not in str(problem.value)


APPRISE = model.AppriseSink(kind="apprise")


def test_apprise_carries_a_notice_to_a_service_of_its_own(web: WebServer) -> None:
    address = web.url.replace("http://", "json://")

    open_sink(APPRISE, {"TIEOUT_APPRISE_URL": address}).send(a_notice())

    [post] = web.posts
    assert post.json["title"] == "Tieout: On: money open, usmf USD"
    assert "1,234.50 USD" in post.json["message"]


def test_apprise_that_fails_or_does_not_know_the_address_is_told_without_it(
    web: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    web.answers = [Answer(500)]
    address = f"{web.url.replace('http://', 'json://')}/canary"
    with pytest.raises(NotTaken, match="TIEOUT_APPRISE_URL did not take") as failed:
        open_sink(APPRISE, {"TIEOUT_APPRISE_URL": address}).send(a_notice())
    with pytest.raises(ConfigurationError, match="no address that Apprise knows") as unknown:
        open_sink(APPRISE, {"TIEOUT_APPRISE_URL": "nothing://canary"}).send(a_notice())

    assert "canary" not in f"{failed.value} {unknown.value} {capfd.readouterr()}"


def test_the_address_of_a_channel_may_be_in_a_file_that_is_read_for_every_notice(
    web: WebServer, tmp_path: Path
) -> None:
    file = tmp_path / "hook"
    for path in ("/hooks/old", "/hooks/new"):
        file.write_text(f"{web.url}{path}\n")
        open_sink(KINDS["slack"], {"HOOK_FILE": str(file)}).send(a_notice())

    assert len(web.posts) == 2


def test_a_file_of_a_channels_address_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"HOOK .*/none cannot be read"):
        open_sink(KINDS["slack"], {"HOOK": f"file:{tmp_path}/none"})
