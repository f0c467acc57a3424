"""Who may see and who may decide, over HTTP: at this machine, behind a proxy, and signed in with Entra."""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from desk.settings import DeskSettings
from resources.ledger import Ledger
from tests.desk.books import Served, a_break, free_port, keep_breaks, served
from tests.matching.test_matches_in_ledger import KINDS, NOW, a_proposal
from tieout.contract import Contracts
from tieout.errors import ConfigurationError
from tieout.secret import Secret

ASSIGN = {"identity": "b1", "action": "assign", "owner": "ann"}


def test_a_form_without_a_token_changes_nothing(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1"))

    for token in ("", "guessed", desk.desk.access.token(desk.desk.access._named("somebody else"))):
        assert desk.post("/breaks/act", ASSIGN | {"csrf": token}).status_code == 403
    assert desk.desk.ledger.breaks.get("b1").owner == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(desk: Served, headers: dict[str, str]) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1"))

    assert desk.post("/breaks/act", ASSIGN, headers=headers).status_code == 403
    assert desk.desk.ledger.breaks.get("b1").owner == ""


def test_only_this_machines_own_names_are_answered(desk: Served) -> None:
    assert desk.get("/", headers={"Host": "rebound.example"}).status_code == 400


def test_every_answer_forbids_foreign_scripts_and_frames(desk: Served) -> None:
    for path in ("/", "/nowhere", "/static/desk.js"):
        policy = desk.get(path).headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
    assert desk.get("/").headers["cache-control"] == "no-store"


def test_nobody_is_sent_to_another_site_after_a_decision(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1"))

    for target in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = desk.post("/breaks/act", ASSIGN | {"return_to": target})
        assert answer.headers["location"].startswith("/?"), target


class TestBehindAProxy:
    @pytest.fixture
    def proxied(self, tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Served]:
        settings = DeskSettings("header", frozenset({"ann@example.com"}))
        keep_breaks(ledger, a_break("b1"))
        with served(tmp_path / "lake", ledger, contracts, settings) as running:
            yield running

    def as_user(self, proxied: Served, name: str) -> requests.Response:
        token = proxied.desk.access.token(proxied.desk.access._named(name))
        return proxied.post("/breaks/act", ASSIGN | {"csrf": token}, headers={"X-Forwarded-User": name})

    def test_an_analyst_decides_under_their_own_name(self, proxied: Served) -> None:
        assert self.as_user(proxied, "Ann@example.com").status_code == 303
        assert [made.who for made in proxied.desk.ledger.decisions.of("break", "b1")] == ["Ann@example.com"]

    def test_everybody_else_reads_only(self, proxied: Served) -> None:
        page = proxied.get("/breaks", headers={"X-Forwarded-User": "bob@example.com"})

        assert page.status_code == 200
        assert "reads only" in page.text
        assert 'value="assign"' not in page.text
        assert self.as_user(proxied, "bob@example.com").status_code == 403
        assert proxied.desk.ledger.breaks.get("b1").owner == ""

    def test_what_somebody_else_decided_meanwhile_is_not_written_over(
        self, tmp_path: Path, ledger: Ledger, contracts: Contracts
    ) -> None:
        keep_breaks(ledger, a_break("b1"), a_break("b2"))
        ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
        pair = "\n".join((a_proposal().kind, a_proposal().left_key, a_proposal().right_key))
        assign = {"action": "assign", "owner": "cy", "identity": ["b1", "b2"]}
        forms = [
            ("/breaks/act", assign),
            ("/breaks/act", {"action": "resend", "identity": ["b1", "b2"]}),
            ("/matches/decide", {"action": "accept", "pair": pair}),
        ]
        with served(tmp_path / "lake", ledger, contracts, DeskSettings("header", frozenset({"ann", "bob"}))) as running:
            as_bob = {"headers": {"X-Forwarded-User": "bob"}}
            page = running.get("/breaks", **as_bob).text
            shown = {"seen": re.search(r'name="seen" value="(\d+)"', page)[1]}
            shown["csrf"] = running.desk.access.token(running.desk.access._named("bob"))
            ledger.breaks.assign("b2", "dan", "ann")
            [match] = ledger.matches.decide([tuple(pair.split("\n"))], "refused", who="ann")

            for path, form in forms:
                answer = running.post(path, form | shown, **as_bob)
                assert answer.status_code == 422
                assert "ann has decided about it meanwhile" in answer.text
            assert [ledger.breaks.get(each).owner for each in ("b1", "b2")] == ["", "dan"]
            assert ledger.matches.get(match.kind, match.left_key, match.right_key).state == "refused"

            assert running.post("/breaks/act", assign | shown | {"seen": "all"}, **as_bob).status_code == 400
            shown["seen"] = re.search(r'name="seen" value="(\d+)"', running.get("/breaks", **as_bob).text)[1]
            assert running.post("/breaks/act", assign | shown, **as_bob).status_code == 303
        assert [ledger.breaks.get(each).owner for each in ("b1", "b2")] == ["cy", "cy"]

    def test_without_a_name_nothing_is_shown(self, proxied: Served) -> None:
        for headers in ({}, {"X-Forwarded-User": ""}):
            answer = proxied.get("/breaks", headers=headers)
            assert answer.status_code == 403
            assert "Contoso" not in answer.text


def test_a_header_of_anybody_but_the_proxy_is_worth_nothing(
    tmp_path: Path, ledger: Ledger, contracts: Contracts
) -> None:
    settings = DeskSettings("header", frozenset({"ann"}), proxies=("10.1.2.3",))
    with served(tmp_path / "lake", ledger, contracts, settings) as running:
        assert running.get("/", headers={"X-Forwarded-User": "ann"}).status_code == 403


class TestEntra:
    """Against an OpenID provider that speaks as Entra's documentation has it: code flow with PKCE, signed id tokens."""

    @pytest.fixture
    def signed_in_as(self, tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            provider = stack.enter_context(an_openid_provider())
            (tmp_path / "secret").write_text("s3cret")

            def start(**claims: Any) -> tuple[Served, requests.Session, requests.Response]:
                provider.secret = claims.pop("_secret", "s3cret")
                provider.claims = claims
                settings = DeskSettings(
                    "entra",
                    frozenset(),
                    address="http://127.0.0.1:0",
                    tenant_id="t",
                    client_id="desk",
                    client_secret=Secret.in_file("TIEOUT_DESK_CLIENT_SECRET_FILE", str(tmp_path / "secret")),
                    authority_url=provider.address,
                )
                desk = stack.enter_context(served_at_its_own_address(tmp_path / "lake", ledger, contracts, settings))
                session = requests.Session()
                return desk, session, session.get(f"{desk.address}/breaks", timeout=30)

            yield start

    def test_people_sign_in_and_decide_by_their_app_role(self, signed_in_as: Any, ledger: Ledger) -> None:
        keep_breaks(ledger, a_break("b1"))
        desk, session, page = signed_in_as(preferred_username="ann@example.com", roles=["Tieout.Analyst"])

        assert page.status_code == 200
        assert page.url == f"{desk.address}/breaks"
        assert "ann@example.com" in page.text
        token = page.text.split('name="csrf" value="')[1].split('"')[0]
        answer = session.post(f"{desk.address}/breaks/act", data=ASSIGN | {"csrf": token}, timeout=30)
        assert answer.status_code == 200
        assert [made.who for made in ledger.decisions.of("break", "b1")] == ["ann@example.com"]

    def test_without_the_role_they_read_only(self, signed_in_as: Any) -> None:
        _, _, page = signed_in_as(preferred_username="bob@example.com")

        assert "reads only" in page.text

    def test_a_secret_that_was_rotated_in_its_file_signs_in_without_a_restart(
        self, signed_in_as: Any, tmp_path: Path
    ) -> None:
        desk, session, page = signed_in_as(preferred_username="ann@example.com", _secret="rotated")
        assert page.status_code == 403, "the desk was started with the secret that is still in its file"

        (tmp_path / "secret").write_text("rotated")
        page = session.get(f"{desk.address}/breaks", timeout=30)

        assert page.url == f"{desk.address}/breaks"
        assert "ann@example.com" in page.text

    def test_a_forged_id_token_signs_nobody_in(self, signed_in_as: Any) -> None:
        _, _, page = signed_in_as(preferred_username="eve@example.com", _forged=True)

        assert page.status_code >= 400
        assert "eve@example.com" not in page.text

    def test_a_sign_in_that_somebody_else_began_is_refused(self, signed_in_as: Any) -> None:
        desk, _, _ = signed_in_as(preferred_username="ann@example.com")

        answer = requests.get(f"{desk.address}/signed-in?code=stolen&state=guessed", timeout=30)

        assert answer.status_code == 403


class TestSettings:
    def test_entra_names_everything_that_is_missing(self) -> None:
        with pytest.raises(ConfigurationError, match=r"TENANT_ID.*CLIENT_ID.*TIEOUT_DESK_URL.*CLIENT_SECRET"):
            DeskSettings.from_environment({"TIEOUT_DESK_SIGN_IN": "entra"})

    def test_behind_a_proxy_nobody_decides_until_somebody_is_named(self) -> None:
        assert DeskSettings.from_environment({"TIEOUT_DESK_SIGN_IN": "header"}).analysts == frozenset()
        named = DeskSettings.from_environment({"TIEOUT_DESK_SIGN_IN": "header", "TIEOUT_DESK_ANALYSTS": "Ann, bob"})
        assert named.analysts == {"ann", "bob"}

    @pytest.mark.parametrize(
        ("name", "value"), [("SIGN_IN", "password"), ("PROXIES", "proxy.local"), ("URL", "desk.example.com")]
    )
    def test_a_wrong_value_is_named(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match=f"TIEOUT_DESK_{name}"):
            DeskSettings.from_environment({f"TIEOUT_DESK_{name}": value})

    def test_the_secret_is_in_no_representation(self) -> None:
        assert "s3cret" not in repr(DeskSettings(client_secret=Secret.given("TIEOUT_DESK_CLIENT_SECRET", "s3cret")))


@contextlib.contextmanager
def served_at_its_own_address(
    folder: Path, ledger: Ledger, contracts: Contracts, settings: DeskSettings
) -> Iterator[Served]:
    """The redirect URI holds the port, which is known only once it is chosen."""
    port = free_port()
    with served(folder, ledger, contracts, replace(settings, address=f"http://127.0.0.1:{port}"), port=port) as running:
        yield running


class Provider(ThreadingHTTPServer):
    """Signs in whoever comes, as `claims` says; checks the client, the redirect and the PKCE verifier as Entra does."""

    claims: dict[str, Any]
    address: str
    secret: str


@contextlib.contextmanager
def an_openid_provider() -> Iterator[Provider]:
    key, stranger = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    codes: dict[str, dict[str, str]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            if path == "/.well-known/openid-configuration":
                at = server.address
                self.answer(
                    {
                        "issuer": at,
                        "authorization_endpoint": f"{at}/authorize",
                        "token_endpoint": f"{at}/token",
                        "jwks_uri": f"{at}/keys",
                        "id_token_signing_alg_values_supported": ["RS256"],
                    }
                )
            elif path == "/keys":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
                self.answer({"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]})
            else:
                code = f"code{len(codes)}"
                codes[code] = query
                self.send_response(302)
                self.send_header(
                    "location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
                )
                self.end_headers()

        def do_POST(self) -> None:
            form = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()).items()}
            asked = codes.pop(form["code"], {})
            challenge = (
                base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            )
            if challenge != asked.get("code_challenge") or form["redirect_uri"] != asked["redirect_uri"]:
                self.answer({"error": "invalid_grant"}, 400)
                return
            basic = base64.b64encode(f"desk:{server.secret}".encode()).decode()
            if self.headers["authorization"] != f"Basic {basic}":
                self.answer(
                    {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}, 401
                )
                return
            now = int(time.time())
            claims = {
                "iss": server.address,
                "aud": "desk",
                "sub": "1",
                "iat": now,
                "exp": now + 600,
                "nonce": asked["nonce"],
            }
            forged = server.claims.pop("_forged", False)
            token = jwt.encode(claims | server.claims, stranger if forged else key, "RS256", headers={"kid": "k1"})
            self.answer({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

        def answer(self, body: dict[str, Any], status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = Provider(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.claims = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
