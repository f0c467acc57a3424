"""`tieout desk`: the desk alone, with the database that it needs."""

from pipelines.cli import output
from pipelines.cli.up import wait_for_a_signal
from pipelines.services import processes, supervisor
from pipelines.services.home import Home
from tieout.settings import Settings


def serve(*, port: int) -> None:
    """Serve the desk until Ctrl-C; whatever was not running before is stopped again."""
    settings = Settings.from_environment()
    home = Home(settings.home)
    was_there = processes.running(home, "desk") is not None
    with supervisor.embedded(settings, say=output.say) as running:
        service = supervisor.start_desk(running.settings, port=port)
        output.print_places([("Desk", service.address)])
        if was_there:
            output.console.print("It was running already.", highlight=False)
            return
        output.console.print("Ctrl-C stops it.", highlight=False)
        try:
            wait_for_a_signal([service.name], home)
        finally:
            processes.stop(home, service)
