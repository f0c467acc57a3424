"""What a run found, as one value, and that value as a page and as a workbook."""

from tieout.report.headline import Headline
from tieout.report.html import write_html
from tieout.report.model import Report
from tieout.report.rows import (
    Ambiguity,
    ApiCalls,
    Break,
    BridgePart,
    CurrencyTotal,
    Delivery,
    DeliveryCount,
    Duplicate,
    FieldCount,
    MonthTieOut,
    QuarantinedRow,
    Source,
    StepTime,
    TableRead,
    TableVersion,
    TieOut,
    VerdictCount,
    WriteBack,
)
from tieout.report.xlsx import write_xlsx

__all__ = [
    "Ambiguity",
    "ApiCalls",
    "Break",
    "BridgePart",
    "CurrencyTotal",
    "Delivery",
    "DeliveryCount",
    "Duplicate",
    "FieldCount",
    "Headline",
    "MonthTieOut",
    "QuarantinedRow",
    "Report",
    "Source",
    "StepTime",
    "TableRead",
    "TableVersion",
    "TieOut",
    "VerdictCount",
    "WriteBack",
    "write_html",
    "write_xlsx",
]
