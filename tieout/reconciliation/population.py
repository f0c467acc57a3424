"""Who takes part in a comparison: one row for each record or linked pair, with every fact that its verdict needs.

Salesforce takes part with what the contract's scope admits (and, for customers, with every account that is linked or wanted by such an
opportunity), D365 with everything that is not canceled. Quarantined records take part too: that they exist is known, only not what they say.
"""

from collections.abc import Mapping

from tieout.contract import Contract, Contracts, System
from tieout.crosswalk import not_deleted
from tieout.reconciliation.rows import Reason
from tieout.reconciliation.sides import in_scope, is_live_in_salesforce, lines_of
from tieout.sql import literal, quoted

NO_COMPANY = "''"
NO_MONTH = "''"

# The date by which an order belongs to a month, the first that the contract reads and the record has: when the deal was closed, when the
# order was taken.
_ORDER_DATES: Mapping[System, tuple[str, ...]] = {
    "salesforce": ("CloseDate",),
    "d365": ("OrderCreationDateTime", "RequestedReceiptDate"),
}


def repeated_statement(name: str, contract: Contract) -> str:
    """Make `<name>_repeated`: the keys that occur more than once on one side."""
    selects = [
        f"SELECT _key, {literal(side.system)} AS system FROM {side.table} GROUP BY _key HAVING count(*) > 1"
        for side in (contract.salesforce, contract.d365)
    ]
    return f"CREATE OR REPLACE TEMP TABLE {name}_repeated AS\n" + "\nUNION ALL\n".join(selects)


def customer_record_statement(contracts: Contracts) -> str:
    """Make `customer_record`. Takes the parameter `$earlier`: the start of the earlier read."""
    customers, orders = contracts["customer"], contracts["sales_order"]
    ctes = [_account_here(customers), _customer_here(customers), _quarantined_customers(customers)]
    ctes += [_wanted(orders), _customer_keys(), _sibling()]
    return f"""CREATE OR REPLACE TEMP TABLE customer_record AS
WITH {_chain(ctes)}
SELECT record.salesforce_key, record.d365_lake_key, record.company, record.is_primary,
    coalesce(customer.number, bad_customer.number) AS d365_key,
    coalesce(account.currency, customer.currency, '') AS currency,
    coalesce(account.label, bad_account.label, customer.label) AS label,
    account._key IS NOT NULL AND customer._key IS NOT NULL AS is_pair,
    bad_account._key IS NOT NULL OR bad_customer._key IS NOT NULL AS is_quarantined,
    {_is_repeated("customer")} AS is_repeated,
    sibling.lake_key IS NOT NULL AS has_linked_sibling,
    merged.account_id || ' into ' || merged.master_id AS merge, merged.master_d365_key,
    coalesce(account_open.reason, customer_open.reason) AS open_reason,
    coalesce(account.changed_at > $earlier, false) AS is_recent
FROM record
LEFT JOIN account_here AS account ON account._key = record.salesforce_key
LEFT JOIN customer_here AS customer ON customer._key = record.d365_lake_key
LEFT JOIN bad_account ON bad_account._key = record.salesforce_key
LEFT JOIN bad_customer ON bad_customer._key = record.d365_lake_key
LEFT JOIN sibling ON sibling.lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
LEFT JOIN crosswalk_customer_merged AS merged ON merged.d365_lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
{_open_joins("customer", same_company=True)}"""


def order_record_statement(contracts: Contracts) -> str:
    """Make `sales_order_record`. Takes the parameter `$earlier`: the start of the earlier read."""
    customers, orders = contracts["customer"], contracts["sales_order"]
    ctes = [_account_here(customers), _opportunity_here(orders), _order_here(orders), quarantined_orders(orders)]
    ctes += [_order_keys(orders), _named_opportunity(orders)]
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_record AS
WITH {_chain(ctes)}
SELECT record.salesforce_key, record.d365_lake_key, true AS is_primary,
    coalesce(sales_order.company, bad_order.company, opportunity.company, bad_opportunity.company, account.company, {NO_COMPANY}) AS company,
    coalesce(sales_order.number, bad_order.number) AS d365_key,
    coalesce(opportunity.currency, sales_order.currency, '') AS currency,
    coalesce(sales_order.currency, '') AS d365_currency,
    coalesce(opportunity.label, bad_opportunity.label, sales_order.number) AS label,
    CASE WHEN opportunity.is_in_scope AND coalesce(grouped.owns_salesforce, true) THEN opportunity.amount END AS salesforce_amount,
    CASE WHEN NOT sales_order.is_canceled AND coalesce(grouped.owns_d365, true) THEN sales_order.amount END AS d365_amount,
    coalesce(grouped.month, opportunity.month, bad_opportunity.month, sales_order.month, bad_order.month, {NO_MONTH}) AS month,
    opportunity.account_id, coalesce(opportunity.lines, 0) AS lines,
    grouped.group_key, grouped.reason AS group_reason, NOT coalesce(grouped.is_equal_in_amount, true) AS is_group_off,
    on_order.salesforce_key IS NOT NULL AS is_on_order,
    opportunity._key IS NOT NULL AND sales_order._key IS NOT NULL AS is_pair,
    bad_opportunity._key IS NOT NULL OR bad_order._key IS NOT NULL AS is_quarantined,
    coalesce(bad_opportunity.is_by_line, bad_order.is_by_line, false) AS is_quarantined_by_line,
    {_is_repeated("sales_order")} AS is_repeated,
    coalesce(opportunity.is_in_scope, false) AS is_in_scope,
    coalesce(sales_order.is_canceled, false) AS is_canceled,
    named.state AS named_state,
    coalesce(opportunity_open.reason, order_open.reason) AS open_reason,
    coalesce(greatest(opportunity.changed_at, sales_order.created_at) > $earlier, false) AS is_recent
FROM record
LEFT JOIN opportunity_here AS opportunity ON opportunity._key = record.salesforce_key
LEFT JOIN account_here AS account ON account._key = opportunity.account_id
LEFT JOIN order_here AS sales_order ON sales_order._key = record.d365_lake_key
LEFT JOIN bad_opportunity ON bad_opportunity._key = record.salesforce_key
LEFT JOIN bad_order ON bad_order._key = record.d365_lake_key
LEFT JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = record.salesforce_key AND grouped.d365_key = record.d365_lake_key
LEFT JOIN (SELECT DISTINCT salesforce_key FROM sales_order_named) AS on_order
    ON on_order.salesforce_key = record.salesforce_key AND record.d365_lake_key IS NULL
LEFT JOIN named_opportunity AS named ON named.lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
{_open_joins("sales_order", same_company=False)}"""


def order_obstacle(relation: str) -> str:
    """Why a won opportunity without an order cannot become one; NULL where nothing stands in the way.

    `relation` is a row of `sales_order_record`, joined with `account_state` (see `account_state_cte`).
    """
    customer = "its customer"
    return f"""CASE
        WHEN {relation}.open_reason = 'ambiguous' THEN {literal(Reason.LINK_AMBIGUOUS)}
        WHEN {relation}.open_reason = 'taken' THEN {literal(Reason.LINK_TAKEN)}
        WHEN {relation}.open_reason = 'broken' THEN {literal(Reason.LINK_BROKEN)}
        WHEN {relation}.is_on_order THEN {literal(Reason.ON_AN_ORDER)}
        WHEN {relation}.account_id IS NULL OR account_state.state = 'missing' THEN {literal(Reason.NO_ACCOUNT)}
        WHEN {relation}.company = {NO_COMPANY} THEN {literal(Reason.NO_COMPANY)}
        WHEN {relation}.lines = 0 THEN {literal(Reason.NO_LINES)}
        WHEN account_state.state = 'quarantined' THEN {literal(Reason.ACCOUNT_QUARANTINED)}
        WHEN account_state.state = 'ambiguous' THEN {literal(f"{Reason.LINK_AMBIGUOUS}: {customer}")}
        WHEN account_state.state = 'taken' THEN {literal(f"{Reason.LINK_TAKEN}: {customer}")}
        WHEN account_state.state = 'broken' THEN {literal(f"{Reason.LINK_BROKEN}: {customer}")}
    END"""


def account_state_cte(contracts: Contracts) -> str:
    """`account_state(account_id, company, state)`: linked, quarantined, missing, or why no customer is linked; NULL: one may be created."""
    customers = contracts["customer"]
    return f"""account_state AS (
    SELECT wanted.account_id, wanted.company, CASE
            WHEN linked.salesforce_id IS NOT NULL THEN 'linked'
            WHEN bad._key IS NOT NULL THEN 'quarantined'
            WHEN account._key IS NULL THEN 'missing'
            ELSE unclear.reason END AS state, linked.d365_key AS customer_account
    FROM (SELECT DISTINCT account_id, company FROM sales_order_record WHERE d365_lake_key IS NULL AND account_id IS NOT NULL) AS wanted
    LEFT JOIN crosswalk_customer AS linked ON linked.salesforce_id = wanted.account_id AND linked.company = wanted.company
    LEFT JOIN (
        SELECT DISTINCT _key FROM quarantined_in_salesforce WHERE table_name = {literal(customers.salesforce.table)}
    ) AS bad ON bad._key = wanted.account_id
    LEFT JOIN (SELECT DISTINCT _key FROM {customers.salesforce.table} WHERE {not_deleted(customers)}) AS account ON account._key = wanted.account_id
    LEFT JOIN crosswalk_customer_open AS unclear
        ON unclear.side = 'salesforce' AND unclear.key = wanted.account_id AND unclear.company = wanted.company
)"""


def _chain(ctes: list[str]) -> str:
    return ",\n".join(ctes)


def _account_here(contract: Contract) -> str:
    side, company = contract.salesforce, contract.link.company
    return f"""account_here AS (
    SELECT DISTINCT ON (_key) _key, {_lower(company)} AS company, cmp_currency AS currency,
        {quoted(contract.field("name").salesforce or "Name")} AS label, {quoted(side.version or "SystemModstamp")} AS changed_at
    FROM {side.table} WHERE {not_deleted(contract)}
)"""


def _customer_here(contract: Contract) -> str:
    company, number = (quoted(name) for name in contract.d365.key)
    party = quoted("PartyNumber") if "PartyNumber" in contract.d365.extra else "NULL::VARCHAR"
    return f"""customer_here AS (
    SELECT DISTINCT ON (_key) _key, lower({company}) AS company, {number} AS number, cmp_currency AS currency,
        {quoted(contract.field("name").d365 or "")} AS label, {party} AS party
    FROM {contract.d365.table}
)"""


def _quarantined_customers(contract: Contract) -> str:
    company = f"nullif(lower({_received(contract.link.company)}), '')"
    return f"""bad_account AS (
    SELECT DISTINCT ON (_key) _key, coalesce({company}, {NO_COMPANY}) AS company, {_received(contract.field("name").salesforce)} AS label
    FROM quarantined_in_salesforce WHERE table_name = {literal(contract.salesforce.table)}
),
bad_customer AS (
    SELECT DISTINCT ON (_key) _key, {_company_and_number(contract)}
    FROM quarantined_in_d365 WHERE table_name = {literal(contract.d365.table)}
)"""


def _wanted(orders: Contract) -> str:
    """The companies in which won opportunities need a customer for an account."""
    account = quoted(orders.field("customer").salesforce or "")
    return f"""wanted AS (
    SELECT DISTINCT won.account_id, coalesce(paired.company, won.company, account.company, {NO_COMPANY}) AS company
    FROM (
        SELECT _key, {account} AS account_id, {_lower(orders.link.company)} AS company
        FROM {orders.salesforce.table} WHERE {in_scope(orders)}
    ) AS won
    LEFT JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = won._key
    LEFT JOIN account_here AS account ON account._key = won.account_id
    WHERE account._key IS NOT NULL OR won.account_id IN (SELECT _key FROM bad_account)
)"""


def _customer_keys() -> str:
    return f"""record AS (
    SELECT salesforce_id AS salesforce_key, d365_lake_key, company, is_primary FROM crosswalk_customer
    UNION ALL
    SELECT wanted.account_id, NULL, wanted.company, true
    FROM wanted
    ANTI JOIN crosswalk_customer AS linked
        ON linked.salesforce_id = wanted.account_id AND (linked.company = wanted.company OR wanted.company = {NO_COMPANY})
    UNION ALL
    SELECT bad._key, NULL, bad.company, true
    FROM bad_account AS bad
    ANTI JOIN crosswalk_customer AS linked ON linked.salesforce_id = bad._key
    ANTI JOIN wanted ON wanted.account_id = bad._key
    UNION ALL
    SELECT NULL, customer._key, customer.company, true
    FROM customer_here AS customer
    ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = customer._key
    UNION ALL
    SELECT NULL, bad._key, bad.company, true
    FROM bad_customer AS bad
    ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = bad._key
    ANTI JOIN customer_here AS customer ON customer._key = bad._key
)"""


def _sibling() -> str:
    """Customers of a party that has another customer in the same company, and that one is linked."""
    return """sibling AS (
    SELECT DISTINCT customer._key AS lake_key
    FROM customer_here AS customer
    JOIN customer_here AS other
        ON other.party = customer.party AND other.company = customer.company AND other._key <> customer._key
    SEMI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = other._key
)"""


def _opportunity_here(contract: Contract) -> str:
    side, lines = contract.salesforce, lines_of(contract)
    name = quoted("Name") if "Name" in side.extra else "NULL::VARCHAR"
    version = quoted(lines.salesforce.version or "SystemModstamp")
    return f"""opportunity_line_count AS (
    SELECT _parent_key, count(*) FILTER ({is_live_in_salesforce(lines)}) AS lines, max({version}) AS changed_at
    FROM {lines.salesforce.table} GROUP BY _parent_key
),
opportunity_here AS (
    SELECT opportunity.* EXCLUDE (changed_at), greatest(opportunity.changed_at, counted.changed_at) AS changed_at, counted.lines
    FROM (
        SELECT DISTINCT ON (_key) _key, {in_scope(contract)} AS is_in_scope, {_lower(contract.link.company)} AS company,
            {quoted(contract.field("customer").salesforce or "")} AS account_id, cmp_currency AS currency,
            {quoted(contract.field("amount").salesforce or "")} AS amount, {name} AS label, {month_of(contract, "salesforce")} AS month,
            {quoted(side.version or "SystemModstamp")} AS changed_at
        FROM {side.table} WHERE {not_deleted(contract)}
    ) AS opportunity
    LEFT JOIN opportunity_line_count AS counted ON counted._parent_key = opportunity._key
)"""


def _order_here(contract: Contract) -> str:
    company, number = (quoted(name) for name in contract.d365.key)
    created = "OrderCreationDateTime"
    created_at = quoted(created) if created in contract.d365.extra else "NULL::TIMESTAMPTZ"
    total = quoted(f"total_{contract.field('amount').d365_sum_of}")
    return f"""order_here AS (
    SELECT sales_order.*, coalesce(line_total.{total}, 0) AS amount
    FROM (
        SELECT DISTINCT ON (_key) _key, lower({company}) AS company, {number} AS number, cmp_currency AS currency,
            coalesce(cmp_order_status = 'canceled', false) AS is_canceled, {created_at} AS created_at,
            {month_of(contract, "d365")} AS month, {_lower(contract.link.reference)} AS reference
        FROM {contract.d365.table}
    ) AS sales_order
    LEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = sales_order._key
)"""


def quarantined_orders(contract: Contract) -> str:
    """The CTEs `bad_opportunity` and `bad_order`: headers in quarantine, or with a line in quarantine (`is_by_line`)."""
    lines = lines_of(contract)
    # A parent key that is a bare order number gets its company from the key of the line.
    parent = "CASE WHEN contains(parent_key, '|') THEN lower(parent_key) ELSE split_part(_key, '|', 1) || '|' || lower(parent_key) END"
    name = "Name" if "Name" in contract.salesforce.extra else None
    return f"""bad_opportunity AS (
    SELECT _key, bool_and(is_by_line) AS is_by_line, any_value("row") AS "row",
        nullif(lower(any_value({_received(contract.link.company)})), '') AS company, any_value({_received(name)}) AS label,
        any_value({_received_month(contract, "salesforce")}) AS month
    FROM (
        SELECT _key, false AS is_by_line, "row"
        FROM quarantined_in_salesforce WHERE table_name = {literal(contract.salesforce.table)}
        UNION ALL
        SELECT parent_key, true, NULL
        FROM quarantined_in_salesforce WHERE table_name = {literal(lines.salesforce.table)} AND parent_key IS NOT NULL
    )
    GROUP BY _key
),
bad_order AS (
    SELECT _key, {_company_and_number(contract)}, is_by_line, {_received_month(contract, "d365")} AS month
    FROM (
        SELECT _key, bool_and(is_by_line) AS is_by_line, any_value("row") AS "row"
        FROM (
            SELECT _key, false AS is_by_line, "row"
            FROM quarantined_in_d365 WHERE table_name = {literal(contract.d365.table)}
            UNION ALL
            SELECT {parent}, true, NULL
            FROM quarantined_in_d365 WHERE table_name = {literal(lines.d365.table)} AND parent_key IS NOT NULL
        )
        GROUP BY _key
    )
)"""


def _order_keys(contract: Contract) -> str:
    won = "\"row\" ->> 'IsWon'" if "IsWon" in contract.salesforce.extra else "NULL"
    return f"""record AS (
    SELECT paired.salesforce_id AS salesforce_key, paired.d365_lake_key
    FROM crosswalk_sales_order AS paired
    LEFT JOIN opportunity_here AS opportunity ON opportunity._key = paired.salesforce_id
    LEFT JOIN order_here AS sales_order ON sales_order._key = paired.d365_lake_key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = paired.salesforce_id
    -- Lost on one side and canceled on the other: both sides agree that there is nothing.
    WHERE coalesce(opportunity.is_in_scope, true) OR NOT coalesce(sales_order.is_canceled, false)
    UNION ALL
    SELECT salesforce_key, d365_key FROM sales_order_group_row
    UNION ALL
    SELECT opportunity._key, NULL
    FROM opportunity_here AS opportunity
    ANTI JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = opportunity._key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = opportunity._key
    WHERE opportunity.is_in_scope
    UNION ALL
    SELECT bad._key, NULL
    FROM bad_opportunity AS bad
    ANTI JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = bad._key
    ANTI JOIN opportunity_here AS opportunity ON opportunity._key = bad._key
    WHERE NOT bad.is_by_line AND lower(coalesce({won}, 'true')) <> 'false'
    UNION ALL
    SELECT NULL, sales_order._key
    FROM order_here AS sales_order
    ANTI JOIN crosswalk_sales_order AS paired ON paired.d365_lake_key = sales_order._key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.d365_key = sales_order._key
    WHERE NOT sales_order.is_canceled
    UNION ALL
    SELECT NULL, bad._key
    FROM bad_order AS bad
    ANTI JOIN crosswalk_sales_order AS paired ON paired.d365_lake_key = bad._key
    ANTI JOIN order_here AS sales_order ON sales_order._key = bad._key
    WHERE NOT bad.is_by_line
)"""


def _named_opportunity(contract: Contract) -> str:
    """What became of the opportunity that an unlinked order names: linked to another order, or deleted."""
    prefix = (contract.create.number_prefix or "").lower()
    return f"""named_opportunity AS (
    SELECT naming.lake_key, max(known.state) AS state
    FROM (
        SELECT _key AS lake_key, reference AS name FROM order_here WHERE reference IS NOT NULL
        UNION ALL
        SELECT _key, substr(lower(number), {len(prefix) + 1}) FROM order_here WHERE starts_with(lower(number), {literal(prefix)})
        UNION ALL
        SELECT d365_key, lower(salesforce_key) FROM sales_order_named WHERE is_sure
    ) AS naming
    JOIN (
        SELECT lower(salesforce_id) AS name, 'linked' AS state FROM crosswalk_sales_order
        UNION ALL
        SELECT lower(_key), 'deleted' FROM {contract.salesforce.table} WHERE NOT ({not_deleted(contract)})
    ) AS known ON known.name = naming.name
    GROUP BY naming.lake_key
)"""


def _company_and_number(contract: Contract) -> str:
    number = f"coalesce(\"row\" ->> {literal(contract.d365.key[-1])}, substr(_key, strpos(_key, '|') + 1))"
    return f"split_part(_key, '|', 1) AS company, {number} AS number"


def _is_repeated(name: str) -> str:
    keys = (
        f"coalesce(record.{key} IN (SELECT _key FROM {name}_repeated), false)"
        for key in ("salesforce_key", "d365_lake_key")
    )
    return " OR ".join(keys)


def _open_joins(entity: str, *, same_company: bool) -> str:
    """What the crosswalk could not decide. Only records without a counterpart are asked about."""
    sf, d365 = ("account_open", "customer_open") if entity == "customer" else ("opportunity_open", "order_open")
    company = f" AND {sf}.company = record.company" if same_company else ""
    first = f"SELECT DISTINCT ON (key{', company' if same_company else ''}) * FROM crosswalk_{entity}_open WHERE side ="
    return f"""LEFT JOIN ({first} 'salesforce') AS {sf}
    ON {sf}.key = record.salesforce_key AND record.d365_lake_key IS NULL{company}
LEFT JOIN ({first} 'd365') AS {d365} ON {d365}.key = record.d365_lake_key AND record.salesforce_key IS NULL"""


def _received(column: str | None) -> str:
    """A value of a quarantined row, as it was received; some of a row that is wrong in one place can be read all the same."""
    return f'"row" ->> {literal(column)}' if column else "NULL::VARCHAR"


def month_of(contract: Contract, system: System) -> str:
    """The month of the order date as `YYYY-MM`, in UTC; NULL where there is no such date."""
    side = contract.salesforce if system == "salesforce" else contract.d365
    days = []
    for name in _ORDER_DATES[system]:
        match side.extra.get(name):
            case "date":
                days.append(quoted(name))
            case "instant":
                days.append(f"({quoted(name)} AT TIME ZONE 'UTC')::DATE")
    return f"strftime(coalesce({', '.join(days)}), '%Y-%m')" if days else "NULL::VARCHAR"


def _received_month(contract: Contract, system: System) -> str:
    """As `month_of`, from a quarantined row: the beginning of a date as both systems write it."""
    side = contract.salesforce if system == "salesforce" else contract.d365
    received = [f"try_cast(left({_received(name)}, 10) AS DATE)" for name in _ORDER_DATES[system] if name in side.extra]
    return f"strftime(coalesce({', '.join(received)}), '%Y-%m')" if received else "NULL::VARCHAR"


def _lower(column: str | None) -> str:
    return f"nullif(lower({quoted(column)}), '')" if column else "NULL::VARCHAR"
