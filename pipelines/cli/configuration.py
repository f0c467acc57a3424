"""What the configuration says, checked before anything is started."""

from tieout.contract import load_contracts
from tieout.data_package import check_export_projects
from tieout.settings import Settings


def check_configuration(settings: Settings) -> None:
    """Raise ConfigurationError or ContractError for what the settings themselves cannot tell: contracts, schedules, names of tables.

    The code location says the same when it is loaded, but then it is Dagster that is told, and nobody at the keyboard.
    """
    import pipelines.definitions  # noqa: F401  a second or two, which every run needs anyway

    check_export_projects(settings.d365_export_projects, load_contracts(settings.contracts))
