"""`tieout up`, `down` and `sandbox`: what keeps running."""

import signal
import time
from pathlib import Path
from types import FrameType

from pipelines.cli import output
from pipelines.cli.configuration import check_configuration
from pipelines.services import processes, sandboxes, supervisor
from pipelines.services.home import Home
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def bring_up(*, seed: str | None, port: int, detach: bool, run_first: bool) -> None:
    """Start everything, run the main job first if asked to, and stay until Ctrl-C unless detached."""
    settings = Settings.from_environment()
    check_configuration(settings)
    running = supervisor.start_embedded(settings, seed=seed, say=output.say)
    try:
        _prepare_database(running.settings)
        web = supervisor.start_web(running.settings, port=port, say=output.say)
        if run_first:
            from pipelines.cli.run import print_summary, summary_of_run

            # Open breaks are news, not a failure of starting up: the exit code stays 0.
            print_summary(summary_of_run(running.settings), supervisor.web_address(settings))
        else:
            output.print_places([("Dagster UI", str(supervisor.web_address(settings)))])
        output.print_places([("Desk", str(supervisor.desk_address(settings))), *_sandbox_places(running)])
    except BaseException:
        supervisor.stop_all(settings)
        raise
    output.console.print()
    if detach:
        output.console.print("All of it runs on in the background. Stop it with: make down", highlight=False)
        return
    output.console.print("Ctrl-C stops all of it.", highlight=False)
    wait_for_a_signal([service.name for service in (*running.services, *web)], Home(settings.home))
    supervisor.stop_all(settings)


def take_down() -> None:
    """Stop every service of this home."""
    stopped = supervisor.stop_all(Settings.from_environment())
    output.console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.", highlight=False)


def serve_sandboxes(*, seed: str | None, faults: Path | None = None) -> None:
    """Both sandboxes, whatever tenants are set, until Ctrl-C; `faults` goes wrong in those that are started here."""
    home = Home(Settings.from_environment().home)
    if faults is not None and any(processes.running(home, f"sandbox-{system}") for system in sandboxes.PORTS):
        raise ConfigurationError("The sandboxes run already. Stop them with `tieout down`, then give --faults again.")
    started = []
    try:
        if seed is not None and not sandboxes.seed(home, seed):
            output.say("The sandboxes were filled before; --seed has no effect.")
        services = {}
        for system in sandboxes.PORTS:
            service = processes.running(home, f"sandbox-{system}")
            if service is None:
                service = sandboxes.start(home, system, faults)
                started.append(service)
            services[system] = service
        for name, value in sandboxes.client_environment(services).items():
            output.console.print(f"export {name}={value}", soft_wrap=True, highlight=False)
        wait_for_a_signal([service.name for service in services.values()], home)
    finally:
        processes.stop(home, *started)


def _sandbox_places(running: supervisor.Embedded) -> list[tuple[str, str]]:
    places = [
        (f"{sandboxes.title_of(service)} sandbox", f"{service.address}  (TLS {service.details['tls_url']})")
        for service in running.services
    ]
    # One authority signed the certificates of both.
    return places + [("Their certificates", service.details["ca"]) for service in running.services[:1]]


def _prepare_database(settings: Settings) -> None:
    import dagster as dg

    from pipelines.services import dagster_instance
    from resources.ledger import upgrade

    assert settings.database_url is not None
    output.say("Preparing the database …")
    upgrade(settings.database_url)
    # Dagster's tables are made here, once, instead of by the web server and the daemon at the same moment.
    with dg.DagsterInstance.get() as instance:
        daemon_is_down = processes.running(Home(settings.home), "dagster-daemon") is None
        dagster_instance.prepare(instance, daemon_is_down=daemon_is_down)


def wait_for_a_signal(names: list[str], home: Home) -> None:
    """Until Ctrl-C, or until one of the services has ended by itself."""
    asked_to_stop = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    while not asked_to_stop:
        time.sleep(0.5)
        for name in names:
            if processes.running(home, name) is None:
                output.say(
                    f"{name} has ended; its log is {home.logs / f'{name}.log'}. What was started with it is stopped now."
                )
                return
