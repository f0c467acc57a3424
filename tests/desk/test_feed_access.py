"""Who may read the feed, over HTTP: whoever sees the desk, and programs with the token."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from desk.settings import SHORTEST_FEED_TOKEN, DeskSettings
from resources.ledger import Ledger
from tests.desk.books import Served, a_break, keep_breaks, served
from tieout.contract import Contracts
from tieout.errors import ConfigurationError

TOKEN = "a token of the tests, long enough for the feed"
Start = Callable[[DeskSettings], Served]


@pytest.fixture
def start(tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Start]:
    """Starts a desk with one break."""
    keep_breaks(ledger, a_break("b1"))
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(served(tmp_path / "lake", ledger, contracts, settings))


def status(desk: Served, path: str = "/odata/Breaks", **options: object) -> int:
    answer = desk.get(path, **options)
    assert answer.status_code == 200 or "Contoso" not in answer.text
    return answer.status_code


ENTRA = DeskSettings(
    "entra", address="https://desk.example.com", tenant_id="t", client_id="c", client_secret="s", feed_token=TOKEN
)


def test_at_this_machine_the_feed_is_open_as_the_desk_is(start: Start) -> None:
    desk = start(DeskSettings())

    assert status(desk) == 200
    assert status(desk, headers={"Host": "rebound.example"}) == 400


def test_the_token_is_the_password_whatever_the_user_name_is(start: Start) -> None:
    desk = start(ENTRA)

    for name in ("tieout", "", "ann@example.com"):
        for path in ("/odata", "/odata/", "/odata/$metadata", "/odata/Breaks", "/odata/Breaks('b1')", "/odata/TieOut"):
            assert status(desk, path, auth=(name, TOKEN)) == 200, path


@pytest.mark.parametrize("settings", [ENTRA, DeskSettings(feed_token=TOKEN)], ids=["entra", "local"])
def test_a_wrong_token_is_refused(start: Start, settings: DeskSettings) -> None:
    desk = start(settings)

    for password in ("", "guessed", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "ü"):
        answer = desk.get("/odata/Breaks", auth=("tieout", password.encode()))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.json()["error"]["code"] == "Unauthorized"
        assert TOKEN not in answer.text
    for header in ("Basic", "Basic !", "Basic " + "a" * 4001, f"Basic {TOKEN}"):
        assert status(desk, headers={"Authorization": header}) in (401, 200 if settings.sign_in == "local" else 401)


def test_without_a_token_a_program_is_asked_for_it_and_never_sent_to_a_page(start: Start) -> None:
    desk = start(ENTRA)

    for path in ("/odata", "/odata/", "/odata/$metadata", "/odata/Breaks", "/odata/nowhere"):
        answer = desk.get(path)
        assert (answer.status_code, "location" in answer.headers) == (401, False)
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_the_token_opens_nothing_but_the_feed(start: Start) -> None:
    desk = start(ENTRA)

    for path in ("/", "/breaks", "/breaks/b1", "/breaks.csv", "/odataX", "/tieout.pbids"):
        assert status(desk, path, auth=("tieout", TOKEN)) in (303, 401), path
    assert desk.post("/breaks/act", {"identity": "b1"}, auth=("tieout", TOKEN)).status_code in (401, 403)


def test_no_token_is_set_and_none_is_taken(start: Start) -> None:
    desk = start(DeskSettings("header"))

    answer = desk.get("/odata/Breaks", auth=("tieout", ""))
    assert (answer.status_code, "www-authenticate" in answer.headers) == (403, False)
    assert status(desk, headers={"X-Forwarded-User": "bob"}) == 200


def test_behind_a_proxy_its_word_and_the_token_are_both_taken(start: Start) -> None:
    desk = start(DeskSettings("header", feed_token=TOKEN))

    assert status(desk, auth=("tieout", TOKEN)) == 200
    assert status(desk, headers={"X-Forwarded-User": "bob"}) == 200
    assert status(desk, headers={"X-Forwarded-User": "bob"}, auth=("bob", "the password of the proxy")) == 200
    assert status(desk, auth=("bob", "the password of the proxy")) == 401
    assert status(desk) == 401


def test_links_are_those_that_clients_can_follow(start: Start) -> None:
    found = start(ENTRA).get("/odata/Breaks", auth=("", TOKEN)).json()

    assert found["@odata.context"] == "https://desk.example.com/odata/$metadata#Breaks"


def test_a_token_that_can_be_guessed_is_no_token() -> None:
    for token in ("s3cr3t", "x" * (SHORTEST_FEED_TOKEN - 1), "ü" * SHORTEST_FEED_TOKEN):
        with pytest.raises(ConfigurationError, match="TIEOUT_FEED_TOKEN") as refused:
            DeskSettings.from_environment({"TIEOUT_FEED_TOKEN": token})
        assert token not in str(refused.value)
    settings = DeskSettings.from_environment({"TIEOUT_FEED_TOKEN": TOKEN})
    assert settings.feed_token == TOKEN
    assert TOKEN not in repr(settings)
