"""Links that follow: two accounts merged in Salesforce, a customer renumbered in D365.

Salesforce deletes the losers of a merge and keeps the id of the master in each (`MasterRecordId`); their deals become the master's. D365 can
rename a primary key: the customer has another number from then on, in its orders too, and the same party. The ledger knows the old id and
the old number; here it is found out where they lead to. SQL text like that of `crosswalk.py`, whose steps use what is made here.
"""

from typing import TYPE_CHECKING

from tieout.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MERGED = "merged"
RENUMBERED = "renumbered"
"""How a link that followed was found."""

# `UNION ALL BY NAME`: the ledger's relation may be registered without parties, for callers that have none.
MASTER_AND_KNOWN_TABLES = (
    """CREATE OR REPLACE TEMP TABLE account_master AS
WITH RECURSIVE way AS (
    SELECT salesforce_id AS account_id, merged_into AS master_id FROM link_salesforce WHERE NOT is_there AND merged_into IS NOT NULL
    UNION
    SELECT way.account_id, next.merged_into
    FROM way
    JOIN link_salesforce AS next ON next.salesforce_id = way.master_id AND NOT next.is_there AND next.merged_into IS NOT NULL
)
SELECT way.account_id, way.master_id, coalesce(master.is_there, false) AS is_there
FROM way
ANTI JOIN link_salesforce AS next ON next.salesforce_id = way.master_id AND NOT next.is_there AND next.merged_into IS NOT NULL
LEFT JOIN link_salesforce AS master ON master.salesforce_id = way.master_id""",
    """CREATE OR REPLACE TEMP TABLE known_customer AS
WITH known AS (
    SELECT salesforce_id, lower(company) AS company, d365_key, lower(company || '|' || d365_key) AS known_key, lower(coalesce(party, '')) AS party
    FROM (
        SELECT NULL::VARCHAR AS entity, NULL::VARCHAR AS salesforce_id, NULL::VARCHAR AS company, NULL::VARCHAR AS d365_key,
            NULL::VARCHAR AS party WHERE false
        UNION ALL BY NAME
        SELECT * FROM known_crosswalk
    )
    WHERE entity = 'customer'
),
looked_up AS (
    SELECT known.*, d365.lake_key IS NOT NULL AS is_there,
        d365.lake_key IS NOT NULL AND (known.party = '' OR d365.party IS NULL OR d365.party = known.party) AS is_same
    FROM known LEFT JOIN link_d365 AS d365 ON d365.lake_key = known.known_key
),
successor AS (
    SELECT gone.salesforce_id, gone.company, min(d365.lake_key) AS lake_key
    FROM looked_up AS gone
    JOIN link_d365 AS d365 ON d365.company = gone.company AND d365.party = gone.party
    ANTI JOIN (SELECT known_key FROM looked_up WHERE is_same) AS taken ON taken.known_key = d365.lake_key
    ANTI JOIN link_salesforce AS other
        ON other.stored_link = d365.company || '/' || d365.number AND other.is_there AND other.salesforce_id <> gone.salesforce_id
    WHERE NOT gone.is_same AND gone.party <> ''
    GROUP BY gone.salesforce_id, gone.company
    HAVING count(*) = 1
)
SELECT looked_up.salesforce_id, looked_up.company, looked_up.d365_key, looked_up.known_key, looked_up.party,
    looked_up.is_there AND NOT looked_up.is_same AS is_given_away, looked_up.is_same,
    CASE WHEN looked_up.is_same THEN looked_up.known_key ELSE successor.lake_key END AS lake_key
FROM looked_up
LEFT JOIN successor ON successor.salesforce_id = looked_up.salesforce_id AND successor.company = looked_up.company""",
    """CREATE OR REPLACE TEMP TABLE former_customer AS
SELECT known.salesforce_id AS account_id, master.master_id, known.company, known.d365_key, known.party, known.lake_key, true AS is_known
FROM known_customer AS known JOIN account_master AS master ON master.account_id = known.salesforce_id
WHERE known.lake_key IS NOT NULL
UNION ALL
SELECT loser.salesforce_id, master.master_id, d365.company, d365.d365_key, coalesce(d365.party, ''), d365.lake_key, false
FROM link_salesforce AS loser
JOIN account_master AS master ON master.account_id = loser.salesforce_id
JOIN link_d365 AS d365 ON loser.stored_link = d365.company || '/' || d365.number
ANTI JOIN known_customer AS known ON known.salesforce_id = loser.salesforce_id AND known.company = d365.company""",
)
"""`account_master(account_id, master_id, is_there)`: each merged account and the one at the end of its chain of merges, which may be unknown.

`known_customer`: the ledger's links of customers. `lake_key` is the customer of today: the one of that number, unless the number was given to
another party; else the only one of the same party that nobody else has; else NULL.
`former_customer`: the customers of merged accounts, by the ledger or (`is_known` false) by the link that is stored in the deleted account."""


def known_claims() -> str:
    """Who the ledger says is linked, under the number that it knows."""
    return """SELECT sf.salesforce_id, known.company AS slot, known.lake_key
FROM known_customer AS known
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE known.is_same"""


def renumbered_claims() -> str:
    """The same under a new number."""
    return """SELECT sf.salesforce_id, known.company AS slot, known.lake_key
FROM known_customer AS known
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE NOT known.is_same AND known.lake_key IS NOT NULL"""


def merged_claims(*, is_known: bool) -> str:
    """What was a merged account's is its master's, unless a link is stored in the master that leads to another customer of the company.

    With `is_known` what the ledger knows, else what is stored in the deleted account and linked to nobody.
    """
    free = """
ANTI JOIN (SELECT lake_key FROM link_claim WHERE outcome = 'linked') AS linked ON linked.lake_key = former.lake_key"""
    return f"""SELECT sf.salesforce_id, former.company AS slot, former.lake_key
FROM former_customer AS former
JOIN link_salesforce AS sf ON sf.salesforce_id = former.master_id AND sf.is_there
ANTI JOIN link_d365 AS own
    ON sf.stored_link = own.company || '/' || own.number AND own.company = former.company AND own.lake_key <> former.lake_key{"" if is_known else free}
WHERE {"former.is_known" if is_known else "NOT former.is_known"}"""


def own_claims(claims: str, *, by_number: bool) -> str:
    """`claims` without numbers that D365 gave to another party since; `by_number`: and without customers of accounts that were merged into another."""
    held = """
ANTI JOIN former_customer AS held ON held.lake_key = claim.lake_key AND held.master_id <> claim.salesforce_id"""
    return f"""SELECT claim.* FROM (
{claims}
) AS claim
ANTI JOIN (
    SELECT coalesce(master.master_id, known.salesforce_id) AS account_id, known.known_key
    FROM known_customer AS known LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    WHERE known.is_given_away
) AS given_away ON given_away.account_id = claim.salesforce_id AND given_away.known_key = claim.lake_key{held if by_number else ""}"""


def broken_links() -> str:
    """(salesforce_id, company, lake_key) of links that the ledger knows and that lead nowhere, also those that a master took over."""
    return """SELECT sf.salesforce_id, known.company, known.known_key
    FROM known_customer AS known
    LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    JOIN link_salesforce AS sf ON sf.salesforce_id = coalesce(master.master_id, known.salesforce_id) AND sf.is_there
    WHERE known.lake_key IS NULL"""


LEFT_TABLES = (
    """CREATE OR REPLACE TEMP TABLE crosswalk_customer_party AS
SELECT linked.salesforce_id, linked.company, linked.d365_key, coalesce(d365.party, '') AS party
FROM crosswalk_customer AS linked JOIN link_d365 AS d365 ON d365.lake_key = linked.d365_lake_key""",
    f"""CREATE OR REPLACE TEMP TABLE crosswalk_customer_moved AS
SELECT linked.salesforce_id, linked.company, linked.d365_key, linked.found_by, coalesce(former.account_id, known.salesforce_id) AS former_id,
    coalesce(former.d365_key, known.d365_key) AS former_key
FROM crosswalk_customer AS linked
LEFT JOIN former_customer AS former
    ON linked.found_by = {literal(MERGED)} AND former.master_id = linked.salesforce_id AND former.lake_key = linked.d365_lake_key
LEFT JOIN known_customer AS known
    ON linked.found_by = {literal(RENUMBERED)} AND known.salesforce_id = linked.salesforce_id AND known.company = linked.company
WHERE linked.found_by IN ({literal(MERGED)}, {literal(RENUMBERED)})""",
    """CREATE OR REPLACE TEMP TABLE crosswalk_customer_merged AS
SELECT DISTINCT ON (former.lake_key) former.lake_key AS d365_lake_key, former.company, former.account_id, former.master_id,
    own.d365_key AS master_d365_key
FROM former_customer AS former
ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = former.lake_key
LEFT JOIN crosswalk_customer AS own ON own.salesforce_id = former.master_id AND own.company = former.company
ORDER BY former.lake_key, former.is_known DESC, former.account_id""",
)
"""What linking leaves beside the crosswalk's own tables.

`crosswalk_customer_party`: the party of each linked customer, empty where it is not known. `crosswalk_customer_moved`: the links that followed,
with the account and number that they had before. `crosswalk_customer_merged`: the customers that merged accounts left behind and that nobody
is linked to; `master_d365_key` is the customer that the master has in that company instead, NULL where it has none."""


def merged_accounts(con: "DuckDBPyConnection") -> dict[str, str]:
    """Salesforce id of each merged account → the account that stands for it and is there. Needs `link_customers` to have run."""
    rows = con.execute("SELECT account_id, master_id FROM account_master WHERE is_there").fetchall()
    return dict(rows)
