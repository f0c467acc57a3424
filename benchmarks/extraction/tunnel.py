"""The road to Salesforce: a proxy that leads every tunnel to the sandbox's TLS port, whatever host was asked for.

Connectors have their login hosts in their code. With this proxy and the sandbox's authority in their environment they run unmodified
(facts/salesforce.md, Running clients with hard-coded login hosts UNMODIFIED); all clients take the same road.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MY_DOMAIN = "tieout.my"
INSTANCE_URL = f"https://{MY_DOMAIN}.salesforce.com"
_SLICE_BYTES = 1 << 18


@contextmanager
def tunnel(tls_port: int) -> Iterator[str]:
    """The address of the proxy, until the end of the block."""
    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listening, tls_port), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        # Closing alone would leave the thread in `accept`.
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def environment(proxy: str, ca: Path) -> dict[str, str]:
    """The variables by which clients find the road and trust the other end."""
    trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(ca))
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy)
    return {**proxies, **trusted, "NO_PROXY": "", "no_proxy": ""}


def _accept(listening: socket.socket, tls_port: int) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listening.accept()
            threading.Thread(target=_lead, args=(caller, tls_port), daemon=True).start()


def _lead(caller: socket.socket, tls_port: int) -> None:
    with caller, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            part = caller.recv(4096)
            if not part:
                return
            head += part
        if not head.startswith(b"CONNECT "):
            caller.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", tls_port)) as sandbox:
            caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for end in (caller, sandbox):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pass, args=(sandbox, caller), daemon=True)
            back.start()
            _pass(caller, sandbox)
            back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(_SLICE_BYTES):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
