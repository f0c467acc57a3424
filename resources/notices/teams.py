"""Microsoft Teams: a card into a channel, by the webhook of a workflow ("Post to a channel when a webhook request is received")."""

from pathlib import Path

from resources.notices.webhook import post_json
from tieout.alerting.notice import Notice, as_card


class TeamsChannel:
    """One channel. `url` is a secret; `variable` holds it."""

    def __init__(self, url: str, variable: str, ca_bundle: Path | None = None) -> None:
        self._url, self._variable, self._ca_bundle = url, variable, ca_bundle

    def send(self, notice: Notice) -> None:
        """One card."""
        post_json("Teams", self._variable, self._url, as_card(notice), self._ca_bundle)
