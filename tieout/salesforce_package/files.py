"""Where each part of the project lies: the layout that the Salesforce CLI calls source format."""

import json

from tieout.contract import Contracts
from tieout.salesforce_package.fields import custom_fields
from tieout.salesforce_package.metadata_xml import document
from tieout.salesforce_package.order_status import EVENT, event_elements, event_fields
from tieout.salesforce_package.rights import permission_set_elements

API_VERSION = "62.0"
"""Version of the Metadata API that the files are written for; organisations take older ones for years."""
PERMISSION_SET = "Tieout_Integration"
_ROOT = "force-app/main/default"


def package_files(contracts: Contracts) -> dict[str, str]:
    """Path below the project → text, by path: `sfdx-project.json`, the fields, the event and its fields, the permission set.

    The same contracts give the same bytes. Raises ContractError with the place of a field that Salesforce would refuse.
    """
    event = event_fields(contracts)
    files = {"sfdx-project.json": _project()}
    for field in (*custom_fields(contracts), *event):
        files[f"{_ROOT}/objects/{field.object}/fields/{field.name}.field-meta.xml"] = document(
            "CustomField", field.elements()
        )
    if event:
        files[f"{_ROOT}/objects/{EVENT}/{EVENT}.object-meta.xml"] = document("CustomObject", event_elements())
    files[f"{_ROOT}/permissionsets/{PERMISSION_SET}.permissionset-meta.xml"] = document(
        "PermissionSet", permission_set_elements(contracts, has_event=bool(event))
    )
    return dict(sorted(files.items()))


def _project() -> str:
    project = {
        "packageDirectories": [{"path": "force-app", "default": True}],
        "name": "tieout",
        "namespace": "",
        "sfdcLoginUrl": "https://login.salesforce.com",
        "sourceApiVersion": API_VERSION,
    }
    return json.dumps(project, indent=2) + "\n"
