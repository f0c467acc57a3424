"""A Key Vault on this machine: the part of its REST protocol that reads secrets, with the challenge that comes first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from azure.core.credentials import AccessToken
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.common.tls import certificates

TENANT = "11111111-2222-3333-4444-555555555555"
CHALLENGE = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'


class StaticCredential:
    """An identity whose token never changes; notes what it was asked for."""

    def __init__(self, token: str = "vault-token") -> None:
        self.token = token
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def get_token(self, *scopes: str, tenant_id: str | None = None, **_: Any) -> AccessToken:
        self.asked.append((scopes, tenant_id))
        return AccessToken(self.token, 4_102_444_800)


@dataclass
class Vault:
    """`secrets` by name; None is one whose newest version is disabled. `asked` has status and path of every call."""

    url: str = ""
    ca: Path = Path()
    secrets: dict[str, str | None] = field(default_factory=dict)
    asked: list[tuple[int, str]] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How often a secret was handed out."""
        return sum(status == 200 for status, _ in self.asked)

    def answer(self, request: Request) -> Response:
        response = self._answer(request)
        self.asked.append((response.status_code, request.url.path))
        return response

    def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            refused = _error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
            refused.headers["WWW-Authenticate"] = CHALLENGE
            return refused
        if token != "vault-token":
            return _error(
                403, "Forbidden", "Caller is not authorized to perform action on resource.", "ForbiddenByRbac"
            )
        if not request.query_params.get("api-version"):
            return _error(400, "BadParameter", "AKV10066: The API version was not specified.")
        if name not in self.secrets:
            return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        value = self.secrets[name]
        if value is None:
            return _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return JSONResponse(
            {
                "value": value,
                "id": f"{self.url}/secrets/{name}/4387e9f3d6e14c459867679a90fd0f79",
                "attributes": {
                    "enabled": True,
                    "created": 1493938410,
                    "updated": 1493938410,
                    "recoveryLevel": "Recoverable",
                },
            }
        )


def _error(status: int, code: str, message: str, inner: str | None = None) -> Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return JSONResponse({"error": error}, status)


@contextmanager
def running_vault(folder: Path) -> Iterator[Vault]:
    """A vault over TLS, until the block ends."""
    vault = Vault()
    files = certificates(folder)
    app = Starlette(
        routes=[
            Route("/secrets/{name}/{version}", vault.answer),
            Route("/secrets/{name}/", vault.answer),
            Route("/secrets/{name}", vault.answer),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, ssl_certfile=files.certificate, ssl_keyfile=files.key, log_level="error", lifespan="off"
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    vault.url = f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    vault.ca = files.ca
    yield vault
    server.should_exit = True
    thread.join(10)
