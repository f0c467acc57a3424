"""A gateway between client and sandbox that loses answers, drops requests, or answers in the sandbox's place, as gateways do.

Everything that it lets through is the real sandbox's over real HTTP.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "host",
    "accept-encoding",
}


@dataclass
class Fault:
    """What happens to the next call whose method and path fit. `forward`: whether the sandbox gets it at all."""

    method: str
    path_holds: str
    forward: bool = True
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_body: bool = False
    before: Callable[[], object] | None = None


class Gateway:
    """Listens on a port of its own; faults are used up in the order in which they were given."""

    def __init__(self, upstream: str) -> None:
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self._upstream = upstream
        self._http = requests.Session()
        self._http.trust_env = False
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway._handle(self)

            def do_POST(self) -> None:
                gateway._handle(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def lose_the_answer(self, path_holds: str = "$batch") -> None:
        """The next request takes effect, and nobody hears of it."""
        self.faults.append(Fault("POST", path_holds))

    def drop_the_request(self, path_holds: str = "$batch") -> None:
        """The next request never reaches D365, and its sender cannot know."""
        self.faults.append(Fault("POST", path_holds, forward=False))

    def answer(
        self, method: str, path_holds: str, status: int, body: bytes = b"", times: int = 1, **headers: str
    ) -> None:
        """The next requests are answered by the gateway itself."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults += [Fault(method, path_holds, False, status, named, body) for _ in range(times)]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.command, handler.path))
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        fault = next(
            (each for each in self.faults if each.method == handler.command and each.path_holds in handler.path), None
        )
        if fault is not None:
            self.faults.remove(fault)
            if fault.before is not None:
                fault.before()
            if fault.status is not None:
                return self._answer(handler, fault.status, fault.headers, fault.body)
            if not fault.forward:
                return self._hang_up(handler)
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP}
        answer = self._http.request(
            handler.command, self._upstream + handler.path, headers=headers, data=body, timeout=60
        )
        if fault is not None and not fault.cut_body:
            return self._hang_up(handler)
        given = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP | {"date", "server"}}
        return self._answer(handler, answer.status_code, given, answer.content, cut=fault is not None)

    def _answer(
        self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._hang_up(handler)

    def _hang_up(self, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
