"""Looks against a real ledger: who is told what, how often, by how many processes, and with broken sinks."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from resources.alerting import TIME_FOR_NOTICES_S, Look, describe, look
from resources.ledger import Ledger, connect
from resources.ledger.alerts import CLAIM
from resources.notices import NotTaken
from tests.alerts.samples import DAY, HOUR, NOW, a_file, a_rule, a_run
from tests.alerts.servers import Answer, MailServer, WebServer
from tests.conftest import PROJECT
from tieout.alerting import AlertFile, SinkSpec
from tieout.alerting.facts import LastRun, RunFacts
from tieout.alerting.notice import MOST_ITEMS, Notice
from tieout.errors import ConfigurationError

SLACK = {"kind": "slack"}
MINUTE = timedelta(minutes=1)


class Inbox:
    """A sink that keeps what it is sent, or fails with `problem`."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.problem: Exception | None = None

    def send(self, notice: Notice) -> None:
        if self.problem is not None:
            raise self.problem
        self.notices.append(notice)

    @property
    def told(self) -> list[list[tuple[str, str]]]:
        """(due, subject) of each message."""
        return [[(item.due, item.subject) for item in notice.items] for notice in self.notices]


class Inboxes:
    """Sinks by the variable that they are described with."""

    def __init__(self) -> None:
        self.by_variable: dict[str, Inbox] = {}

    def __getitem__(self, variable: str) -> Inbox:
        return self.by_variable.setdefault(variable, Inbox())

    def opened(self, spec: SinkSpec) -> Inbox:
        return self[getattr(spec, "url_from", spec.kind)]


@pytest.fixture
def inboxes() -> Inboxes:
    return Inboxes()


@pytest.fixture
def seen(ledger: Ledger, inboxes: Inboxes) -> Callable[..., Look]:
    """Looks at runs: by default at one failed run of `main`, with one sink, `TIEOUT_SLACK_WEBHOOK_URL`."""

    def seen(at: datetime = NOW, *runs: LastRun, file: AlertFile | None = None, unknown: bool = False) -> Look:
        facts = None if unknown else RunFacts(None, runs or [a_run()])
        return look(ledger, file or a_file(slack=SLACK), [], facts, at, opener=inboxes.opened)

    return seen


VARIABLE = "TIEOUT_SLACK_WEBHOOK_URL"
GOOD = a_run(succeeded=True)


def test_an_alert_is_told_once_again_after_its_time_and_once_that_it_is_over(
    seen: Callable[..., Look], inboxes: Inboxes
) -> None:
    file = a_file({"failed": a_rule(again_after="1h")}, slack=SLACK)
    times = [NOW, NOW + MINUTE, NOW + 59 * MINUTE, NOW + HOUR, NOW + HOUR + MINUTE]
    for at in times:
        seen(at, file=file)
    for at in (NOW + 2 * HOUR, NOW + 3 * HOUR):
        seen(at, GOOD, file=file)

    assert inboxes[VARIABLE].told == [[("raised", "main")], [("again", "main")], [("recovered", "main")]]


def test_an_alert_that_comes_back_is_a_new_one(seen: Callable[..., Look], inboxes: Inboxes, ledger: Ledger) -> None:
    for at, runs in ((NOW, []), (NOW + MINUTE, [GOOD]), (NOW + 2 * MINUTE, [])):
        seen(at, *runs)

    assert inboxes[VARIABLE].told == [[("raised", "main")], [("recovered", "main")], [("raised", "main")]]
    newest, oldest = ledger.alerts.list(every=True)
    assert (newest.recovered_at, oldest.recovered_at) == (None, NOW + MINUTE)


def test_a_restart_repeats_nothing(seen: Callable[..., Look], inboxes: Inboxes, ledger_url: str) -> None:
    seen(NOW)

    with Ledger.opened(ledger_url) as after:
        look(after, a_file(slack=SLACK), [], RunFacts(None, [a_run()]), NOW + MINUTE, opener=inboxes.opened)

    assert inboxes[VARIABLE].told == [[("raised", "main")]]


def test_what_is_due_at_once_goes_in_one_message_of_bounded_length(seen: Callable[..., Look], inboxes: Inboxes) -> None:
    runs = [a_run(f"job_{number:02}") for number in range(MOST_ITEMS + 3)]

    seen(NOW, *runs)
    seen(NOW + MINUTE, *runs)
    seen(NOW + 2 * MINUTE, *runs)

    assert [len(message) for message in inboxes[VARIABLE].told] == [MOST_ITEMS, 3]


def test_a_broken_sink_is_told_and_tried_again_while_the_others_work(
    seen: Callable[..., Look], inboxes: Inboxes, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    file = a_file(broken={"kind": "slack", "url_from": "BROKEN"}, works={"kind": "slack", "url_from": "WORKS"})
    inboxes["BROKEN"].problem = NotTaken("Slack cannot be reached.")

    with caplog.at_level(logging.WARNING):
        first = seen(NOW, file=file)
    [listed] = ledger.alerts.list()
    inboxes["BROKEN"].problem = None
    second = seen(NOW + MINUTE, file=file)

    assert [(told.sink, told.problem) for told in first.told] == [("broken", "Slack cannot be reached."), ("works", "")]
    assert listed.problems == {"broken": "Slack cannot be reached."}
    assert "alert.notice_failed" in caplog.messages
    assert [(told.sink, told.problem) for told in second.told] == [("broken", "")]
    assert inboxes["WORKS"].told == inboxes["BROKEN"].told == [[("raised", "main")]]
    assert ledger.alerts.list()[0].problems == {}


@pytest.mark.parametrize("problem", [ConfigurationError("X is not set."), RuntimeError("canary at https://secret")])
def test_no_problem_of_a_sink_leaves_the_look(
    seen: Callable[..., Look], inboxes: Inboxes, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    inboxes[VARIABLE].problem = problem

    with caplog.at_level(logging.DEBUG):
        [told] = seen(NOW).told

    assert told.problem
    assert "canary" not in f"{told} {caplog.text} {[record.__dict__ for record in caplog.records]}"


def test_a_sink_that_asks_to_wait_is_left_alone_until_then_whatever_else_is_raised(
    seen: Callable[..., Look], inboxes: Inboxes
) -> None:
    inboxes[VARIABLE].problem = NotTaken("Slack asks to wait (HTTP 429).", 600)
    seen(NOW)
    inboxes[VARIABLE].problem = None

    early = seen(NOW + 5 * MINUTE, a_run(), a_run("other"))
    late = seen(NOW + 10 * MINUTE, a_run(), a_run("other"))

    assert (early.told, [told.alerts for told in late.told]) == ([], [2])


def test_what_was_over_before_a_sink_could_be_told_is_told_once_as_over(
    seen: Callable[..., Look], inboxes: Inboxes
) -> None:
    inboxes[VARIABLE].problem = NotTaken("away")
    seen(NOW)
    seen(NOW + MINUTE, GOOD)
    inboxes[VARIABLE].problem = None
    seen(NOW + 2 * MINUTE, GOOD)
    seen(NOW + 3 * MINUTE, GOOD)

    assert inboxes[VARIABLE].told == [[("recovered", "main")]]


def test_a_recovery_from_days_ago_is_no_news(seen: Callable[..., Look], inboxes: Inboxes) -> None:
    inboxes[VARIABLE].problem = NotTaken("away")
    seen(NOW)
    seen(NOW + MINUTE, GOOD)
    inboxes[VARIABLE].problem = None

    assert seen(NOW + 4 * DAY, GOOD).told == []


def test_a_sink_is_told_of_its_own_rules_alone(seen: Callable[..., Look], inboxes: Inboxes) -> None:
    file = a_file(
        {"failed": a_rule(notify=["mine"])},
        mine={"kind": "slack", "url_from": "MINE"},
        other={"kind": "slack", "url_from": "OTHER"},
    )

    seen(NOW, file=file)

    assert (len(inboxes["MINE"].told), len(inboxes["OTHER"].told)) == (1, 0)


def test_a_sink_that_is_described_later_is_told_of_what_is_on(seen: Callable[..., Look], inboxes: Inboxes) -> None:
    assert seen(NOW, file=a_file()).told == []

    seen(NOW + MINUTE)

    assert inboxes[VARIABLE].told == [[("raised", "main")]]


def test_without_a_sink_alerts_are_only_listed(seen: Callable[..., Look], ledger: Ledger) -> None:
    found = seen(NOW, file=a_file())

    assert found.in_words == "1 raised; 0 still on; 0 over"
    [listed] = ledger.alerts.list()
    assert (listed.key, listed.since, listed.last_noticed_at) == ("failed main", NOW, None)


def test_runs_that_could_not_be_read_change_nothing(
    seen: Callable[..., Look], inboxes: Inboxes, ledger: Ledger
) -> None:
    seen(NOW)

    found = seen(NOW + MINUTE, unknown=True)

    assert found.nothing_known == ["failed"]
    assert len(ledger.alerts.list()) == 1
    assert len(inboxes[VARIABLE].told) == 1


def test_a_rule_taken_out_of_the_file_ends_with_one_notice(seen: Callable[..., Look], inboxes: Inboxes) -> None:
    seen(NOW)

    seen(NOW + MINUTE, file=a_file({"other": a_rule("run_missing", longer_than="1d")}, slack=SLACK))

    assert inboxes[VARIABLE].told == [[("raised", "main")], [("recovered", "main")]]


def test_looks_at_the_same_moment_tell_a_thing_once(ledger_url: str, inboxes: Inboxes) -> None:
    together = threading.Barrier(6)
    problems: list[BaseException] = []

    def one() -> None:
        own = Ledger(connect(ledger_url))
        try:
            together.wait(30)
            look(own, a_file(slack=SLACK), [], RunFacts(None, [a_run()]), NOW, opener=inboxes.opened)
        except BaseException as problem:
            problems.append(problem)
        finally:
            own.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert problems == []
    assert inboxes[VARIABLE].told == [[("raised", "main")]]


_PROCESS = """
import sys
from datetime import datetime
from resources.alerting import look
from resources.ledger import Ledger, connect
from tests.alerts.samples import NOW, a_file, a_run
from tieout.alerting.facts import RunFacts
ledger = Ledger(connect(sys.argv[1]))
sys.stdin.readline()
look(ledger, a_file(slack={"kind": "slack"}), [], RunFacts(None, [a_run()]), NOW)
"""


def test_two_processes_post_one_message_to_a_real_server(
    ledger_url: str, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, web.url)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    both = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, ledger_url], stdin=subprocess.PIPE, cwd=PROJECT)
        for _ in range(2)
    ]

    for process in both:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()

    assert [process.wait(60) for process in both] == [0, 0]
    assert len(web.posts) == 1


def test_what_a_dead_process_claimed_is_sent_when_its_claim_is_over(ledger: Ledger, inboxes: Inboxes) -> None:
    file = a_file(slack=SLACK)

    class Killed(BaseException):
        pass

    class Dies(Inbox):
        def send(self, _: Notice) -> None:
            raise Killed

    with pytest.raises(Killed):
        look(ledger, file, [], RunFacts(None, [a_run()]), NOW, opener=lambda _: Dies())

    for at in (NOW + MINUTE, NOW + CLAIM, NOW + CLAIM + MINUTE):
        look(ledger, file, [], RunFacts(None, [a_run()]), at, opener=inboxes.opened)
    assert inboxes[VARIABLE].told == [[("raised", "main")]]


def test_no_sink_is_begun_when_the_time_of_a_look_is_over(ledger: Ledger, inboxes: Inboxes) -> None:
    file = a_file(first={"kind": "slack", "url_from": "FIRST"}, second={"kind": "slack", "url_from": "SECOND"})
    times = iter([0.0, 1.0, TIME_FOR_NOTICES_S + 1])

    look(ledger, file, [], RunFacts(None, [a_run()]), NOW, opener=inboxes.opened, clock=lambda: next(times))
    assert (len(inboxes["FIRST"].told), len(inboxes["SECOND"].told)) == (1, 0)

    look(ledger, file, [], RunFacts(None, [a_run()]), NOW + MINUTE, opener=inboxes.opened)
    assert (len(inboxes["FIRST"].told), len(inboxes["SECOND"].told)) == (1, 1)


def test_mail_and_slack_are_told_of_one_look_by_real_servers(
    ledger: Ledger, web: WebServer, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        VARIABLE: web.url,
        "TIEOUT_SMTP_HOST": mail.host,
        "TIEOUT_SMTP_PORT": str(mail.port),
        "TIEOUT_SMTP_SECURITY": "none",
        "TIEOUT_SMTP_FROM": "tieout@example.com",
        "TIEOUT_ALERTS_NAME": "east",
    }.items():
        monkeypatch.setenv(name, value)
    web.answers = [Answer(500, body=b"")]
    file = a_file(slack=SLACK, mail={"kind": "smtp", "to": ["desk@example.com"]}, teams={"kind": "teams"})

    found = look(ledger, file, [], RunFacts(None, [a_run()]), NOW)

    problems = {told.sink: told.problem for told in found.told}
    assert problems["slack"] == "Slack did not take the notice (HTTP 500)."
    assert problems["mail"] == ""
    assert problems["teams"].startswith("TIEOUT_TEAMS_WEBHOOK_URL is not set.")
    assert mail.mails[0]["Subject"] == "Tieout east: On: failed, main"
    assert describe(file) == {"slack": "", "mail": "", "teams": problems["teams"]}


def test_the_ledger_keeps_no_secret(ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "https://127.0.0.1:1/canary-secret")

    look(ledger, a_file(slack=SLACK), [], RunFacts(None, [a_run()]), NOW)

    with create_engine(ledger_url).connect() as connection:
        rows = [
            str(row)
            for table in ("alert", "alert_notice")
            for row in connection.execute(text(f"select * from tieout.{table}"))
        ]
    assert len(rows) == 2
    assert "canary" not in "".join(rows)
