"""The permission set of the integration user: what Tieout reads and writes by the contracts, and nothing else.

`tieout doctor` asks the organisation for the same rights, one by one. docs/security.md says why each is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tieout.contract import Contracts, written_columns
from tieout.salesforce_package.fields import is_ours
from tieout.salesforce_package.metadata_xml import Element
from tieout.salesforce_package.order_status import EVENT

LABEL = "Tieout Integration"
SYSTEM_PERMISSIONS = ("ApiEnabled", "ApiUserOnly", "UpdateWithInactiveOwner")
"""API Enabled, API Only User, Update Records with Inactive Owners."""

TOO_POWERFUL = ("ModifyAllData", "ViewAllData", "ManageUsers", "CustomizeApplication", "AuthorApex", "ModifyMetadata")
"""System permissions that open far more than the contracts name."""

# Fields of Salesforce's own that take field permissions; all others are visible with the object, and naming one fails the deployment.
# Values: the name that the permission goes by. Parts of an address are granted by the whole.
_STANDARD: Mapping[str, Mapping[str, str]] = {
    "Account": {
        **{f"Billing{part}": "BillingAddress" for part in ("Street", "City", "State", "PostalCode", "Country")},
        **{f"Shipping{part}": "ShippingAddress" for part in ("Street", "City", "State", "PostalCode", "Country")},
        **{name: name for name in ("AccountNumber", "Fax", "Industry", "ParentId", "Phone", "Website")},
    },
    "Opportunity": {name: name for name in ("AccountId", "Amount", "Description", "LeadSource", "NextStep", "Type")},
    "OpportunityLineItem": {name: name for name in ("Description", "Discount", "ServiceDate")},
    "Product2": {name: name for name in ("Description", "Family", "ProductCode", "QuantityUnitOfMeasure", "StockKeepingUnit")},
}  # fmt: skip

# An object without rights of its own: who may read the other may read this one.
FOLLOWS = {"OpportunityLineItem": "Opportunity"}
_PRICES = "Pricebook2"


@dataclass(frozen=True, slots=True)
class ObjectRights:
    """What the integration user may do with the records of one object. It never deletes and never modifies all."""

    object: str
    read: bool = True
    create: bool = False
    edit: bool = False
    view_all: bool = True


def object_rights(contracts: Contracts) -> list[ObjectRights]:
    """The rights on every object of the contracts, by name. An object is edited where the write-back fills one of its fields."""
    made: dict[str, ObjectRights] = {}
    for table in contracts.tables("salesforce"):
        owner = FOLLOWS.get(table.source, table.source)
        edited = bool(written_columns(table)) or (owner in made and made[owner].edit)
        made[owner] = ObjectRights(owner, edit=edited)
        if table.source in FOLLOWS:
            # Lines show their product through the price book.
            made.setdefault(_PRICES, ObjectRights(_PRICES, view_all=False))
    return [made[name] for name in sorted(made)]


def field_rights(contracts: Contracts) -> dict[str, bool]:
    """`Object.Field` → whether it may be edited, for every field of the contracts that takes field permissions, by name."""
    made: dict[str, bool] = {}
    for table in contracts.tables("salesforce"):
        written = set(written_columns(table))
        for column in table.columns:
            granted = column.name if is_ours(column.name) else _STANDARD.get(table.source, {}).get(column.name)
            if granted is not None:
                made[f"{table.source}.{granted}"] = column.name in written
    return dict(sorted(made.items()))


def permission_set_elements(contracts: Contracts, *, has_event: bool) -> list[Element]:
    """The permission set's file, its elements by the alphabet. Fields of events take no permissions; who may publish one may fill it."""
    objects = object_rights(contracts)
    if has_event:
        objects.append(ObjectRights(EVENT, create=True, view_all=False))
    return [
        ("description", "What Tieout reads and writes, made from its contracts by `tieout salesforce-package`."),
        *(_field(name, editable) for name, editable in field_rights(contracts).items()),
        ("hasActivationRequired", False),
        ("label", LABEL),
        *(_object(each) for each in sorted(objects, key=lambda each: each.object)),
        *(_system(name) for name in sorted(SYSTEM_PERMISSIONS)),
    ]


def _field(name: str, editable: bool) -> Element:
    return ("fieldPermissions", [("editable", editable), ("field", name), ("readable", True)])


def _system(name: str) -> Element:
    return ("userPermissions", [("enabled", True), ("name", name)])


def _object(rights: ObjectRights) -> Element:
    return (
        "objectPermissions",
        [
            ("allowCreate", rights.create),
            ("allowDelete", False),
            ("allowEdit", rights.edit),
            ("allowRead", rights.read),
            ("modifyAllRecords", False),
            ("object", rights.object),
            ("viewAllRecords", rights.view_all),
        ],
    )
