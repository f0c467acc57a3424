"""Any other service, by Apprise: PagerDuty, Opsgenie, ntfy, Matrix and a hundred more, each by an address of its own form.

Teams and Slack have modules of their own: Apprise says neither why a service refused nor how long it asks to wait.
"""

import logging

from resources.notices.sink import NotTaken
from tieout.alerting.notice import Notice, as_text
from tieout.errors import ConfigurationError


class AppriseService:
    """One service. `url` is a secret; `variable` holds it."""

    def __init__(self, url: str, variable: str) -> None:
        self._url, self._variable = url, variable

    def send(self, notice: Notice) -> None:
        """One message in plain text."""
        import apprise  # imported here: only a notice pays for it

        # Its own log names addresses and answers.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service = apprise.Apprise()
        if not service.add(self._url):
            raise ConfigurationError(
                f"{self._variable} holds no address that Apprise knows. Its documentation lists the forms."
            )
        urgent = any(item.severity == "critical" and item.due != "recovered" for item in notice.items)
        kind = apprise.NotifyType.FAILURE if urgent else apprise.NotifyType.WARNING
        if not service.notify(
            title=notice.title, body=as_text(notice), notify_type=kind, body_format=apprise.NotifyFormat.TEXT
        ):
            raise NotTaken(
                f"The service of {self._variable} did not take the notice. Check the address and the service."
            )
