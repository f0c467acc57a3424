"""The integration log as Dataverse and SharePoint want it, and what their answers mean. Pure: sending is in `resources/log_sinks/`."""

from tieout.log_sinks.row import COLUMNS, Column, LogRow

__all__ = ["COLUMNS", "Column", "LogRow"]
