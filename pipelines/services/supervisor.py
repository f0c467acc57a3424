"""Starts what is embedded and not running, says where it is, and stops what it started."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.services import dagster_instance, postgres, processes, sandboxes
from pipelines.services.home import Home
from pipelines.services.processes import Service
from resources.log_file import keep_log
from tieout.errors import ConfigurationError
from tieout.settings import PROJECT_ROOT, Settings

WEB_PORT = 3000
DESK_PORT = 3001
_WEB_READY_S = 180.0
# The order in which services are stopped, those of a wave together: nothing loses what it stands on.
_WAVES = (("dagster-daemon", "dagster-webserver", "desk"), ("sandbox-salesforce", "sandbox-d365"))


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs now: the settings that reach it, and what this process started."""

    settings: Settings
    environment: Mapping[str, str]
    services: tuple[Service, ...]
    started: tuple[Service, ...]
    started_postgres: bool


def start_embedded(settings: Settings, *, seed: str | None, say: Callable[[str], None]) -> Embedded:
    """Start Postgres and the sandboxes where neither a database nor a tenant is set, and export the way to them.

    `seed` fills sandboxes that are empty. Raises ConfigurationError when a seed is asked for although tenants are set.
    """
    home = Home(settings.home)
    keep_log(home.logs)
    systems = [name for name in sandboxes.PORTS if getattr(settings, name) is None]
    if seed and not systems:
        raise ConfigurationError(
            "--seed fills the sandboxes, and both tenants are set. Unset SALESFORCE_INSTANCE_URL and D365_URL."
        )
    database_url, started_postgres = settings.database_url, False
    if database_url is None:
        if not postgres.is_running(home):
            say("Starting Postgres …")
        database_url, started_postgres = postgres.start(home)
    services: dict[str, Service] = {}
    started: list[Service] = []
    try:
        if systems:
            _seed(home, seed, say)
        for system in systems:
            service = processes.running(home, f"sandbox-{system}")
            if service is None:
                say(f"Starting the {sandboxes.TITLES[system]} sandbox …")
                service = sandboxes.start(home, system)
                started.append(service)
            services[system] = service
    except BaseException:
        _stop(home, started, started_postgres)
        raise
    environment = {
        "TIEOUT_HOME": str(settings.home),
        "TIEOUT_DATABASE_URL": database_url,
        **sandboxes.client_environment(services),
        **dagster_instance.environment(home, database_url),
    }
    os.environ.update(environment)
    # The address that it holds is now in TIEOUT_DATABASE_URL, for every process that is started from here.
    os.environ.pop("TIEOUT_DATABASE_URL_FILE", None)
    return Embedded(
        Settings.from_environment(), environment, tuple(services.values()), tuple(started), started_postgres
    )


@contextmanager
def embedded(settings: Settings, *, seed: str | None = None, say: Callable[[str], None]) -> Iterator[Embedded]:
    """`start_embedded` for the length of a block; afterwards everything that it started is stopped again."""
    running = start_embedded(settings, seed=seed, say=say)
    try:
        yield running
    finally:
        _stop(Home(settings.home), list(running.started), running.started_postgres)


def start_web(settings: Settings, *, port: int, say: Callable[[str], None]) -> list[Service]:
    """Start the Dagster web UI, its daemon and the desk unless they run. Needs the environment of `start_embedded`."""
    home = Home(settings.home)
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    starts: list[Callable[[], Service]] = []
    if processes.running(home, "desk") is None:
        starts.append(lambda: start_desk(settings, port=DESK_PORT))
    if processes.running(home, "dagster-webserver") is None:
        starts.append(lambda: _start_webserver(home, workspace, processes.free_port(port)))
    if processes.running(home, "dagster-daemon") is None:
        starts.append(lambda: _start_daemon(home, workspace))
    if not starts:
        return []
    say("Starting the Dagster UI and the desk …")
    # Each spends its first seconds importing Dagster; together they take little longer than one.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda start: start(), starts))


def start_desk(settings: Settings, *, port: int) -> Service:
    """Start the desk unless it runs. Needs the environment of `start_embedded`."""
    home = Home(settings.home)
    there = processes.running(home, "desk")
    if there is not None:
        return there
    free = processes.free_port(port)
    url = f"http://127.0.0.1:{free}"
    return processes.start(
        home,
        "desk",
        processes.python("desk", "--port", str(free)),
        environment={},
        ready=lambda _: (url, {}) if processes.answers(f"{url}/healthz") else None,
        timeout_s=_WEB_READY_S,
    )


def _start_webserver(home: Home, workspace: str, port: int) -> Service:
    url = f"http://127.0.0.1:{port}"
    return processes.start(
        home,
        "dagster-webserver",
        processes.python("dagster_webserver", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)),
        environment={},
        ready=lambda _: (url, {}) if processes.answers(f"{url}/server_info") else None,
        timeout_s=_WEB_READY_S,
    )


def _start_daemon(home: Home, workspace: str) -> Service:
    return processes.start(
        home,
        "dagster-daemon",
        processes.python("dagster._daemon", "run", "-w", workspace),
        environment={},
        # The daemon has no page of its own; this is what it says once it has loaded its instance.
        ready=lambda printed: ("", {}) if "configured with the following daemons" in printed else None,
        timeout_s=_WEB_READY_S,
    )


def web_address(settings: Settings) -> str | None:
    """Where the Dagster UI is, if it runs."""
    return _address(settings, "dagster-webserver")


def desk_address(settings: Settings) -> str | None:
    """Where the desk is, if it runs."""
    return _address(settings, "desk")


def _address(settings: Settings, name: str) -> str | None:
    service = processes.running(Home(settings.home), name)
    return service.address if service else None


def stop_all(settings: Settings) -> list[str]:
    """Stop every service of this home. Returns the names of those that ran."""
    home = Home(settings.home)
    stopped = []
    for wave in _WAVES:
        services = [service for name in wave if (service := processes.running(home, name)) is not None]
        processes.stop(home, *services)
        stopped += [service.name for service in services]
    if postgres.is_running(home):
        postgres.stop(home)
        stopped.append("postgres")
    return stopped


def _seed(home: Home, seed: str | None, say: Callable[[str], None]) -> None:
    if seed is None:
        return
    if sandboxes.is_filled(home):
        say("The sandboxes were filled before; --seed has no effect.")
        return
    say(f"Filling the sandboxes ({seed}) …")
    sandboxes.seed(home, seed)


def _stop(home: Home, started: list[Service], started_postgres: bool) -> None:
    processes.stop(home, *started)
    if started_postgres:
        postgres.stop(home)
