"""Sinks: where notices go. One module for each kind; `open_sink(spec)` gives the one that a name in the alerts file stands for."""

import os
from collections.abc import Mapping

from resources.notices.sink import NotTaken, Sink
from resources.secrets import with_secrets
from tieout.alerting import SinkSpec, model
from tieout.alerting.settings import ca_bundle, graph_settings, secret_in, smtp_settings, webhook_url

__all__ = ["NotTaken", "Sink", "open_sink"]


def open_sink(spec: SinkSpec, environment: Mapping[str, str] | None = None) -> Sink:
    """The sink of a description, with its address and secret from the environment; nothing is connected before it sends.

    Raises ConfigurationError with the variable that is missing or wrong, and never with what it holds.
    """
    # Imported here: the definitions are loaded without mail, Entra and HTTP.
    authorities = ca_bundle(environment)
    environment = with_secrets(
        os.environ if environment is None else environment, _secrets_of(spec), ca_bundle=authorities
    )
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


def _secrets_of(spec: SinkSpec) -> tuple[str, ...]:
    """The variables that hold secrets of a sink."""
    match spec:
        case model.SmtpSink():
            return ("TIEOUT_SMTP_PASSWORD",)
        case model.GraphSink():
            return ("TIEOUT_GRAPH_CLIENT_SECRET",)
        case _:
            return (spec.url_from,)
