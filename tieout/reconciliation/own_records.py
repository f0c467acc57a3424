"""The records in D365 that can only be ours: they carry the number that we give, or the id of their Salesforce record."""

from tieout.contract import Contract
from tieout.sql import literal, quoted


def own_records_statement(contract: Contract) -> str:
    """Business key, company and D365 key of every linked record that Tieout has made, from the crosswalk's tables."""
    per_company = contract.lines is None
    key = "linked.salesforce_id || '/' || lower(linked.company)" if per_company else "linked.salesforce_id"
    signs = []
    if contract.create.number_prefix:
        signs.append(
            f"lower(linked.d365_key) = lower({literal(contract.create.number_prefix)} || linked.salesforce_id)"
        )
    if contract.link.reference:
        signs.append(f"lower(record.{quoted(contract.link.reference)}) = lower(linked.salesforce_id)")
    return f"""SELECT {key} AS business_key, lower(linked.company) AS company, linked.d365_key
FROM crosswalk_{contract.entity} AS linked
JOIN {quoted(contract.d365.table)} AS record ON record._key = linked.d365_lake_key
WHERE {" OR ".join(signs) or "false"}
ORDER BY business_key"""
