"""Child processes that other processes find again: each has a log file and a record with its id and its address."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from pipelines.services.home import Home
from tieout.errors import ConfigurationError, SourceUnavailable

STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Service:
    """A process of ours. `created` (seconds since 1970) tells it from a later process with the same id."""

    name: str
    pid: int
    created: float
    address: str
    details: Mapping[str, str]


def running(home: Home, name: str) -> Service | None:
    """The service `name` if its process is alive; a record of a dead process is removed."""
    path = home.record(name)
    try:
        service = Service(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if _process(service) is None:
        path.unlink(missing_ok=True)
        return None
    return service


def start(
    home: Home,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    ready: Callable[[str], tuple[str, Mapping[str, str]] | None],
    timeout_s: float,
) -> Service:
    """Start `command` in its own session, so that Ctrl-C reaches the supervisor alone, and wait until it is ready.

    `ready` is given what the process has printed so far and returns its address and details once it can be used. Raises
    SourceUnavailable with the end of the log when the process dies or does not get ready within `timeout_s`.
    """
    log_path = home.logs / f"{name}.log"
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + timeout_s
    is_ready = False
    try:
        with log_path.open("wb") as log, _signals_held_back():
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        while time.monotonic() < deadline:
            printed = log_path.read_text(errors="replace")
            found = ready(printed)
            if found is not None:
                address, details = found
                created = psutil.Process(process.pid).create_time()
                service = Service(name, process.pid, created, address, dict(details))
                home.record(name).write_text(json.dumps(asdict(service)))
                is_ready = True
                return service
            if process.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        # Also where a signal ends the waiting: without its record nobody would find the process again.
        if process is not None and not is_ready:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
    reason = "ended" if process.poll() is not None else f"was not ready within {timeout_s:.0f} s"
    raise SourceUnavailable(f"{name} {reason}. The end of {log_path}: {_tail(log_path)}")


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """No signal ends the block half way: one that comes meanwhile is raised behind it. Only the main thread is ever interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def stop(home: Home, *services: Service) -> None:
    """End the processes together, their children included, and wait for them; harmless where one has ended by itself."""
    families: list[psutil.Process] = []
    for service in services:
        process = _process(service)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                families += [process, *process.children(recursive=True)]
                process.terminate()
    _, alive = psutil.wait_procs(families, timeout=STOP_TIMEOUT_S)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    for service in services:
        home.record(service.name).unlink(missing_ok=True)


def answers(url: str) -> bool:
    """Whether `url` answers a GET with a status below 500."""
    try:
        with urlopen(url, timeout=2):
            return True
    except (URLError, OSError):
        return False


def python(*arguments: str) -> list[str]:
    """The command that runs a module with this very interpreter."""
    return [sys.executable, "-m", *arguments]


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else any free port of 127.0.0.1."""
    import socket

    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError("No free port on 127.0.0.1.")


def _process(service: Service) -> psutil.Process | None:
    try:
        process = psutil.Process(service.pid)
        same = abs(process.create_time() - service.created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _tail(path: Path, lines: int = 5) -> str:
    return " | ".join(path.read_text(errors="replace").strip().splitlines()[-lines:]) or "(empty)"
