"""`tieout doctor`: connections, permissions, the contracts' fields, quotas and clocks, each with what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pipelines.cli import output
from pipelines.services.supervisor import embedded
from resources.d365 import D365Client
from resources.ledger import Ledger
from resources.salesforce import SalesforceClient
from tieout.contract import Contracts, check_against_d365, check_against_salesforce, load_contracts
from tieout.errors import TieoutError
from tieout.settings import Settings

CLOCK_TOLERANCE_S = 30.0
QUOTA_WARNING = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty where it is right."""

    what: str
    ok: bool
    found: str
    advice: str = ""


def examine(*, as_json: bool) -> int:
    """Look at everything, also after a failure; returns the exit code."""
    settings = Settings.from_environment()
    with embedded(settings, say=output.say) as running:
        findings = list(_findings(running.settings))
    if as_json:
        output.print_json({"ok": all(each.ok for each in findings), "findings": [asdict(each) for each in findings]})
    else:
        output.print_table(
            "Doctor",
            ["", "what", "found", "what to do"],
            [["ok" if each.ok else "NO", each.what, each.found, each.advice] for each in findings],
        )
    return 0 if all(each.ok for each in findings) else 1


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from _looked_at("Database", lambda: _database(settings))
    try:
        contracts = load_contracts(settings.contracts)
    except TieoutError as problem:
        yield Finding("Contracts", False, str(problem), "Put the named lines right.")
        return
    yield Finding("Contracts", True, f"{', '.join(contracts)} in {settings.contracts}")
    yield from _looked_at("Salesforce", lambda: _salesforce(settings, contracts))
    yield from _looked_at("D365", lambda: _d365(settings, contracts))


def _looked_at(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds; its failure is a finding, too, and does not stop the others."""
    try:
        yield from look()
    except TieoutError as problem:
        yield Finding(what, False, type(problem).__name__, str(problem))


def _database(settings: Settings) -> Iterator[Finding]:
    assert settings.database_url is not None
    with Ledger.opened(settings.database_url) as ledger:
        counts = ", ".join(f"{count:,} {state}" for state, count in ledger.deliveries.counts().items() if count)
    yield Finding("Database", True, f"ledger at its newest schema; deliveries: {counts or 'none yet'}")


def _salesforce(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    assert settings.salesforce is not None
    with SalesforceClient(settings.salesforce, ca_bundle=settings.ca_bundle) as client:
        apart_s = abs((client.server_now() - datetime.now(UTC)).total_seconds())
        yield Finding("Salesforce sign-in", True, settings.salesforce.instance_url)
        yield _clock("Salesforce clock", apart_s)
        described = {table.source: client.describe(table.source) for table in contracts.tables("salesforce")}
        yield _fields("Salesforce fields", check_against_salesforce(contracts, described))
        if client.quota is not None:
            used, allowed = client.quota.used, client.quota.allowed
            low = used > allowed * QUOTA_WARNING
            yield Finding(
                "Salesforce API calls of 24 hours",
                not low,
                f"{used:,} of {allowed:,} used",
                "Run less often, or ask Salesforce for more calls." if low else "",
            )


def _d365(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    assert settings.d365 is not None
    with D365Client(settings.d365, ca_bundle=settings.ca_bundle) as client:
        names = set(client.entity_sets())
        wanted = [table.source for table in contracts.tables("d365")]
        yield Finding("D365 sign-in", True, f"{settings.d365.url}, {len(names)} entity sets")
        yield _fields("D365 fields", check_against_d365(contracts, client.metadata(wanted)))
        companies = client.count("Companies")
        yield Finding(
            "D365 companies",
            companies > 0,
            f"{companies} visible",
            "" if companies else "Give the service user's role access to the companies.",
        )


def _clock(what: str, apart_s: float) -> Finding:
    ok = apart_s <= CLOCK_TOLERANCE_S
    return Finding(
        what, ok, f"{apart_s:.0f} s apart from this machine's", "" if ok else "Set this machine's clock (NTP)."
    )


def _fields(what: str, problems: list[str]) -> Finding:
    return Finding(
        what,
        not problems,
        "all fields of the contracts are there" if not problems else f"{len(problems)} problems",
        " ".join(problems),
    )
