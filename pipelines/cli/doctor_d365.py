"""What the doctor asks a D365: it reads and counts, and changes nothing. What the answers mean is in `tieout/doctor/d365.py`."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from resources.client_certificate import end_of
from resources.d365 import D365Client
from resources.ledger import Ledger
from resources.secrets import read_secret
from tieout.contract import Contracts, check_against_d365
from tieout.doctor import Finding, clock, d365
from tieout.doctor.finding import fields, good
from tieout.errors import AuthenticationProblem, RequestRefused
from tieout.settings import Settings


def examine_d365(settings: Settings, contracts: Contracts, others: Collection[str] = d365.OTHERS) -> Iterator[Finding]:
    """Sign-in, clock, fields, then what may be read, what has been written, and that no set of `others` may be read."""
    assert settings.d365 is not None
    if settings.d365.by_certificate:
        secret = settings.d365.secret
        ends_at = end_of(read_secret(secret, ca_bundle=settings.ca_bundle), secret)
        yield d365.certificate(ends_at, datetime.now(UTC))
    with D365Client(settings.d365, ca_bundle=settings.ca_bundle) as client:
        names = set(client.entity_sets())
        tables = contracts.tables("d365")
        yield good("D365 sign-in", f"{settings.d365.url}, {len(names)} entity sets, by {settings.d365.secret}")
        yield clock("D365", abs((client.server_now() - datetime.now(UTC)).total_seconds()))
        yield fields("D365", check_against_d365(contracts, client.metadata([table.source for table in tables])))
        visible = [str(row["DataArea"]).lower() for row in client.rows("Companies", select=["DataArea"])]
        yield d365.companies(visible, settings.companies)
        for table in tables:
            yield _reading(client, table.source)
        offered = sorted(names & set(others))
        yield d365.nothing_more(names, [name for name in offered if _reading(client, name).ok], others)
    yield from _writing(settings, contracts)


def _reading(client: D365Client, entity_set: str) -> Finding:
    try:
        return d365.reading(entity_set, client.count(entity_set))
    except (AuthenticationProblem, RequestRefused) as refusal:
        return d365.reading(entity_set, None, str(refusal))


def _writing(settings: Settings, contracts: Contracts) -> Iterator[Finding]:
    """What D365 has taken from us before, by the ledger: the only proof that writes nothing."""
    assert settings.database_url is not None
    with Ledger.opened(settings.database_url) as ledger:
        taken = [d365.Taken(*row) for row in ledger.attempts.taken()]
        companies = {entity: ledger.deliveries.companies(entity, "create") for entity in contracts}
    for contract in contracts.values():
        if not d365.is_written(contract):
            continue
        yield from d365.writing(contract, taken)
        numbers = d365.numbers(contract, companies[contract.entity], taken)
        if numbers is not None:
            yield numbers
