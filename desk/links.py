"""Links into Salesforce and D365: where a record stands in its own system."""

from dataclasses import dataclass
from urllib.parse import quote

from tieout.contract import Contract
from tieout.odata import key_path

# Menu items of the list pages on which people find a record by its number.
_LIST_PAGES = {"customer": "CustTableListPage", "sales_order": "SalesTableListPage"}


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of both systems, without a slash at the end; empty where a system is not known."""

    salesforce: str
    d365: str

    def to_salesforce(self, contract: Contract, salesforce_id: str) -> str:
        """The record's page in Lightning."""
        if not self.salesforce:
            return ""
        return f"{self.salesforce}/lightning/r/{quote(contract.salesforce.source)}/{quote(salesforce_id, safe='')}/view"

    def to_d365(self, contract: Contract, company: str) -> str:
        """The list of such records in the company; D365 has no address for one record that can be made from its number."""
        item = _LIST_PAGES.get(contract.entity)
        return f"{self.d365}/?cmp={quote(company, safe='')}&mi={item}" if self.d365 and item else ""

    def to_odata(self, contract: Contract, company: str, number: str) -> str:
        """The record as OData gives it."""
        if not self.d365:
            return ""
        keys = dict(zip(contract.d365.key, (company, number), strict=True))
        return f"{self.d365}/data/{key_path(contract.d365.source, keys)}?cross-company=true"
