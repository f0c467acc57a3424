"""Small real servers in the place of Slack, Teams, Graph, Entra and a mail server: they keep what they were given and answer as told."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Request:
    """One post that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What the next post is answered with."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"


class WebServer:
    """Answers posts: with what was put into `answers`, in that order, else with 200. `Entra` paths give tokens."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.posts: list[Request] = []
        self.tokens: list[Request] = []
        self.answers: list[Answer] = []
        self.refuses_sign_in = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                base = server.url + self.path.partition("/v2.0/")[0]
                found = {
                    "issuer": f"{base}/v2.0",
                    "token_endpoint": f"{base}/token",
                    "authorization_endpoint": f"{base}/authorize",
                }
                self._say(Answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode()))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.path, dict(self.headers), body)
                if self.path.endswith("/token"):
                    server.tokens.append(request)
                    self._say(server._token())
                else:
                    server.posts.append(request)
                    self._say(server.answers.pop(0) if server.answers else Answer())

            def _say(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._http.server_port}"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _token(self) -> Answer:
        told: dict[str, object] = {"access_token": "canary-token", "token_type": "Bearer", "expires_in": 3600}
        if self.refuses_sign_in:
            told = {"error": "invalid_client", "error_description": "AADSTS7000215: canary-description"}
        status = 401 if self.refuses_sign_in else 200
        return Answer(status, {"Content-Type": "application/json"}, json.dumps(told).encode())


@dataclass
class MailServer:
    """A mail server that keeps what it is given. `refuse`: the SMTP line that answers a mail, or a recipient's address."""

    host: str = ""
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    refuse: str = ""
    refuse_recipients: bool = False

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802 aiosmtpd's name
        if self.refuse_recipients:
            return f"550 no such mailbox {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        if self.refuse:
            return self.refuse
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.envelopes.append(envelope)
        self.over_tls.append(server._tls_protocol is not None)
        return "250 kept"


USER, PASSWORD = "tieout", "canary-password"


class _AnyPort(Controller):
    """A controller on a port that the machine chose."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, *, sign_in: bool = False, from_first_byte: bool = False
) -> Iterator[MailServer]:
    """A running mail server. With `tls` it offers STARTTLS and takes no mail without, or speaks TLS `from_first_byte`.

    With `sign_in` it wants USER and PASSWORD.
    """

    def authenticated(_: SMTP, __: Session, ___: Envelope, ____: str, given: object) -> AuthResult:
        right = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=given == right, handled=False)

    kept = MailServer()
    controller = _AnyPort(
        kept,
        hostname="127.0.0.1",
        port=0,
        ssl_context=tls if from_first_byte else None,
        tls_context=None if from_first_byte else tls,
        require_starttls=tls is not None and not from_first_byte,
        auth_required=sign_in,
        authenticator=authenticated if sign_in else None,
    )
    controller.start()
    try:
        kept.host, kept.port = "127.0.0.1", controller.port
        yield kept
    finally:
        controller.stop()
