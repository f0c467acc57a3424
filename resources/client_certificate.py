"""A certificate as msal wants it: the private key in PEM and the thumbprint, out of PEM or of what Key Vault gives for a certificate."""

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tieout.errors import ConfigurationError
from tieout.secret import Secret

_BEGINNING = "-----BEGIN "
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def credential_of(text: str, secret: Secret, thumbprint: str) -> dict[str, str]:
    """`private_key` (PEM) and `thumbprint` (SHA-1, hexadecimal) of a private key with or without its certificate.

    `text` is PEM, or PKCS #12 in base64 without a password, as Key Vault hands a certificate out as a secret. The certificate's own
    thumbprint wins over the given one, so that a renewed certificate needs no other setting. Raises ConfigurationError that names the
    reference and holds nothing of the text.
    """
    if _BEGINNING not in text:
        return _of_pkcs12(text, secret)
    if _CERTIFICATE in text:
        try:
            certificate = x509.load_pem_x509_certificate(text[text.index(_CERTIFICATE) :].encode())
        except ValueError:
            raise _unusable(secret) from None
        thumbprint = _thumbprint(certificate)
    if "PRIVATE KEY-----" not in text:
        raise ConfigurationError(
            f"{secret} holds no private key. Put the key and the certificate there, both in PEM form."
        )
    if not thumbprint:
        raise ConfigurationError(
            f"{secret} holds a key without its certificate, and D365_CERTIFICATE_THUMBPRINT is not set. Add the certificate, or set it."
        )
    return {"private_key": text, "thumbprint": thumbprint}


def _of_pkcs12(text: str, secret: Secret) -> dict[str, str]:
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(text, validate=True), None)
    except (binascii.Error, ValueError):
        raise _unusable(secret) from None
    if key is None or certificate is None:
        raise _unusable(secret)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"private_key": pem.decode(), "thumbprint": _thumbprint(certificate)}


def _thumbprint(certificate: x509.Certificate) -> str:
    # Entra registers and msal sends this one; it names the certificate and protects nothing.
    return certificate.fingerprint(hashes.SHA1()).hex()


def _unusable(secret: Secret) -> ConfigurationError:
    return ConfigurationError(
        f"{secret} is no certificate with its key: neither PEM nor PKCS #12 in base64 without a password."
    )
