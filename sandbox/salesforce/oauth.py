"""`/services/oauth2/…`: tokens for client credentials, JWT assertions and refresh tokens, and who one is."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sandbox.salesforce.catalogue import ORGANIZATION_ID, USER_ID, USERNAME
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, json_answer
from sandbox.salesforce.sessions import Sessions

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PUBLIC_KEY_FILE = "SANDBOX_JWT_PUBLIC_KEY_FILE"
AUDIENCES = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})

# The flow without a user works on the org's own domain only.
SHARED_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com"})

# An `exp` above this is in milliseconds, as the sf CLI sends it.
_MILLISECONDS_FROM = 10**11


class TokenRefused(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


def token(org: Org, sessions: Sessions, form: bytes, headers: Mapping[str, str], base_url: str) -> Answer:
    """`POST /services/oauth2/token`"""
    fields = {
        name: values[-1] for name, values in parse_qs(form.decode("utf-8", "replace"), keep_blank_values=True).items()
    }
    try:
        grant = fields.get("grant_type", "")
        if grant == "client_credentials":
            _check_client(org, fields, headers)
            if base_url.split("://", 1)[1] in SHARED_HOSTS:
                raise TokenRefused("invalid_grant", "request not supported on this domain")
        elif grant == JWT_GRANT:
            _check_assertion(org, fields.get("assertion", ""), base_url)
        elif grant == "refresh_token":
            _check_client(org, fields, headers)
            if fields.get("refresh_token") != org.switches["refresh_token"]:
                raise TokenRefused("invalid_grant", "expired access/refresh token")
        else:
            raise TokenRefused("unsupported_grant_type", "grant type not supported")
    except TokenRefused as refusal:
        return json_answer({"error": refusal.error, "error_description": str(refusal)}, refusal.status)
    opened = sessions.open()
    answer = {
        "access_token": opened,
        "signature": base64.b64encode(os.urandom(32)).decode(),
        "scope": "api",
        "instance_url": base_url,
        "id": f"https://login.salesforce.com/id/{ORGANIZATION_ID}/{USER_ID}",
        "token_type": "Bearer",
        "issued_at": str(int(org.now().timestamp() * 1000)),
    }
    if grant == "client_credentials":
        answer |= {"token_format": "opaque", "api_instance_url": "https://api.salesforce.com"}
    return json_answer(answer)


def identity(base_url: str) -> dict[str, object]:
    """Who the running user is, as `/id/…` and userinfo say."""
    return {
        "id": f"https://login.salesforce.com/id/{ORGANIZATION_ID}/{USER_ID}", "asserted_user": True, "sub": USERNAME,
        "user_id": USER_ID, "organization_id": ORGANIZATION_ID, "username": USERNAME, "preferred_username": USERNAME,
        "display_name": "Integration", "name": "Integration", "user_type": "STANDARD", "active": True,
        "urls": {
            "rest": f"{base_url}/services/data/v{{version}}/", "sobjects": f"{base_url}/services/data/v{{version}}/sobjects/",
            "query": f"{base_url}/services/data/v{{version}}/query/", "custom_domain": base_url,
        },
    }  # fmt: skip


def _check_client(org: Org, fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
    client_id, secret = _client_of(fields, headers)
    if client_id != org.credentials.client_id:
        raise TokenRefused("invalid_client_id", "client identifier invalid")
    if secret != org.client_secret:
        raise TokenRefused("invalid_client", "invalid client credentials")


def _client_of(fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return fields.get("client_id", ""), fields.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise TokenRefused("invalid_client", "invalid client credentials") from None
    return client_id, secret


def _check_assertion(org: Org, assertion: str, base_url: str) -> None:
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise TokenRefused("invalid_grant", "invalid assertion") from None
    if claims.get("iss") != org.credentials.client_id:
        raise TokenRefused("invalid_client_id", "client identifier invalid")
    pem = _public_key(org)
    if not pem:
        raise TokenRefused("invalid_grant", "user hasn't approved this consumer")
    try:
        unchecked = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
        jwt.decode(assertion, _key_of(pem), algorithms=["RS256"], options=unchecked)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError):
        raise TokenRefused("invalid_grant", "invalid assertion") from None
    if str(claims.get("aud", "")).rstrip("/") not in AUDIENCES | {base_url}:
        raise TokenRefused("invalid_grant", "audience is invalid")
    if _expiry(claims.get("exp")) < org.clock.timestamp():
        raise TokenRefused("invalid_grant", "expired authorization code")
    if not claims.get("sub"):
        raise TokenRefused("invalid_grant", "user hasn't approved this consumer")


def _public_key(org: Org) -> bytes:
    given = str(org.switches["jwt_public_key"])
    if given:
        return given.encode()
    named = os.environ.get(PUBLIC_KEY_FILE)
    return Path(named).read_bytes() if named else b""


def _key_of(pem: bytes) -> bytes:
    """A public key in PEM; connected apps are given certificates, so one of those is taken too."""
    if b"BEGIN CERTIFICATE" not in pem:
        return pem
    key = x509.load_pem_x509_certificate(pem).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _expiry(exp: object) -> float:
    """Seconds since 1970; clients send numbers, text, and milliseconds."""
    try:
        value = float(str(exp))
    except ValueError:
        raise TokenRefused("invalid_grant", "invalid assertion") from None
    return value / 1000 if value > _MILLISECONDS_FROM else value
