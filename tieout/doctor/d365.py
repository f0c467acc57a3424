"""What D365 and the ledger say about the rights of the service user.

D365 tells nobody their rights, and the doctor writes nothing: what may be read is proven by reading it, what may be written by what D365 has
taken before, what may not be read by a refusal.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from tieout.contract import Contract
from tieout.doctor.finding import Finding, Status, good

OTHERS = ("SystemUsers", "SecurityRoles", "LedgerJournalHeaders", "BankAccounts", "VendorsV2", "Workers", "Employees")
"""Entity sets that no contract needs and that a role made for Tieout does not open: users and roles, ledger, bank, vendors, people."""

RENEW_DAYS = 30
"""A certificate that ends sooner is told of."""

_CREATED = ("create",)
_CREATED_AND_CHANGED = ("create", "update")


@dataclass(frozen=True, slots=True)
class Taken:
    """The latest write of its kind that D365 has confirmed in a company."""

    entity: str
    operation: str
    company: str
    at: datetime


def certificate(ends_at: datetime | None, now: datetime) -> Finding:
    """How long the certificate that signs in is still good; None where only its key is known."""
    what = "D365 certificate"
    if ends_at is None:
        return good(what, "a key without its certificate: nobody can tell when it ends")
    days = (ends_at - now).days
    found = f"ends {ends_at:%Y-%m-%d}, in {days} days"
    if days >= RENEW_DAYS:
        return good(what, found)
    status = Status.WARN if ends_at > now else Status.FAIL
    return Finding(
        what,
        status,
        found,
        "Make a new one, register it in Entra beside the old one, and put it into the place of the old one.",
    )


def reading(entity_set: str, rows: int | None, refusal: str = "") -> Finding:
    """Whether an entity set may be read; `rows` over all companies, None where D365 refused, in the words of `refusal`."""
    what = f"D365 may read {entity_set}"
    if rows is None:
        return Finding(what, Status.FAIL, "no", refusal)
    return good(what, f"{rows:,} rows")


def companies(visible: Collection[str], wanted: Collection[str] = ()) -> Finding:
    """Which companies the service user sees, in lower case; those of TIEOUT_COMPANIES are `wanted`."""
    what = "D365 companies"
    missing = sorted(set(wanted) - set(visible))
    if missing:
        advice = "Give the service user's role access to them, or take them out of TIEOUT_COMPANIES."
        return Finding(what, Status.FAIL, f"not visible: {', '.join(missing)}", advice)
    if visible:
        return good(what, f"{len(visible)} visible")
    return Finding(what, Status.FAIL, "0 visible", "Give the service user's role access to the companies.")


def nothing_more(offered: Collection[str], readable: Iterable[str], asked: Collection[str] = OTHERS) -> Finding:
    """Whether entity sets may be read that no contract needs: those of `asked` that are `offered` were tried, and these were `readable`."""
    what = "D365 may read no more"
    open_sets = sorted(readable)
    if open_sets:
        return Finding(
            what,
            Status.WARN,
            f"it may read {', '.join(open_sets)}",
            "A run does not need it. Give the service user a role of its own with the privileges of docs/security.md, and no other role.",
        )
    tried = sorted(set(asked) & set(offered))
    return good(what, f"refused: {', '.join(tried)}" if tried else f"none of {', '.join(asked)} is offered")


def writing(contract: Contract, taken: Iterable[Taken]) -> list[Finding]:
    """What may be created and changed in an entity set, by what D365 has confirmed so far; one finding for each."""
    mine = [each for each in taken if each.entity == contract.entity]
    found = []
    for operation in _operations(contract):
        what = f"D365 may {'create' if operation == 'create' else 'change'} {contract.d365.source}"
        proofs = [each for each in mine if each.operation == operation]
        if proofs:
            last = max(proofs, key=lambda each: each.at)
            found.append(
                good(
                    what,
                    f"{len({each.company for each in proofs})} companies, last in {last.company} at {last.at:%Y-%m-%d %H:%M} UTC",
                )
            )
        else:
            advice = (
                "The doctor writes nothing; the first run that does proves it. Look that the role has the privilege."
            )
            found.append(Finding(what, Status.WARN, "not proven yet", advice))
    return found


def numbers(contract: Contract, wanted: Iterable[str], taken: Iterable[Taken]) -> Finding | None:
    """Whether D365 takes our numbers, company by company, by the records that it has made under them; None where it gives its own."""
    if contract.create.number_given_by != "tieout" or not contract.create.number_prefix:
        return None
    what = f"D365 number sequence of {contract.entity.replace('_', ' ')}"
    proven = {each.company for each in taken if each.entity == contract.entity and each.operation == "create"}
    missing = sorted(set(wanted) - proven)
    if proven and not missing:
        return good(what, f"manual in {', '.join(sorted(proven))}: numbers of ours were taken")
    where = f" in {', '.join(missing)}" if missing else ""
    return Finding(
        what,
        Status.WARN,
        f"not proven yet{where}",
        "D365 does not tell it. Look that Manual is set on the sequence of every company (docs/tenants.md, number sequence), or let D365 give "
        "the numbers: `number: {given_by: d365}`.",
    )


def _operations(contract: Contract) -> tuple[str, ...]:
    if contract.lines is not None:
        follows = "amend" in contract.after_delivery.changed or "stop" in contract.after_delivery.lost
        return _CREATED_AND_CHANGED if follows else _CREATED
    return _CREATED_AND_CHANGED


def is_written(contract: Contract) -> bool:
    """Whether Tieout makes records of this entity in D365 at all."""
    return bool(contract.create.number_prefix or contract.create.number_given_by == "d365")
