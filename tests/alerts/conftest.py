"""Servers for the sinks, with certificates of an authority that only TIEOUT_CA_BUNDLE makes known."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.common.tls import Certificates, certificates
from tests.alerts.servers import MailServer, WebServer, mail_server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for this machine and the authority that signed it."""
    return certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(authority: Certificates) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


@pytest.fixture
def ca_bundle(authority: Certificates) -> Path:
    return Path(authority.ca)


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def secure_web(tls: ssl.SSLContext) -> Iterator[WebServer]:
    server = WebServer(tls)
    yield server
    server.stop()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server without TLS and sign-in."""
    with mail_server() as server:
        yield server
