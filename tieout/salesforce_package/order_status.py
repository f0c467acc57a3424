"""The platform event that tells subscribers in Salesforce of an order's number, status and amount, as they are in D365."""

from collections.abc import Mapping

from tieout.contract import Contract, Contracts, written_columns
from tieout.salesforce_package.fields import COMPANY_LENGTH, LONGEST_TEXT, CustomField, custom_fields
from tieout.salesforce_package.metadata_xml import Element

EVENT = "ERP_Order_Status__e"
RECORD_ID = "Opportunity_Id__c"
_ID_LENGTH = 18


def event_elements() -> list[Element]:
    """The event's own file. It is published after the commit, so that nobody hears of what is rolled back."""
    return [
        ("deploymentStatus", "Deployed"),
        (
            "description",
            "An order in D365 has another number, status or amount. One event for each change of an opportunity.",
        ),
        ("eventType", "HighVolume"),
        ("label", "ERP Order Status"),
        ("pluralLabel", "ERP Order Statuses"),
        ("publishBehavior", "PublishAfterCommit"),
    ]


def event_fields(contracts: Contracts) -> list[CustomField]:
    """The record's id and company, and every field that the write-back fills on it. Empty where no contract has lines.

    Platform events know Text, Number, Checkbox, Date, DateTime and long text only: picklists become Text, amounts Number.
    """
    orders = next((each for each in contracts.values() if each.lines is not None), None)
    return _fields(contracts, orders) if orders is not None else []


def event_message(
    contract: Contract, salesforce_id: str, company: str, changed: Mapping[str, object]
) -> dict[str, object]:
    """What one event tells: the record, its company, and of the fields that were written back those that have changed."""
    told = {name: changed[name] for name in written_columns(contract.table("salesforce")) if name in changed}
    where = {contract.link.company: company} if contract.link.company and company else {}
    return {RECORD_ID: salesforce_id, **where, **told}


def _fields(contracts: Contracts, orders: Contract) -> list[CustomField]:
    here = orders.salesforce.source
    own = {each.name: each for each in custom_fields(contracts) if each.object == here}
    made = [CustomField(EVENT, RECORD_ID, "Opportunity Id", "Text", _ID_LENGTH, required=True)]
    if orders.link.company:
        made.append(CustomField(EVENT, orders.link.company, "ERP Company", "Text", COMPANY_LENGTH))
    made += [_plain(own[name]) for name in written_columns(orders.table("salesforce")) if name in own]
    return sorted(made, key=lambda each: each.name)


def _plain(field: CustomField) -> CustomField:
    match field.type:
        case "Currency" | "Number":
            return CustomField(EVENT, field.name, field.label, "Number", precision=field.precision, scale=field.scale)
        case "Checkbox" | "Date" | "DateTime":
            return CustomField(EVENT, field.name, field.label, field.type)
        case _:
            return CustomField(EVENT, field.name, field.label, "Text", field.length or LONGEST_TEXT)
