"""`UserPermissionAccess`: which system permissions the running user has. It holds one row and no record of anybody else."""

from typing import Any

from sandbox.salesforce.errors import bad_request, no_such_column
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, json_answer
from sandbox.salesforce.soql import FieldPath, Query

OBJECT = "UserPermissionAccess"
_PREFIX = "permissions"
KNOWN = (
    "ApiEnabled", "ApiUserOnly", "AuthorApex", "CustomizeApplication", "ManageUsers", "ModifyAllData",
    "ModifyMetadata", "UpdateWithInactiveOwner", "ViewAllData", "ViewSetup",
)  # fmt: skip


def is_asked_for(query: Query) -> bool:
    """Whether a query is about the running user's system permissions."""
    return len(query.source.parts) == 1 and query.source.parts[0].lower() == OBJECT.lower()


def user_permissions(org: Org, query: Query) -> Answer:
    """The one row, with the selected permissions; INVALID_FIELD for one that the org does not know."""
    granted = {str(name).lower() for name in org.switches["system_permissions"]}
    known = {f"{_PREFIX}{name}".lower(): name for name in KNOWN}
    record: dict[str, Any] = {"attributes": {"type": OBJECT}}
    for item in query.items:
        name = item.parts[-1] if isinstance(item, FieldPath) else ""
        if name.lower() not in known:
            raise bad_request("INVALID_FIELD", no_such_column(name, OBJECT))
        permission = known[name.lower()]
        record[f"Permissions{permission}"] = permission.lower() in granted
    return json_answer({"totalSize": 1, "done": True, "records": [record]})
