"""E-mail over SMTP: one message to all recipients, in plain text and HTML."""

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from resources.notices.sink import NotTaken
from tieout.alerting.notice import Notice, as_html, as_text
from tieout.alerting.settings import SmtpSettings
from tieout.errors import AuthenticationProblem

TIMEOUT_S = 15.0


class SmtpMail:
    """A mail server, and who gets the mail."""

    def __init__(self, settings: SmtpSettings, to: Sequence[str], ca_bundle: Path | None = None) -> None:
        self._settings, self._to, self._ca_bundle = settings, list(to), ca_bundle

    def send(self, notice: Notice) -> None:
        """One mail. Where the server refuses some recipients only, the mail is out, and NotTaken would send it to the others again."""
        host = self._settings.host
        try:
            with self._signed_in() as server:
                server.send_message(self._mail(notice))
        except smtplib.SMTPAuthenticationError as error:
            raise AuthenticationProblem(
                f"The mail server {host} refuses the sign-in ({error.smtp_code}). Check TIEOUT_SMTP_USER and TIEOUT_SMTP_PASSWORD."
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise NotTaken(
                f"The mail server {host} offers no {self._missing()}. Check TIEOUT_SMTP_SECURITY and TIEOUT_SMTP_PORT."
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
            raise NotTaken(
                f"The mail server {host} refuses every recipient ({codes}). Check `to` of the sink."
            ) from None
        except smtplib.SMTPResponseException as error:
            # The words of a server repeat addresses; its number says enough.
            raise NotTaken(f"The mail server {host} did not take the mail ({error.smtp_code}).") from None
        except ssl.SSLError:
            raise NotTaken(
                f"The mail server {host}: its certificate is not trusted, or it speaks no TLS on this port; "
                "TIEOUT_CA_BUNDLE names further authorities."
            ) from None
        except (OSError, smtplib.SMTPException):
            raise NotTaken(f"The mail server {host}:{self._settings.port} cannot be reached.") from None

    def _signed_in(self) -> smtplib.SMTP:
        given = self._settings
        tls = ssl.create_default_context(cafile=str(self._ca_bundle) if self._ca_bundle else None)
        server: smtplib.SMTP
        if given.security == "tls":
            server = smtplib.SMTP_SSL(given.host, given.port, timeout=TIMEOUT_S, context=tls)
        else:
            server = smtplib.SMTP(given.host, given.port, timeout=TIMEOUT_S)
        try:
            if given.security == "starttls":
                server.starttls(context=tls)
            if given.user:
                server.login(given.user, given.password)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, notice: Notice) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._to)
        mail["Subject"] = notice.title
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=self._settings.sender.rpartition("@")[2] or None)
        # Holiday notes must not answer a machine.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(as_text(notice))
        mail.add_alternative(as_html(notice), subtype="html")
        return mail

    def _missing(self) -> str:
        return "STARTTLS" if self._settings.security == "starttls" else "sign-in"
