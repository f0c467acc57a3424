"""Slack: a message into a channel, by an incoming webhook."""

from pathlib import Path

from resources.notices.webhook import post_json
from tieout.alerting.notice import Notice, as_slack


class SlackChannel:
    """One channel. `url` is a secret; `variable` holds it."""

    def __init__(self, url: str, variable: str, ca_bundle: Path | None = None) -> None:
        self._url, self._variable, self._ca_bundle = url, variable, ca_bundle

    def send(self, notice: Notice) -> None:
        """One message."""
        post_json("Slack", self._variable, self._url, as_slack(notice), self._ca_bundle)
