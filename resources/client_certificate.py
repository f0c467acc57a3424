"""A certificate as msal wants it, and when it ends: out of PEM, or of what Key Vault gives for a certificate."""

import base64
import binascii
import re
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tieout.errors import ConfigurationError
from tieout.secret import Secret

_BEGINNING = "-----BEGIN "
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def credential_of(text: str, secret: Secret, thumbprint: str) -> dict[str, str]:
    """`private_key` (PEM) and `thumbprint` (SHA-1, hexadecimal) of a private key with or without its certificate.

    `text` is PEM, or PKCS #12 in base64 without a password, as Key Vault hands a certificate out as a secret. The certificate's own
    thumbprint wins over the given one, so that a renewed certificate needs no other setting. Raises ConfigurationError that names the
    reference and holds nothing of the text.
    """
    if _BEGINNING not in text:
        key, certificate = _unpacked(text, secret)
        return {"private_key": key, "thumbprint": _thumbprint(certificate)}
    found = _certificate_of_pem(text, secret)
    thumbprint = _thumbprint(found) if found is not None else thumbprint
    block = _KEY.search(text)
    if block is None:
        raise ConfigurationError(
            f"{secret} holds no private key. Put the key and the certificate there, both in PEM form."
        )
    if not thumbprint:
        raise ConfigurationError(
            f"{secret} holds a key without its certificate, and D365_CERTIFICATE_THUMBPRINT is not set. Add the certificate, or set it."
        )
    try:
        serialization.load_pem_private_key(block[0].encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable(secret) from None
    return {"private_key": block[0], "thumbprint": thumbprint}


def end_of(text: str, secret: Secret) -> datetime | None:
    """When the certificate in `text` ends, UTC; None for a key without its certificate. Raises as `credential_of`."""
    certificate = _certificate_of_pem(text, secret) if _BEGINNING in text else _unpacked(text, secret)[1]
    return certificate.not_valid_after_utc if certificate is not None else None


def _certificate_of_pem(text: str, secret: Secret) -> x509.Certificate | None:
    if _CERTIFICATE not in text:
        return None
    try:
        return x509.load_pem_x509_certificate(text[text.index(_CERTIFICATE) :].encode())
    except ValueError:
        raise _unusable(secret) from None


def _unpacked(text: str, secret: Secret) -> tuple[str, x509.Certificate]:
    """Key (PEM) and certificate of a PKCS #12."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(text, validate=True), None)
    except (binascii.Error, ValueError):
        raise _unusable(secret) from None
    if key is None or certificate is None:
        raise _unusable(secret)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), certificate


def _thumbprint(certificate: x509.Certificate) -> str:
    # Entra registers and msal sends this one; it names the certificate and protects nothing.
    return certificate.fingerprint(hashes.SHA1()).hex()


def _unusable(secret: Secret) -> ConfigurationError:
    return ConfigurationError(
        f"{secret} is no certificate with its key: neither PEM nor PKCS #12 in base64, or one with a password."
    )
