"""One look at the rules of alerts with everything that this installation has: rules file, contracts, ledger, Dagster's runs."""

import logging
from datetime import UTC, datetime

import dagster as dg

from pipelines.run_facts import run_facts
from resources.alerting import Look, look
from resources.ledger import Ledger
from tieout.alerting import AlertFile, load_alerts
from tieout.alerting.facts import RunFacts
from tieout.alerting.settings import alerts_file
from tieout.contract import Contracts, load_contracts
from tieout.settings import Settings, contracts_folder

log = logging.getLogger(__name__)


def rules_and_tables(contracts: Contracts | None = None) -> tuple[AlertFile, list[tuple[str, str]]]:
    """The alerts file, checked against the tables of the contracts. Raises ConfigurationError or ContractError with every mistake."""
    known = contracts or load_contracts(contracts_folder())
    tables = [table.lake_key for system in ("salesforce", "d365") for table in known.tables(system)]
    return load_alerts(alerts_file(), ["/".join(key) for key in tables]), tables


def look_now(ledger: Ledger, instance: dg.DagsterInstance, contracts: Contracts | None = None) -> Look:
    """Look, keep what was found, and tell the sinks. A second call at any moment tells nobody twice."""
    file, tables = rules_and_tables(contracts)
    return look(ledger, file, tables, _runs(instance), datetime.now(UTC))


def look_after_run(instance: dg.DagsterInstance) -> Look | None:
    """Look at the end of a run in this process. Whatever goes wrong is logged and never becomes a problem of the run."""
    try:
        url = Settings.from_environment().database_url
        if url is None:
            return None
        with Ledger.opened(url) as ledger:
            return look_now(ledger, instance)
    except Exception as error:
        log.warning("alert.look_failed", extra={"problem": f"{type(error).__name__}: {error}"})
        return None


def _runs(instance: dg.DagsterInstance) -> RunFacts | None:
    try:
        return run_facts(instance)
    except Exception as error:
        # Its own tables may be away or half migrated; the rules about the ledger go on.
        log.warning("alert.runs_not_read", extra={"problem": type(error).__name__})
        return None
