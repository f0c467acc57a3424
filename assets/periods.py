"""Signed periods: a later change of a month that was signed off shows as reopened."""

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import LakeResource, LedgerResource
from resources.signing import reopen_what_changed
from tieout.periods import reason_of


@dg.asset(
    key=["reconciliation", "periods"],
    group_name=catalogue.RECONCILIATION,
    owners=[catalogue.OWNER],
    kinds={"postgres", "deltalake"},
    pool="lake",
    deps=[["reconciliation", "sales_order"], ["reconciliation", "read_again"]],
    description=(
        "The months that people have signed off, company by company. What was signed is frozen; where an order of a signed month is no longer as it "
        "was signed, the month is reopened, and the reason names the orders."
    ),
)
def periods(
    context: dg.AssetExecutionContext, lake: LakeResource, ledger: LedgerResource
) -> dg.MaterializeResult[None]:
    with ledger.opened() as book:
        reopened = reopen_what_changed(lake.lake(), book)
        signed = len(book.periods.signed())
    for signature, different in reopened:
        context.log.warning(f"{signature.month} of {signature.company} is reopened. {reason_of(different)}")
    return outcome(
        f"{signed:,} signed, {len(reopened):,} reopened",
        rows=signed,
        signed=signed,
        reopened=len(reopened),
        changes=dg.MetadataValue.json(
            {f"{each.company}/{each.month}": reason_of(different) for each, different in reopened}
        ),
    )
