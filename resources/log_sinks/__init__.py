"""Sending the integration log to Dataverse and to SharePoint, each by itself, and keeping how far each is."""

from resources.log_sinks.sending import Pass, send_waiting
from resources.log_sinks.sink import Sent, Sink, open_sink

__all__ = ["Pass", "Sent", "Sink", "open_sink", "send_waiting"]
