"""Accounts and customers that share no key: who may be the same company, for a person to decide."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import LakeResource, LedgerResource
from resources.lake import Lake
from resources.ledger import Ledger
from resources.workbench import WorkbenchResource
from tieout.contract import Contract
from tieout.crosswalk import not_deleted
from tieout.errors import RecordError
from tieout.matching import RULES_DIGEST, Kind, Proposal, propose
from tieout.matching.proposals import PROPOSE_FROM
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KINDS: tuple[Kind, ...] = ("link", "duplicate_in_salesforce", "duplicate_in_d365")
NOBODY = "Tieout"
_DIGEST_KEY = ("crosswalk", "match_inputs")
# Contract field → column of a party. A tax number is one where the contract has a field of that name.
_FROM_CONTRACT = ("name", "street", "city", "postal_code", "country", "phone", "email", "tax_number")


class MatchingConfig(dg.Config):
    """The review band. Nothing is linked without a person unless `accept_from` says so: a link makes values be written."""

    propose_from: float = PROPOSE_FROM
    """Probability from which a pair is proposed."""

    accept_from: float = 1.01
    """Probability from which a link is accepted without a person, where neither record has another proposal; above 1: never."""


@dg.asset(
    key=["crosswalk", "match_proposals"],
    group_name=catalogue.CROSSWALK,
    owners=[catalogue.OWNER],
    kinds={"duckdb", "postgres"},
    pool="lake",
    deps=[["crosswalk", "customer"]],
    description=(
        "Accounts and customers that are linked to nobody and may be the same company, and records of one system that may be doubles: by exact rules, "
        "then by a probabilistic model. Each proposal says what speaks for and against it. People accept or refuse them; refused ones are not proposed again."
    ),
)
def match_proposals(
    context: dg.AssetExecutionContext,
    config: MatchingConfig,
    workbench: WorkbenchResource,
    lake: LakeResource,
    ledger: LedgerResource,
) -> dg.MaterializeResult[None]:
    import pyarrow as pa  # imported here: loading the definitions must not pay for it

    bench = workbench.bench()
    bench.links()
    make_parties(bench.con, bench.contracts["customer"])
    digest = f"{inputs_digest(bench.con)} {RULES_DIGEST} {config.propose_from} {config.accept_from}"
    shelf = lake.lake()
    if _digest_before(bench.con, shelf) == digest:
        # The model takes seconds for thousands of records, and most runs change no name and no link.
        return outcome("no account, customer or link has changed since the last proposals")
    found = proposals(bench.con, config.propose_from)
    with ledger.opened() as book:
        # Links that are younger than the run were not seen by it; a proposal must not be accepted over one.
        started = context.instance.get_run_stats(context.run_id).start_time
        at = datetime.fromtimestamp(started, UTC) if started else datetime.now(UTC)
        states = book.matches.record(found, KINDS, context.run_id, at)
        accepted = accept_sure_links(book, found, config.accept_from)
    shelf.replace(_DIGEST_KEY, pa.table({"digest": [digest]}))
    by_kind = {kind: sum(each.kind == kind for each in found) for kind in KINDS}
    return outcome(
        f"{states.get('proposed', 0) - accepted:,} wait for a person, {accepted:,} accepted by the threshold",
        rows=len(found),
        **by_kind,
        accepted=accepted,
        refused_before=states.get("refused", 0),
    )


def proposals(con: "DuckDBPyConnection", propose_from: float) -> list[Proposal]:
    """Every proposal of today: links between records that have none, and doubles inside each system. Needs `make_parties`."""
    linked = set(con.execute("SELECT salesforce_id, lower(company) FROM crosswalk_customer").fetchall())
    links = [
        each
        for each in propose(con, "link", "match_account", "match_customer_unlinked", propose_from=propose_from)
        # The account has its customer there; the other one may be a double, which is told below.
        if (each.left_key, each.company.lower()) not in linked
    ]
    doubles = propose(con, "duplicate_in_salesforce", "match_account", propose_from=propose_from)
    return links + doubles + propose(con, "duplicate_in_d365", "match_customer", propose_from=propose_from)


def make_parties(con: "DuckDBPyConnection", contract: Contract) -> None:
    """Make the relations of accounts, of customers, and of customers that are linked to nobody."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW match_account AS {accounts(contract)}")
    con.execute(f"CREATE OR REPLACE TEMP VIEW match_customer AS {customers(contract)}")
    con.execute(
        "CREATE OR REPLACE TEMP VIEW match_customer_unlinked AS SELECT * FROM match_customer AS party "
        "ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = party.key"
    )


def inputs_digest(con: "DuckDBPyConnection") -> str:
    """Changes with every party and every link, whatever their order."""
    selects = ("SELECT party FROM match_account AS party", "SELECT party FROM match_customer AS party")
    links = "SELECT (salesforce_id, lower(company), d365_lake_key) FROM crosswalk_customer"
    parts = [
        con.execute(f"SELECT count(*), coalesce(sum(hash(row)::HUGEINT), 0) FROM ({select}) AS given (row)").fetchall()[
            0
        ]
        for select in (*selects, links)
    ]
    return " ".join(f"{count}:{digest}" for count, digest in parts)


def _digest_before(con: "DuckDBPyConnection", lake: Lake) -> str:
    lake.register(con, "match_inputs_before", _DIGEST_KEY, empty={"digest": "VARCHAR"})
    rows = con.execute("SELECT digest FROM match_inputs_before").fetchall()
    return str(rows[0][0]) if rows else ""


def accept_sure_links(book: Ledger, found: list[Proposal], accept_from: float) -> int:
    """Accept what needs no person; returns how many. A pair that cannot be linked stays a proposal."""
    accepted = 0
    for each in sure_links(found, accept_from):
        pair = (each.kind, each.left_key, each.right_key)
        if book.matches.get(*pair).state != "proposed":
            continue
        with suppress(RecordError):
            book.matches.accept(*pair, who=NOBODY, note=f"probability from {accept_from} on")
            accepted += 1
    return accepted


def sure_links(found: list[Proposal], accept_from: float) -> list[Proposal]:
    """Links above the upper threshold whose customer is in no other proposal, and whose account in none of that company."""
    links = [each for each in found if each.kind == "link"]
    left = Counter((each.left_key, each.company) for each in links)
    right = Counter(each.right_key for each in links)
    return [
        each
        for each in links
        if each.probability >= accept_from and left[each.left_key, each.company] == 1 and right[each.right_key] == 1
    ]


def accounts(contract: Contract) -> str:
    """SELECT of the accounts that are there, as parties."""
    company = f"lower({quoted(contract.link.company)})" if contract.link.company else "''"
    return (
        f"SELECT _key AS key, coalesce({company}, '') AS company, _key AS number, {_columns(contract, 'salesforce')} "
        f"FROM {contract.salesforce.table} WHERE {not_deleted(contract)}"
    )


def customers(contract: Contract) -> str:
    """SELECT of the customers, as parties."""
    company, number = (quoted(name) for name in contract.d365.key)
    return (
        f"SELECT _key AS key, lower({company}) AS company, {number} AS number, {_columns(contract, 'd365')} "
        f"FROM {contract.d365.table}"
    )


def _columns(contract: Contract, system: str) -> str:
    sources = {field.name: (field.salesforce if system == "salesforce" else field.d365) for field in contract.fields}
    return ", ".join(
        f"{quoted(column)}::VARCHAR AS {name}"
        if (column := sources.get(name))
        else f"{literal(None)}::VARCHAR AS {name}"
        for name in _FROM_CONTRACT
    )
