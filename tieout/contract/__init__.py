"""Contracts: which fields there are, who owns them, how they map and compare.

`load_contracts(folder)` gives `Contracts` (entity → `Contract`), which makes the `Table`s with their `Column`s and `Field`s.
"""

from tieout.compared_field import Tolerance
from tieout.contract.check import check_against_d365, check_against_salesforce, written_columns
from tieout.contract.load import load_contracts
from tieout.contract.model import STOPPED, ColumnType, CompareKind, Severity, System
from tieout.contract.tables import (
    AfterDelivery,
    Column,
    Contract,
    Contracts,
    Create,
    Field,
    Lines,
    Link,
    Side,
    Table,
    ValueMap,
)

__all__ = [
    "STOPPED",
    "AfterDelivery",
    "Column",
    "ColumnType",
    "CompareKind",
    "Contract",
    "Contracts",
    "Create",
    "Field",
    "Lines",
    "Link",
    "Severity",
    "Side",
    "System",
    "Table",
    "Tolerance",
    "ValueMap",
    "check_against_d365",
    "check_against_salesforce",
    "load_contracts",
    "written_columns",
]
