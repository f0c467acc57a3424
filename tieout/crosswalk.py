"""Who is who: which D365 record belongs to which Salesforce record, and what could not be decided.

Links are looked for in steps, the surest first: what the ledger knows, the link stored in Salesforce, then the numbers that both sides
carry. A step links only where exactly one record of each side claims the other; whatever is claimed twice is listed and left to a person.
SQL text from the contract, run by DuckDB on the connection that is passed in; the values are in the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tieout import customer_moves as moves
from tieout.contract import Contract, Contracts
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# What takes one link at most: an account in each company, an opportunity as a whole.
_PER_COMPANY = "d365.company"
_PER_RECORD = "''"

QUARANTINE_VIEWS = tuple(
    f"""CREATE OR REPLACE TEMP VIEW quarantined_in_{system} AS
SELECT * FROM (
    SELECT NULL::VARCHAR AS table_name, NULL::VARCHAR AS _key, NULL::VARCHAR AS parent_key, NULL::VARCHAR AS "row" WHERE false
    UNION ALL BY NAME
    SELECT * FROM {system}_quarantined
)
WHERE lower(coalesce("row" ->> 'IsDeleted', 'false')) <> 'true'"""
    for system in ("salesforce", "d365")
)
"""The quarantine without records that were deleted since: nobody has to put them right, and no order has to wait for them.

`row` (the record as received, JSON text) is NULL where the quarantine relations are registered without it."""


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """How many records were linked, and how many records are listed as open."""

    linked: int
    open: int


def link_customers(con: "DuckDBPyConnection", contracts: Contracts) -> LinkCounts:
    """Link accounts to customers, one link for an account and a company at most.

    Reads the relations `account`, `customer`, `opportunity`, `known_crosswalk`, `salesforce_quarantined`, `d365_quarantined`. An account is
    looked for by its number in its own company and in those of its opportunities. Makes the tables
    `crosswalk_customer(salesforce_id, company, d365_key, d365_lake_key, found_by, is_primary)`: `is_primary` marks the one customer of an
    account whose values go back to it; and
    `crosswalk_customer_open(side, key, company, candidates, reason)`: `reason` is ambiguous, taken or broken.
    The links of merged accounts and of renumbered customers follow; `tieout/customer_moves.py` has the rules, and what else is left.
    """
    return _link(con, "customer", customer_statements(contracts))


def link_orders(con: "DuckDBPyConnection", contracts: Contracts) -> LinkCounts:
    """Link opportunities to sales orders, one order for an opportunity at most.

    Reads the relations `opportunity`, `sales_order`, `known_crosswalk`, `salesforce_quarantined`, `d365_quarantined`. Makes the tables
    `crosswalk_sales_order` and `crosswalk_sales_order_open` with the columns of the customers' (`is_primary` is always true).
    An order that is canceled is linked by its reference only where no live one carries the same.
    """
    return _link(con, "sales_order", order_statements(contracts))


def customer_statements(contracts: Contracts) -> tuple[str, ...]:
    """The statements of `link_customers`, in order, as they are run."""
    contract = contracts["customer"]
    prefix = contract.create.number_prefix
    return (
        *QUARANTINE_VIEWS,
        _side("salesforce", "salesforce_id", _accounts(contract)),
        _side("d365", "lake_key", _customers(contract)),
        _side("company", "account_id, company", _companies_of_accounts(contracts["sales_order"])),
        _CLAIM_TABLE,
        *moves.MASTER_AND_KNOWN_TABLES,
        _step("ledger", moves.known_claims()),
        _step(moves.RENUMBERED, moves.renumbered_claims()),
        _step(moves.MERGED, moves.merged_claims(is_known=True)),
        _step("stored_link", moves.own_claims(_claim_by_stored_link(_PER_COMPANY), by_number=False)),
        _step("account_number", moves.own_claims(_claim_by_account_number(), by_number=True)),
        *(
            [_step("our_number", moves.own_claims(_claim_by_our_number(prefix, _PER_COMPANY), by_number=True))]
            if prefix
            else []
        ),
        _step(moves.MERGED, moves.merged_claims(is_known=False)),
        _linked_table("customer"),
        _open_table(
            "customer",
            "linked.salesforce_id = claim.salesforce_id AND linked.company = claim.company",
            moves.broken_links(),
        ),
        *moves.LEFT_TABLES,
    )


def order_statements(contracts: Contracts) -> tuple[str, ...]:
    """The statements of `link_orders`, in order, as they are run."""
    contract = contracts["sales_order"]
    prefix, reference = contract.create.number_prefix, contract.link.reference
    return (
        *QUARANTINE_VIEWS,
        _side("salesforce", "salesforce_id", _opportunities(contract)),
        _side("d365", "lake_key", _orders(contract)),
        _CLAIM_TABLE,
        _step("ledger", _claim_by_ledger("sales_order", _PER_RECORD)),
        _step("stored_link", _claim_by_stored_link(_PER_RECORD)),
        *([_step("our_number", _claim_by_our_number(prefix, _PER_RECORD))] if prefix else []),
        *([_step("reference", _claim_by_reference(live)) for live in (True, False)] if reference else []),
        _linked_table("sales_order"),
        _open_table("sales_order", "linked.salesforce_id = claim.salesforce_id"),
    )


def _link(con: "DuckDBPyConnection", entity: str, statements: Sequence[str]) -> LinkCounts:
    for statement in statements:
        con.execute(statement)
    counts = f"SELECT (SELECT count(*) FROM crosswalk_{entity}), (SELECT count(*) FROM crosswalk_{entity}_open)"
    return LinkCounts(*con.execute(counts).fetchall()[0])


# The two sides: what a link can be found by, quarantined records included, because they exist all the same.


def _side(name: str, key: str, select: str) -> str:
    # One row a key, even where a key came twice: the comparison reports the repeated key, a link must not be doubled by it.
    return f"CREATE OR REPLACE TEMP TABLE link_{name} AS\nSELECT DISTINCT ON ({key}) * FROM (\n{select}\n)"


def _accounts(contract: Contract) -> str:
    link, number = contract.link, contract.create.number_from
    merged_into = quoted("MasterRecordId") if "MasterRecordId" in contract.salesforce.extra else "NULL::VARCHAR"
    return f"""SELECT {quoted(contract.salesforce.key[0])} AS salesforce_id, {_lower(link.company)} AS company,
    {_lower(link.stored)} AS stored_link, {_lower(number)} AS number, {merged_into} AS merged_into, {not_deleted(contract)} AS is_there
FROM account
UNION ALL
SELECT _key, {_kept(link.company)}, {_kept(link.stored)}, {_kept(number)}, NULL, true
FROM quarantined_in_salesforce WHERE table_name = {literal(contract.salesforce.table)}"""


def _customers(contract: Contract) -> str:
    company, number = (quoted(name) for name in contract.d365.key)
    party = "PartyNumber" if "PartyNumber" in contract.d365.extra else None
    return f"""SELECT _key AS lake_key, lower({company}) AS company, {number} AS d365_key, lower({number}) AS number,
    NULL::VARCHAR AS reference, true AS is_live, {_lower(party)} AS party
FROM customer
UNION ALL
{_quarantined_d365(contract, "NULL", f"true, {_kept(party)}")}"""


def _companies_of_accounts(orders: Contract) -> str:
    own = "SELECT salesforce_id AS account_id, company FROM link_salesforce WHERE company IS NOT NULL AND is_there"
    if orders.link.company is None:
        return own
    account, company = orders.field("customer").salesforce, _lower(orders.link.company)
    assert account is not None
    return f"""{own}
UNION
SELECT {quoted(account)}, {company} FROM opportunity WHERE {company} IS NOT NULL AND {not_deleted(orders)}"""


def _opportunities(contract: Contract) -> str:
    link, key = contract.link, contract.salesforce.key[0]
    return f"""SELECT {quoted(key)} AS salesforce_id, {_lower(link.company)} AS company, {_lower(link.stored)} AS stored_link,
    {not_deleted(contract)} AS is_there
FROM opportunity
UNION ALL
SELECT _key, {_kept(link.company)}, {_kept(link.stored)}, true
FROM quarantined_in_salesforce WHERE table_name = {literal(contract.salesforce.table)}"""


def _orders(contract: Contract) -> str:
    company, number = (quoted(name) for name in contract.d365.key)
    reference = contract.link.reference
    return f"""SELECT _key AS lake_key, lower({company}) AS company, {number} AS d365_key, lower({number}) AS number,
    {_lower(reference)} AS reference, cmp_order_status IS DISTINCT FROM 'canceled' AS is_live
FROM sales_order
UNION ALL
{_quarantined_d365(contract, _kept(reference), "true")}"""


def _quarantined_d365(contract: Contract, reference: str, is_live: str) -> str:
    # The lake key is company|number in lower case. A number may hold the separator, a company may not.
    number = "substr(_key, strpos(_key, '|') + 1)"
    as_stored = f'coalesce("row" ->> {literal(contract.d365.key[-1])}, {number})'
    return f"""SELECT _key, split_part(_key, '|', 1), {as_stored}, {number}, {reference}, {is_live}
FROM quarantined_in_d365 WHERE table_name = {literal(contract.d365.table)}"""


# The steps: each select names who claims whom, as (salesforce_id, slot, lake_key). A slot takes one link.

_CLAIM_TABLE = """CREATE OR REPLACE TEMP TABLE link_claim (
    step INTEGER, found_by VARCHAR, salesforce_id VARCHAR, slot VARCHAR, lake_key VARCHAR, outcome VARCHAR
)"""


def _step(found_by: str, claims: str) -> str:
    """Adds the claims of one step with what follows from them.

    taken: the D365 record has its link already; ambiguous: one side is claimed more than once, here or in an earlier step; else linked.
    A Salesforce record about which an earlier step has spoken claims nothing more.
    """
    return f"""INSERT INTO link_claim
WITH claim AS (
{claims}
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), {literal(found_by)}, salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh"""


def _claim_by_ledger(entity: str, slot: str) -> str:
    return f"""SELECT sf.salesforce_id, {slot} AS slot, d365.lake_key
FROM known_crosswalk AS known
JOIN link_d365 AS d365 ON d365.lake_key = lower(known.company || '|' || known.d365_key)
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE known.entity = {literal(entity)}"""


def _claim_by_stored_link(slot: str) -> str:
    return f"""SELECT sf.salesforce_id, {slot} AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON sf.stored_link = d365.company || '/' || d365.number
WHERE sf.is_there"""


def _claim_by_account_number() -> str:
    """In the companies that the account has to do with; over all companies where it has to do with none and one customer fits."""
    return """SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_company AS of_account ON of_account.account_id = sf.salesforce_id
JOIN link_d365 AS d365 ON d365.number = sf.number AND d365.company = of_account.company
WHERE sf.is_there
UNION
SELECT sf.salesforce_id, min(d365.company), min(d365.lake_key)
FROM link_salesforce AS sf
ANTI JOIN link_company AS of_account ON of_account.account_id = sf.salesforce_id
JOIN link_d365 AS d365 ON d365.number = sf.number
WHERE sf.is_there
GROUP BY sf.salesforce_id
HAVING count(*) = 1"""


def _claim_by_our_number(prefix: str, slot: str) -> str:
    """The number that Tieout gives to what it creates: prefix + Salesforce id."""
    return f"""SELECT sf.salesforce_id, {slot} AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.number = {literal(prefix.lower())} || lower(sf.salesforce_id)
WHERE sf.is_there"""


def _claim_by_reference(live: bool) -> str:
    return f"""SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.reference = lower(sf.salesforce_id)
WHERE sf.is_there AND {"" if live else "NOT "}d365.is_live"""


# What the steps leave behind.


def _linked_table(entity: str) -> str:
    return f"""CREATE OR REPLACE TABLE crosswalk_{entity} AS
SELECT claim.salesforce_id, d365.company, d365.d365_key, claim.lake_key AS d365_lake_key, claim.found_by,
    row_number() OVER (
        PARTITION BY claim.salesforce_id
        ORDER BY coalesce(sf.stored_link = d365.company || '/' || d365.number, false) DESC,
            coalesce(sf.company = d365.company, false) DESC, claim.step, claim.lake_key
    ) = 1 AS is_primary
FROM link_claim AS claim
JOIN link_salesforce AS sf ON sf.salesforce_id = claim.salesforce_id
JOIN link_d365 AS d365 ON d365.lake_key = claim.lake_key
WHERE claim.outcome = 'linked'"""


def _open_table(entity: str, same_slot: str, broken: str | None = None) -> str:
    """`broken` selects more links that lead nowhere: (salesforce_id, company, key in the lake)."""
    more = f"\n    UNION ALL\n    SELECT *, 'broken' FROM (\n    {broken}\n    )" if broken else ""
    return f"""CREATE OR REPLACE TABLE crosswalk_{entity}_open AS
WITH named AS (
    SELECT salesforce_id, lower(company) AS company, lower(d365_key) AS number
    FROM known_crosswalk WHERE entity = {literal(entity)}
    UNION
    SELECT salesforce_id, split_part(stored_link, '/', 1), substr(stored_link, strpos(stored_link, '/') + 1)
    FROM link_salesforce WHERE stored_link IS NOT NULL
),
claim AS (
    SELECT claim.salesforce_id, d365.company, claim.lake_key, claim.outcome
    FROM link_claim AS claim JOIN link_d365 AS d365 USING (lake_key)
    WHERE claim.outcome <> 'linked'
    UNION ALL
    SELECT named.salesforce_id, named.company, named.company || '|' || named.number, 'broken'
    FROM named
    SEMI JOIN link_salesforce AS sf ON sf.salesforce_id = named.salesforce_id AND sf.is_there
    ANTI JOIN link_d365 AS d365 ON d365.company = named.company AND d365.number = named.number{more}
)
SELECT 'salesforce' AS side, salesforce_id AS key, company, list(DISTINCT lake_key ORDER BY lake_key) AS candidates,
    CASE WHEN bool_or(outcome = 'ambiguous') THEN 'ambiguous' WHEN bool_or(outcome = 'taken') THEN 'taken' ELSE 'broken' END AS reason
FROM claim
ANTI JOIN crosswalk_{entity} AS linked ON {same_slot}
GROUP BY salesforce_id, company
UNION ALL
SELECT 'd365', lake_key, company, list(DISTINCT salesforce_id ORDER BY salesforce_id), 'ambiguous'
FROM claim
ANTI JOIN crosswalk_{entity} AS linked ON linked.d365_lake_key = claim.lake_key
WHERE outcome = 'ambiguous'
GROUP BY lake_key, company"""


def _lower(column: str | None) -> str:
    return f"nullif(lower({quoted(column)}), '')" if column else "NULL::VARCHAR"


def _kept(column: str | None) -> str:
    """A source column of a quarantined row, which is kept as the JSON text that was received."""
    received = f'"row" ->> {literal(column)}'
    return f"nullif(lower({received}), '')" if column else "NULL::VARCHAR"


def not_deleted(contract: Contract) -> str:
    """The condition under which a Salesforce row is still there; deleted rows stay in the lake, marked."""
    return 'NOT coalesce("IsDeleted", false)' if "IsDeleted" in contract.salesforce.extra else "true"
