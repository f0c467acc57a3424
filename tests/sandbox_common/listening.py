"""An address that is told of events: it remembers what it was sent and answers what a test wants."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WITHIN_S = 15.0


@dataclass
class Listener:
    """`answer` makes status and body of each request from its path and body; all requests are kept in `heard`."""

    address: str = ""
    answer: Callable[[bytes], tuple[int, bytes]] = lambda _: (200, b"")
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def wait_for(self, messages: int) -> list[bytes]:
        """The bodies, once so many have come."""
        until = time.monotonic() + WITHIN_S
        while len(self.heard) < messages:
            assert time.monotonic() < until, f"{len(self.heard)} of {messages} messages came"
            time.sleep(0.02)
        return [body for _, body in self.heard]


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, said = listener.answer(body)
            listener.heard.append((self.path, body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.address = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
