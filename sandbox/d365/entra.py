"""The Entra token endpoint: discovery, client credentials by secret or certificate, AADSTS errors."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.clock import Clock
from sandbox.common.control import json_response, refusal
from sandbox.common.credentials import Credentials
from sandbox.common.switches import Switches
from sandbox.d365.tokens import Tokens

DEFAULT_SCOPE = "/.default"
ASSERTION_ALGORITHMS = ["RS256", "PS256"]
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CERTIFICATE_FILE = "client-certificate.pem"


class _SignInError(Exception):
    """A refusal of Entra: OAuth error, AADSTS number, text, HTTP status."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error, self.number, self.status = error, number, status


class Entra:
    """One tenant with one registered app; its certificate, if any, is the file `client-certificate.pem` of the state."""

    def __init__(
        self, tokens: Tokens, credentials: Credentials, clock: Clock, switches: Switches, state_dir: Path
    ) -> None:
        self._tokens = tokens
        self._credentials = credentials
        self._clock = clock
        self._switches = switches
        self._certificate_file = state_dir / CERTIFICATE_FILE

    def routes(self) -> list[Route]:
        """The routes of login.microsoftonline.com that a confidential client asks for."""
        return [
            Route("/common/discovery/instance", self._instances, methods=["GET"]),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration, methods=["GET"]),
            Route("/{tenant}/.well-known/openid-configuration", self._configuration, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", self._token_v2, methods=["POST"]),
            Route("/{tenant}/oauth2/token", self._token_v1, methods=["POST"]),
            Route("/_sandbox/certificate", self._register_certificate, methods=["POST"]),
        ]

    async def _instances(self, request: Request) -> Response:
        """Instance discovery: this host is an authority under its own name."""
        host = request.headers.get("host", "")
        name = host.rpartition(":")[0] or host
        tenant = self._credentials.tenant_id
        return json_response(
            {
                "tenant_discovery_endpoint": f"https://{host}/{tenant}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [{"preferred_network": name, "preferred_cache": name, "aliases": [name]}],
            }
        )

    async def _configuration(self, request: Request) -> Response:
        try:
            self._check_tenant(request)
        except _SignInError as problem:
            return self._refused(problem)
        root = f"{request.url.scheme}://{request.headers.get('host', '')}/{request.path_params['tenant']}"
        v2 = "/v2.0" if "/v2.0/" in request.url.path else ""
        return json_response(
            {
                "token_endpoint": f"{root}/oauth2{v2}/token",
                "authorization_endpoint": f"{root}/oauth2{v2}/authorize",
                "device_authorization_endpoint": f"{root}/oauth2{v2}/devicecode",
                "issuer": f"{root}{v2}",
                "jwks_uri": f"{root}/discovery{v2}/keys",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "response_types_supported": ["token"],
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
            }
        )

    async def _token_v2(self, request: Request) -> Response:
        return await self._token(request, is_v2=True)

    async def _token_v1(self, request: Request) -> Response:
        return await self._token(request, is_v2=False)

    async def _token(self, request: Request, *, is_v2: bool) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace"), keep_blank_values=True))
        try:
            self._check_tenant(request)
            if form.get("grant_type") != "client_credentials":
                raise _SignInError(
                    "unsupported_grant_type",
                    70003,
                    f"The app requested an unsupported grant type '{form.get('grant_type', '')}'.",
                )
            self._check_client(form, request)
            resource = _resource_of_scope(form) if is_v2 else _wanted(form, "resource")
            if not self._tokens.is_resource(resource.lower()):
                raise _SignInError(
                    "invalid_resource" if is_v2 else "invalid_request",
                    500011,
                    f"The resource principal named {resource} was not found in the tenant named {self._credentials.tenant_id}. "
                    "This can happen if the application has not been installed by the administrator of the tenant.",
                )
        except _SignInError as problem:
            return self._refused(problem)
        token, expires_in = self._tokens.issue(resource, self._switches["token_lifetime_s"])
        return json_response(self._granted(token, expires_in, resource, is_v2=is_v2))

    def _granted(self, token: str, expires_in: int, resource: str, *, is_v2: bool) -> dict[str, Any]:
        if is_v2:
            return {
                "token_type": "Bearer",
                "expires_in": expires_in,
                "ext_expires_in": expires_in,
                "access_token": token,
            }
        now = int(self._clock.timestamp())
        return {
            "token_type": "Bearer",
            "expires_in": str(expires_in),
            "ext_expires_in": str(expires_in),
            "expires_on": str(now + expires_in),
            "not_before": str(now),
            "resource": resource,
            "access_token": token,
        }

    # --- checks ------------------------------------------------------------------------------------------------

    def _check_tenant(self, request: Request) -> None:
        tenant = request.path_params["tenant"]
        if tenant.lower() != self._credentials.tenant_id.lower():
            raise _SignInError(
                "invalid_request",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant.",
            )

    def _check_client(self, form: Mapping[str, str], request: Request) -> None:
        client_id, secret = _client_of(form, request)
        if client_id != self._credentials.client_id:
            raise _SignInError(
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{self._credentials.tenant_id}'. "
                "This can happen if the application has not been installed by the administrator of the tenant.",
            )
        if form.get("client_assertion"):
            self._check_assertion(form, request)
        elif not secret:
            raise _SignInError(
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
                401,
            )
        elif not secrets.compare_digest(secret.encode(), self._client_secret().encode()):
            raise _SignInError(
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
                f"not the client secret ID, for a secret added to app '{client_id}'.",
                401,
            )

    def _client_secret(self) -> str:
        """The secret that the app has been given since, by the switch, or the one of the environment."""
        return str(self._switches["client_secret"]) or self._credentials.client_secret

    def _check_assertion(self, form: Mapping[str, str], request: Request) -> None:
        if form.get("client_assertion_type") != ASSERTION_TYPE or not self._certificate_file.exists():
            raise _bad_assertion("The certificate used to sign the assertion is not registered on the application.")
        certificate = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
        assertion = form["client_assertion"]
        endpoint = str(request.url)
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type]
                ASSERTION_ALGORITHMS,
                audience=[endpoint, endpoint.replace("/oauth2/v2.0/token", "/v2.0")],
                options={"require": ["exp", "iss", "sub", "jti"]},
            )
        except (jwt.InvalidTokenError, ValueError) as problem:
            raise _bad_assertion(
                f"Client assertion failed signature validation or is not acceptable: {problem}."
            ) from None
        if not _names_certificate(header, certificate):
            raise _bad_assertion("The key was not found by its thumbprint.")
        if claims["iss"] != self._credentials.client_id or claims["sub"] != self._credentials.client_id:
            raise _bad_assertion("Issuer and subject of the client assertion must be the client id.")

    def _refused(self, problem: _SignInError) -> Response:
        now = self._clock.now()
        trace, correlation = uuid.uuid4(), uuid.uuid4()
        description = (
            f"AADSTS{problem.number}: {problem} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {now:%Y-%m-%d %H:%M:%SZ}"
        )
        body = {
            "error": problem.error,
            "error_description": description,
            "error_codes": [problem.number],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
            "trace_id": str(trace),
            "correlation_id": str(correlation),
            "error_uri": f"https://login.microsoftonline.com/error?code={problem.number}",
        }
        return json_response(body, problem.status)

    async def _register_certificate(self, request: Request) -> Response:
        """Test-only: make this PEM certificate the app's own."""
        pem = await request.body()
        try:
            x509.load_pem_x509_certificate(pem)
        except ValueError:
            return refusal("Send a certificate in PEM form.")
        self._certificate_file.write_bytes(pem)
        return json_response({"registered": True})


def _client_of(form: Mapping[str, str], request: Request) -> tuple[str, str]:
    """Client id and secret from the body or from the Authorization header."""
    scheme, _, coded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic" and "client_secret" not in form:
        try:
            name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            raise _SignInError("invalid_request", 90014, "The Authorization header cannot be read.") from None
        return unquote(name), unquote(secret)
    return _wanted(form, "client_id"), form.get("client_secret", "")


def _wanted(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise _SignInError(
            "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'."
        )
    return form[name]


def _resource_of_scope(form: Mapping[str, str]) -> str:
    scope = _wanted(form, "scope")
    if not scope.endswith(DEFAULT_SCOPE):
        raise _SignInError(
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI).",
        )
    return scope.removesuffix(DEFAULT_SCOPE)


def _bad_assertion(text: str) -> _SignInError:
    return _SignInError("invalid_client", 700027, text, 401)


def _names_certificate(header: Mapping[str, Any], certificate: x509.Certificate) -> bool:
    """Whether the assertion's header carries the certificate's thumbprint (SHA-1 as `x5t`, SHA-256 as `x5t#S256`)."""
    named = {name: header[name] for name in ("x5t", "x5t#S256") if name in header}
    if not named:
        return False
    expected = {
        "x5t": certificate.fingerprint(hashes.SHA1()),
        "x5t#S256": certificate.fingerprint(hashes.SHA256()),
    }
    return all(
        str(value).rstrip("=") == base64.urlsafe_b64encode(expected[name]).decode().rstrip("=")
        for name, value in named.items()
    )
