"""One application on plain http and on TLS, in one process and one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from sandbox.common.tls import certificates

GRACE_S = 1
"""Time for open requests at the end. An idle TLS connection whose caller says nothing would use up any time given."""
KEEP_ALIVE_S = 75
"""How long an idle connection stays open. uvicorn's own 5 seconds meet clients that poll every 5 seconds right in the middle of a request."""
BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a sandbox can be reached: both base addresses without trailing slash, and the authority's certificate."""

    url: str
    tls_url: str
    ca: Path


class Beside(Protocol):
    """Something else that is served in the same event loop."""

    async def start(self) -> Mapping[str, str]:
        """Serve; returns what is added to the line that says that the sandbox is ready."""

    async def stop(self) -> None:
        """Stop serving."""


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    tls_port: int,
    state_dir: Path,
    system: str,
    *,
    spoken_by: str = "auto",
    beside: Beside | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; prints one JSON line on standard output when both ports accept connections.

    Port 0 takes a free port. An address that cannot be bound ends the process with one sentence. The application
    dates its answers itself, by its own clock (`DatedLayer`). `spoken_by`: uvicorn's name for how HTTP is spoken.
    """
    serve_made(lambda _listening: app, host, port, tls_port, state_dir, system, spoken_by=spoken_by, beside=beside)


def serve_made(
    make_app: Callable[[Listening], ASGIApp],
    host: str,
    port: int,
    tls_port: int,
    state_dir: Path,
    system: str,
    *,
    spoken_by: str = "auto",
    beside: Beside | None = None,
) -> None:
    """As `serve`, for an application that has to know its own addresses."""
    files = certificates(state_dir)
    sockets = _bound(host, port), _bound(host, tls_port)
    shown = f"[{host}]" if ":" in host else host
    listening = Listening(
        f"http://{shown}:{sockets[0].getsockname()[1]}", f"https://{shown}:{sockets[1].getsockname()[1]}", files.ca
    )
    app = make_app(listening)
    plain = _Server(_config(app, spoken_by))
    tls = _Server(_config(app, spoken_by, str(files.certificate), str(files.key)))
    asyncio.run(_run(plain, tls, sockets, listening, system, beside))


def _config(app: ASGIApp, spoken_by: str, certificate: str | None = None, key: str | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=spoken_by,
        log_level="warning",
        access_log=False,
        lifespan="off",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to `_run`, which stops both servers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    plain: _Server,
    tls: _Server,
    sockets: tuple[socket.socket, socket.socket],
    listening: Listening,
    system: str,
    beside: Beside | None,
) -> None:
    def stop() -> None:
        plain.should_exit = tls.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    more = {} if beside is None else await beside.start()
    serving = [
        asyncio.create_task(server.serve(sockets=[bound])) for server, bound in zip((plain, tls), sockets, strict=True)
    ]
    while not (plain.started and tls.started) and not any(task.done() for task in serving):
        await asyncio.sleep(0.01)
    if plain.started and tls.started:
        ready = {
            "ready": True, "system": system, "url": listening.url, "tls_url": listening.tls_url,
            "ca": str(listening.ca.resolve()), **more,
        }  # fmt: skip
        print(json.dumps(ready), flush=True)
    await asyncio.gather(*serving)
    if beside is not None:
        await beside.stop()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches the 40 ms of Nagle's algorithm off only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as problem:
        bound.close()
        raise SystemExit(
            f"Cannot listen on {host}:{port}: {problem.strerror}. Choose another port, or 0 for a free one."
        ) from problem
    bound.listen(BACKLOG)
    return bound
