"""`tieout up`, `down` and `sandbox`: what keeps running."""

import signal
import time
from types import FrameType

from pipelines.cli import output
from pipelines.services import processes, sandboxes, supervisor
from pipelines.services.home import Home
from tieout.settings import Settings


def bring_up(*, seed: str | None, port: int, detach: bool, run_first: bool) -> int:
    """Start everything, run the main job first if asked to, and stay until Ctrl-C unless detached."""
    settings = Settings.from_environment()
    running = supervisor.start_embedded(settings, seed=seed, say=output.say)
    try:
        _prepare_database(running.settings)
        web = supervisor.start_web(running.settings, port=port, say=output.say)
        code = 0
        if run_first:
            from pipelines.cli.run import print_summary, summary_of_run

            summary = summary_of_run(running.settings)
            print_summary(summary, supervisor.web_address(settings))
            # Open breaks are news, not a failure of starting up.
            code = 0
        else:
            output.console.print(f"Dagster UI  {supervisor.web_address(settings)}", highlight=False)
        for service in running.services:
            output.console.print(
                f"{service.name}  {service.address}  (TLS {service.details['tls_url']})",
                soft_wrap=True,
                highlight=False,
            )
        if running.services:
            output.console.print(
                f"Certificate authority of the sandboxes  {running.services[0].details['ca']}",
                soft_wrap=True,
                highlight=False,
            )
    except BaseException:
        supervisor.stop_all(settings)
        raise
    if detach:
        output.console.print("All of it runs on in the background. Stop it with: make down", highlight=False)
        return code
    output.console.print("Ctrl-C stops all of it.", highlight=False)
    _wait_for_a_signal([service.name for service in (*running.services, *web)], Home(settings.home))
    supervisor.stop_all(settings)
    return code


def take_down() -> None:
    """Stop every service of this home."""
    stopped = supervisor.stop_all(Settings.from_environment())
    output.console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.", highlight=False)


def serve_sandboxes(*, seed: str | None) -> None:
    """Both sandboxes, whatever tenants are set, until Ctrl-C."""
    home = Home(Settings.from_environment().home)
    started = []
    try:
        if seed is not None and not sandboxes.seed(home, seed):
            output.say("The sandboxes were filled before; --seed has no effect.")
        services = {}
        for system in sandboxes.PORTS:
            service = processes.running(home, f"sandbox-{system}")
            if service is None:
                service = sandboxes.start(home, system)
                started.append(service)
            services[system] = service
        for name, value in sandboxes.client_environment(services).items():
            output.console.print(f"export {name}={value}", soft_wrap=True, highlight=False)
        _wait_for_a_signal([service.name for service in services.values()], home)
    finally:
        for service in started:
            processes.stop(home, service)


def _prepare_database(settings: Settings) -> None:
    import dagster as dg

    from pipelines.services import dagster_instance
    from resources.ledger import upgrade

    assert settings.database_url is not None
    output.say("Database …")
    upgrade(settings.database_url)
    # Dagster's tables are made here, once, instead of by the web server and the daemon at the same moment.
    with dg.DagsterInstance.get() as instance:
        dagster_instance.prepare(instance)


def _wait_for_a_signal(names: list[str], home: Home) -> None:
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
                output.say(f"{name} has ended; its log is {home.logs / f'{name}.log'}. Everything else is stopped now.")
                return
