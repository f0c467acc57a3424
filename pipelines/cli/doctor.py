"""`tieout doctor`: connections, permissions, the contracts' fields, quotas and clocks, each with what to do about it."""

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

from pipelines.cli import output
from pipelines.cli.configuration import check_configuration
from pipelines.cli.doctor_d365 import examine_d365
from pipelines.cli.doctor_logs import examine_log_sink
from pipelines.cli.doctor_salesforce import examine_salesforce
from pipelines.services.supervisor import embedded
from resources.ledger import Ledger
from tieout.contract import load_contracts
from tieout.doctor import Finding, Status
from tieout.doctor.finding import good
from tieout.errors import TieoutError
from tieout.log_sinks.settings import SINKS, TITLES
from tieout.settings import Settings

_PACKAGES = ("dagster", "duckdb", "deltalake", "sqlalchemy")


def examine(*, as_json: bool) -> int:
    """Look at everything, also after a failure, and write nothing to either system; returns the exit code: 1 where something fails."""
    settings = Settings.from_environment()
    with embedded(settings, say=output.say) as running:
        findings = list(_findings(running.settings))
    ok = all(each.ok for each in findings)
    if as_json:
        output.print_json({"ok": ok, "findings": [each.as_json() for each in findings]})
    else:
        output.print_table(
            "Doctor",
            ["", "what", "found", "what to do"],
            [[str(each.status), each.what, each.found, each.advice] for each in findings],
        )
    return 0 if ok else 1


def _findings(settings: Settings) -> Iterator[Finding]:
    yield _versions()
    yield from _looked_at("Database", lambda: _database(settings))
    try:
        contracts = load_contracts(settings.contracts)
    except TieoutError as problem:
        yield Finding("Contracts", Status.FAIL, str(problem), "Put the named lines right.")
        return
    yield good("Contracts", f"{', '.join(contracts)} in {settings.contracts}")
    yield from _looked_at("Configuration", lambda: _configuration(settings))
    yield from _looked_at("Salesforce", lambda: examine_salesforce(settings, contracts))
    yield from _looked_at("D365", lambda: examine_d365(settings, contracts))
    for name in SINKS:
        yield from _looked_at(f"Log in {TITLES[name]}", lambda name=name: examine_log_sink(settings, name))  # type: ignore[misc]


def _looked_at(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds; its failure is a finding, too, and does not stop the others."""
    try:
        yield from look()
    except TieoutError as problem:
        yield Finding(what, Status.FAIL, type(problem).__name__, str(problem))


def _configuration(settings: Settings) -> Iterator[Finding]:
    check_configuration(settings)
    yield good("Configuration", "schedules and export projects can be used")


def _versions() -> Finding:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return good("Versions", f"tieout {version('tieout')}, Python {platform.python_version()}, {packages}")


def _database(settings: Settings) -> Iterator[Finding]:
    assert settings.database_url is not None
    with Ledger.opened(settings.database_url) as ledger:
        counts = ", ".join(f"{count:,} {state}" for state, count in ledger.deliveries.counts().items() if count)
    yield good("Database", f"ledger at its newest schema; deliveries: {counts or 'none yet'}")
