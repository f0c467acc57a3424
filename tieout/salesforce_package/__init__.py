"""What Tieout needs in a Salesforce organisation, made from the contracts as a project that the Salesforce CLI deploys.

`package_files(contracts)` gives path → text. The custom fields are made in `fields.py`, the rights in `rights.py`, the texts in `metadata_xml.py`.
"""

from tieout.salesforce_package.files import PERMISSION_SET, package_files

__all__ = ["PERMISSION_SET", "package_files"]
