"""What describe, the system permissions and the limits of a Salesforce say about the rights of the integration user.

The rights that are enough are those of `tieout/salesforce_package/rights.py`; docs/security.md explains them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tieout.contract import Table, written_columns
from tieout.doctor.finding import Finding, Status, good
from tieout.salesforce_package.rights import FOLLOWS, TOO_POWERFUL

QUOTA_WARNING = 0.8
SEEN_AT_LEAST = 0.9
"""Share of an object's records that has to be seen. The organisation's own count is an approximate one."""

_TAKE_AWAY = (
    "A run does not need it: take it away in the permission sets and the profile of the integration user. "
    "`salesforce/` holds a permission set that is enough."
)
_SYSTEM_PERMISSIONS = {
    "ApiEnabled": (Status.FAIL, "Nothing can be read. Give the user API Enabled."),
    "ApiUserOnly": (Status.WARN, "People could sign in as this user. Give it API Only User."),
    "UpdateWithInactiveOwner": (
        Status.WARN,
        "Write-backs to records whose owner has left are refused. Give the user Update Records with Inactive Owners.",
    ),
}

Describe = Mapping[str, Any]


def version(wanted: str, offered: Sequence[str]) -> Finding:
    """The version of the API that is asked for, beside those that the organisation offers (oldest first)."""
    what = "Salesforce API version"
    if wanted in offered:
        return good(what, f"{wanted}; {offered[0]} to {offered[-1]} are offered")
    span = f"{offered[0]} to {offered[-1]}" if offered else "none"
    return Finding(what, Status.FAIL, f"{wanted} is not offered", f"Set SALESFORCE_API_VERSION to one of {span}.")


def reading(table: Table, described: Describe | None, rows: int | None) -> Finding:
    """Whether records of an object may be read; `rows` is how many are seen, None where the question was refused."""
    what = f"Salesforce may read {table.source}"
    if described is None or rows is None or not described.get("queryable", True):
        return Finding(what, Status.FAIL, "no", f"Give the permission set Read and View All on {table.source}.")
    fields = len(described.get("fields", ()))
    return good(what, f"{rows:,} records, {fields} fields")


def editing(table: Table, described: Describe) -> Finding | None:
    """Whether the fields that write-back fills may be edited; None where it fills none."""
    wanted = written_columns(table)
    if not wanted:
        return None
    what = f"Salesforce may edit {table.source}"
    if not described.get("updateable", True):
        return Finding(what, Status.FAIL, "no", f"Give the permission set Edit on {table.source}.")
    fields = {each["name"]: each for each in described.get("fields", ())}
    closed = [name for name in wanted if not fields.get(name, {}).get("updateable", False)]
    if closed:
        advice = f"Give the permission set edit access to {', '.join(f'{table.source}.{name}' for name in closed)}."
        return Finding(what, Status.FAIL, f"not {', '.join(closed)}", advice)
    return good(what, ", ".join(wanted))


def nothing_more(table: Table, described: Describe) -> Finding:
    """Whether more than that may be done with the records of an object: made, deleted, or other fields of ours edited."""
    what = f"Salesforce may do no more with {table.source}"
    if table.source in FOLLOWS:
        # Whoever may edit an opportunity may change its lines; there is no right on lines of their own that could be taken away.
        return good(what, f"its rights are those of {FOLLOWS[table.source]}")
    written = set(written_columns(table))
    more = [word for flag, word in (("createable", "create"), ("deletable", "delete")) if described.get(flag)]
    if described.get("updateable") and not written:
        more.append("edit")
    elif described.get("updateable"):
        open_fields = sorted(_open_fields(table, described) - written)
        more += [f"edit {name}" for name in open_fields]
    if more:
        return Finding(what, Status.WARN, f"it may {', '.join(more)}", _TAKE_AWAY)
    return good(what, "no create, no delete, no other field")


def _open_fields(table: Table, described: Describe) -> set[str]:
    """Fields of the contract that may be edited and could be closed: those without field permissions open with the object."""
    named = {column.name for column in table.columns}
    return {
        each["name"]
        for each in described.get("fields", ())
        if each["name"] in named and each.get("updateable") and each.get("permissionable")
    }


def needed_permissions(granted: Mapping[str, bool | None]) -> list[Finding]:
    """The system permissions that a run needs, one finding each. `granted` by name; None where the organisation does not know one."""
    found = []
    for name, (status, advice) in _SYSTEM_PERMISSIONS.items():
        what = f"Salesforce permission {name}"
        if granted.get(name):
            found.append(good(what, "granted"))
        else:
            found.append(Finding(what, status, "not granted", advice))
    return found


def powers(granted: Mapping[str, bool | None]) -> Finding:
    """The system permissions that open far more than the contracts name."""
    what = "Salesforce permissions, no more"
    more = [name for name in TOO_POWERFUL if granted.get(name)]
    if more:
        return Finding(what, Status.WARN, f"granted: {', '.join(more)}", _TAKE_AWAY)
    return good(what, f"none of {', '.join(TOO_POWERFUL)}")


def asked_permissions() -> tuple[str, ...]:
    """The names of the system permissions that the findings need."""
    return (*_SYSTEM_PERMISSIONS, *TOO_POWERFUL)


def view_all(seen: Mapping[str, int], there: Mapping[str, int] | None) -> Finding:
    """Whether all records are seen: object → records that the user sees, beside those that the organisation counts for itself.

    `there` is None where the user may not ask: Salesforce tells it only to those who may view the setup.
    """
    what = "Salesforce View All"
    if there is None:
        return Finding(
            what,
            Status.WARN,
            "cannot be asked by this user",
            "Without View All a run takes what it does not see for missing. Look in the setup that the permission set grants it, or give the "
            "user View Setup and Configuration while the doctor looks.",
        )
    short = [
        f"{name}: {seen[name]:,} of {there[name]:,}"
        for name in sorted(seen.keys() & there.keys())
        if seen[name] < there[name] * SEEN_AT_LEAST
    ]
    if short:
        return Finding(
            what, Status.FAIL, f"sees {'; '.join(short)}", "Give the permission set View All on these objects."
        )
    return good(what, f"as many records as the organisation counts, of {', '.join(sorted(seen.keys() & there.keys()))}")


def channel(topic: str, problem: str = "", *, is_reached: bool = True) -> Finding:
    """A channel of events that is to be listened to; `problem` says why it cannot be. Runs work without: the schedule finds the same.

    `is_reached`: the service answered, and it is this channel that it refuses.
    """
    what = f"Salesforce events {topic}"
    if not problem:
        return good(what, "can be listened to")
    if not is_reached:
        return Finding(
            what, Status.WARN, problem, "Check SALESFORCE_PUBSUB_ADDRESS, and the way to it through proxy and firewall."
        )
    advice = "Select the object for change data capture, or deploy the event and let the user read it; or take it out of TIEOUT_SALESFORCE_TOPICS."
    return Finding(what, Status.WARN, problem, advice)


def quota(used: int, allowed: int, reserve_percent: int) -> Finding:
    """API calls of the organisation in 24 hours. A run stops when less than the reserve is left."""
    what = "Salesforce API calls of 24 hours"
    found = f"{used:,} of {allowed:,} used"
    if used >= allowed * (100 - reserve_percent) / 100:
        advice = f"A run would stop: {reserve_percent} % are left to others. Run it later, or lower TIEOUT_SALESFORCE_RESERVE_PERCENT."
        return Finding(what, Status.FAIL, found, advice)
    if used > allowed * QUOTA_WARNING:
        return Finding(what, Status.WARN, found, "Run less often, or ask Salesforce for more calls.")
    return good(what, found)


def objects_of(tables: Iterable[Table]) -> tuple[str, ...]:
    """The objects of the contracts that have rights of their own, each once."""
    return tuple(dict.fromkeys(each.source for each in tables if each.source not in FOLLOWS))
