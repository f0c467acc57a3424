"""What a customer in D365 is made of: a new one from an account, and a change of one where Salesforce owns the field.

Pure, driven by the contract.
"""

from collections.abc import Mapping
from datetime import datetime

from tieout.contract import Contract
from tieout.errors import RecordError
from tieout.intended import IntendedWrite, newest_version
from tieout.order import LONGEST_KEY, Row
from tieout.payload_values import d365_value


def customer_account(contract: Contract, account: Row) -> str:
    """The number of a new customer: the account's own where it has one that fits, else prefix + account id."""
    own = str(account.get(contract.create.number_from or "") or "").strip()
    if own and len(own) <= LONGEST_KEY:
        return own
    number = f"{contract.create.number_prefix or ''}{account[contract.salesforce.key[0]]}"
    if len(number) > LONGEST_KEY:
        raise RecordError(
            f"Customer account {number!r} is longer than the {LONGEST_KEY} characters of D365. "
            f"Shorten create.number.prefix in {contract.file}."
        )
    return number


def business_key(account_id: str, company: str) -> str:
    """What exists once in D365: the customer of one account in one company."""
    return f"{account_id}/{company}"


def customer_write(contract: Contract, account: Row, company: str = "") -> IntendedWrite:
    """The write that creates the customer of `account` in `company` (default: the company that the account names)."""
    account_id = str(account[contract.salesforce.key[0]])
    company = (company or str(account.get(contract.link.company or "") or "")).strip().casefold()
    if not company:
        raise RecordError(f"Account {account_id} names no company. Fill {contract.link.company} in Salesforce.")
    number = customer_account(contract, account)
    header: dict[str, object] = dict(zip(contract.d365.key, (company, number), strict=True))
    header |= contract.create.constants
    if contract.link.reference:
        header[contract.link.reference] = account_id
    for field in contract.fields:
        value = d365_value(field, account.get(field.salesforce or "")) if field.on_create and field.d365 else None
        if value is not None and field.d365:
            header[field.d365] = value
    version = newest_version([account.get(contract.salesforce.version or "")])
    return IntendedWrite(
        contract.entity, "create", business_key(account_id, company), company, number, header, source_version=version
    )


def customer_change(
    contract: Contract,
    account_id: str,
    company: str,
    account_number: str,
    changed: Mapping[str, object],
    version: datetime | None = None,
) -> IntendedWrite:
    """The write that brings fields of an existing customer to Salesforce's values.

    `changed` maps contract field names to the stored Salesforce values. Only fields that Salesforce owns and the contract lets be written
    may be named. An empty value empties the property: D365 has no null. `version` is the account's.
    """
    header: dict[str, object] = {}
    for name, stored in changed.items():
        field = contract.field(name)
        if field.owner != "salesforce" or field.on_difference != "write" or not field.d365:
            raise RecordError(f"{contract.file}: {name} is not Tieout's to write in D365. Its owner is {field.owner}.")
        value = d365_value(field, stored)
        header[field.d365] = "" if value is None else value
    if not header:
        raise RecordError(f"Nothing to change for account {account_id}.")
    company = company.casefold()
    return IntendedWrite(
        contract.entity,
        "update",
        business_key(account_id, company),
        company,
        account_number,
        header,
        source_version=newest_version([version]),
    )


def customer_differences(contract: Contract, header: Row, found: Row) -> list[str]:
    """Where a customer found under our number is not the one we meant: another name or another currency.

    The names themselves are not repeated: reasons are logged, and a name may be a person's.
    """
    names = [contract.field(name).d365 or "" for name in ("name", "currency")]
    return [
        f"{name} is not the one that was sent"
        for name in names
        # Outer blanks are insignificant in D365's own comparisons.
        if name in header and str(found.get(name) or "").strip().casefold() != str(header[name]).strip().casefold()
    ]
