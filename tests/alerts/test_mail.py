"""Mail, over SMTP against a real server and over Graph against a real HTTPS server."""

import json
import ssl
from pathlib import Path

import pytest

from resources.notices import NotTaken, open_sink
from resources.notices.graph import GraphMail
from resources.notices.smtp import SmtpMail
from tests.alerts.samples import HOSTILE, a_notice, an_item
from tests.alerts.servers import PASSWORD, USER, Answer, MailServer, WebServer, mail_server
from tieout.alerting import model
from tieout.alerting.settings import GraphSettings, SmtpSettings, graph_settings, smtp_settings
from tieout.errors import AuthenticationProblem, ConfigurationError

TO = ["desk@example.com", "night@example.com"]
SMTP = {"TIEOUT_SMTP_HOST": "mail.example.com", "TIEOUT_SMTP_FROM": "tieout@example.com"}
GRAPH = {
    "TIEOUT_GRAPH_TENANT_ID": "tenant",
    "TIEOUT_GRAPH_CLIENT_ID": "client",
    "TIEOUT_GRAPH_CLIENT_SECRET": "canary-secret",
    "TIEOUT_GRAPH_SENDER": "tie/out@example.com",
}


def settings_of(server: MailServer, security: str = "none", user: str = "", password: str = "") -> SmtpSettings:
    return SmtpSettings(server.host, server.port, security, "tieout@example.com", user, password)


def test_one_mail_goes_to_all_recipients_as_text_and_html(mail: MailServer) -> None:
    SmtpMail(settings_of(mail), TO).send(a_notice(an_item(), an_item(subject="demf EUR")))

    [sent], [envelope] = mail.mails, mail.envelopes
    assert envelope.rcpt_tos == TO
    assert (sent["Subject"], sent["To"]) == ("Tieout: alerts: 2 on", ", ".join(TO))
    assert sent["Auto-Submitted"] == "auto-generated"
    text, page = sent.get_body(("plain",)), sent.get_body(("html",))
    assert text is not None
    assert page is not None
    assert "demf EUR" in text.get_content()
    assert "demf EUR" in page.get_content()


def test_what_a_company_is_called_adds_no_header_and_no_recipient(mail: MailServer) -> None:
    SmtpMail(settings_of(mail), TO).send(a_notice(an_item(subject=HOSTILE, words=HOSTILE)))

    [sent], [envelope] = mail.mails, mail.envelopes
    assert sent["Bcc"] is None
    assert envelope.rcpt_tos == TO
    page = sent.get_body(("html",))
    assert page is not None
    assert "<script" not in page.get_content()


def test_mail_is_signed_in_to_and_sent_over_starttls(tls: ssl.SSLContext, ca_bundle: Path) -> None:
    with mail_server(tls, sign_in=True) as server:
        SmtpMail(settings_of(server, "starttls", USER, PASSWORD), TO, ca_bundle).send(a_notice())

        assert server.over_tls == [True]


def test_mail_is_sent_over_tls_from_the_first_byte(tls: ssl.SSLContext, ca_bundle: Path) -> None:
    with mail_server(tls, from_first_byte=True) as server:
        SmtpMail(settings_of(server, "tls"), TO, ca_bundle).send(a_notice())

        assert len(server.mails) == 1


def test_tls_towards_a_port_that_speaks_none_is_told(mail: MailServer, ca_bundle: Path) -> None:
    with pytest.raises(NotTaken, match="speaks no TLS on this port"):
        SmtpMail(settings_of(mail, "tls"), TO, ca_bundle).send(a_notice())


def test_a_wrong_password_is_told_and_not_repeated(tls: ssl.SSLContext, ca_bundle: Path) -> None:
    with mail_server(tls, sign_in=True) as server:
        sink = SmtpMail(settings_of(server, "starttls", USER, "canary-wrong"), TO, ca_bundle)

        with pytest.raises(AuthenticationProblem, match=r"535.*TIEOUT_SMTP_PASSWORD") as problem:
            sink.send(a_notice())
        assert "canary" not in str(problem.value)
        assert server.mails == []


def test_a_certificate_that_nobody_vouches_for_ends_before_the_password_is_sent(tls: ssl.SSLContext) -> None:
    with mail_server(tls, sign_in=True) as server:
        with pytest.raises(NotTaken, match=r"certificate is not trusted.*TIEOUT_CA_BUNDLE"):
            SmtpMail(settings_of(server, "starttls", USER, PASSWORD), TO).send(a_notice())
        assert server.mails == []


def test_a_server_without_starttls_gets_nothing(mail: MailServer) -> None:
    with pytest.raises(NotTaken, match=r"offers no STARTTLS.*TIEOUT_SMTP_SECURITY"):
        SmtpMail(settings_of(mail, "starttls"), TO).send(a_notice())

    assert mail.mails == []


def test_a_refused_mail_and_refused_recipients_are_told_by_number_without_addresses(mail: MailServer) -> None:
    sink = SmtpMail(settings_of(mail), TO)

    mail.refuse = "451 try later, desk@example.com"
    with pytest.raises(NotTaken, match=r"did not take the mail \(451\)") as refused:
        sink.send(a_notice())
    mail.refuse_recipients = True
    with pytest.raises(NotTaken, match=r"refuses every recipient \(550\)") as unknown:
        sink.send(a_notice())

    assert "desk@" not in f"{refused.value} {unknown.value}"


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(NotTaken, match=r"127\.0\.0\.1:1 cannot be reached"):
        SmtpMail(SmtpSettings("127.0.0.1", 1, "none", "tieout@example.com"), TO).send(a_notice())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"TIEOUT_SMTP_HOST": ""}, "SMTP needs TIEOUT_SMTP_HOST"),
        ({"TIEOUT_SMTP_PORT": "25000000"}, "TIEOUT_SMTP_PORT is '25000000'"),
        ({"TIEOUT_SMTP_SECURITY": "ssl"}, "It is one of starttls, tls, none"),
        ({"TIEOUT_SMTP_USER": "me"}, "go together"),
        ({"TIEOUT_SMTP_USER": "me", "TIEOUT_SMTP_PASSWORD": "canary", "TIEOUT_SMTP_SECURITY": "none"}, "in the clear"),
    ],
)
def test_mail_settings_that_contradict_themselves_are_told(changes: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as problem:
        smtp_settings(SMTP | changes)

    assert "canary" not in str(problem.value)


def test_the_port_follows_the_security() -> None:
    ports = [smtp_settings(SMTP | {"TIEOUT_SMTP_SECURITY": security}).port for security in ("starttls", "tls", "none")]

    assert ports == [587, 465, 25]
    assert "canary" not in repr(smtp_settings(SMTP | {"TIEOUT_SMTP_USER": "me", "TIEOUT_SMTP_PASSWORD": "canary"}))


def graph_of(server: WebServer) -> GraphSettings:
    return graph_settings(
        GRAPH | {"TIEOUT_GRAPH_URL": server.url, "TIEOUT_GRAPH_AUTHORITY_URL": f"{server.url}/tenant"}
    )


def test_graph_sends_one_mail_from_the_mailbox_with_a_token(secure_web: WebServer, ca_bundle: Path) -> None:
    secure_web.answers = [Answer(202, body=b"")]

    GraphMail(graph_of(secure_web), TO, ca_bundle).send(a_notice(an_item(subject=HOSTILE)))

    [post], [sign_in] = secure_web.posts, secure_web.tokens
    assert post.path == "/v1.0/users/tie%2Fout%40example.com/sendMail"
    assert post.headers["Authorization"] == "Bearer canary-token"
    assert b"grant_type=client_credentials" in sign_in.body
    assert post.json["saveToSentItems"] is False
    assert [each["emailAddress"]["address"] for each in post.json["message"]["toRecipients"]] == TO
    assert post.json["message"]["body"]["contentType"] == "HTML"
    assert "<script" not in post.json["message"]["body"]["content"]
    assert post.json["message"]["subject"].isprintable()


def test_graph_that_throttles_says_how_long_to_wait(secure_web: WebServer, ca_bundle: Path) -> None:
    secure_web.answers = [Answer(429, {"Retry-After": "37"})]

    with pytest.raises(NotTaken, match="asks to wait") as problem:
        GraphMail(graph_of(secure_web), TO, ca_bundle).send(a_notice())

    assert problem.value.wait_s == 37


def test_graph_that_refuses_is_told_by_its_code(secure_web: WebServer, ca_bundle: Path) -> None:
    words = json.dumps({"error": {"code": "ErrorAccessDenied", "message": "canary of tie/out@example.com"}}).encode()
    secure_web.answers = [Answer(403, body=words)]

    with pytest.raises(AuthenticationProblem, match=r"HTTP 403, ErrorAccessDenied.*Mail\.Send") as problem:
        GraphMail(graph_of(secure_web), TO, ca_bundle).send(a_notice())

    assert "canary" not in str(problem.value)


def test_a_refused_sign_in_for_graph_names_the_variables_and_no_secret(secure_web: WebServer, ca_bundle: Path) -> None:
    secure_web.refuses_sign_in = True

    with pytest.raises(AuthenticationProblem, match=r"invalid_client.*TIEOUT_GRAPH_CLIENT_SECRET") as problem:
        GraphMail(graph_of(secure_web), TO, ca_bundle).send(a_notice())

    assert "canary" not in str(problem.value)
    assert secure_web.posts == []


def test_graph_whose_entra_is_away_is_not_taken(ca_bundle: Path) -> None:
    away = graph_settings(GRAPH | {"TIEOUT_GRAPH_AUTHORITY_URL": "https://127.0.0.1:1/tenant"})

    with pytest.raises(NotTaken, match="cannot be reached"):
        GraphMail(away, TO, ca_bundle).send(a_notice())


def test_what_graph_needs_is_named_all_at_once() -> None:
    with pytest.raises(ConfigurationError, match="TIEOUT_GRAPH_TENANT_ID, TIEOUT_GRAPH_CLIENT_ID"):
        open_sink(model.GraphSink(kind="graph", to=TO), {})
    with pytest.raises(ConfigurationError, match="TIEOUT_GRAPH_URL uses plain http"):
        graph_settings(GRAPH | {"TIEOUT_GRAPH_URL": "http://graph.example.com"})
    assert "canary" not in repr(graph_settings(GRAPH))
