"""Sinks: where notices go. One module for each kind; `open_sink(spec)` gives the one that a name in the alerts file stands for."""

from collections.abc import Mapping

from resources.notices.sink import NotTaken, Sink
from tieout.alerting import SinkSpec, model
from tieout.alerting.settings import ca_bundle, graph_settings, secret_in, smtp_settings, webhook_url

__all__ = ["NotTaken", "Sink", "open_sink"]


def open_sink(spec: SinkSpec, environment: Mapping[str, str] | None = None) -> Sink:
    """The sink of a description, with its address and secret from the environment; nothing is connected before it sends.

    Raises ConfigurationError with the variable that is missing or wrong, and never with what it holds.
    """
    # Imported here: the definitions are loaded without mail, Entra and HTTP.
    authorities = ca_bundle(environment)
    match spec:
        case model.SmtpSink():
            from resources.notices.smtp import SmtpMail

            return SmtpMail(smtp_settings(environment), spec.to, authorities)
        case model.GraphSink():
            from resources.notices.graph import GraphMail

            return GraphMail(graph_settings(environment), spec.to, authorities)
        case model.TeamsSink():
            from resources.notices.teams import TeamsChannel

            return TeamsChannel(webhook_url(spec.url_from, environment), spec.url_from, authorities)
        case model.SlackSink():
            from resources.notices.slack import SlackChannel

            return SlackChannel(webhook_url(spec.url_from, environment), spec.url_from, authorities)
        case model.AppriseSink():
            from resources.notices.apprise import AppriseService

            return AppriseService(secret_in(spec.url_from, environment), spec.url_from)
