"""Certificates made for one run: an authority, and what servers show. Needs ``cryptography``."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificate"]

_DAY: Final = timedelta(days=1)


class Certificate:
    """A certificate with its key.

    Args:
        name: The host it is for, or the name of an authority.
        issuer: The authority that signs it; without one it signs itself.
        authority: Whether it may sign others.
        begins: From when on it is valid, in days from now.
        ends: Until when.
    """

    def __init__(
        self, name: str, issuer: Self | None = None, *, authority: bool = False, begins: int = -2, ends: int = 2
    ) -> None:
        """Make it."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer, now = issuer or self, datetime.now(UTC)
        of_signer = x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=authority,
            crl_sign=authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        self.signed = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * _DAY)
            .not_valid_after(now + ends * _DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_signer), critical=False)
            .sign(signer.key, hashes.SHA256())
        )

    def write(self, file: Path) -> Path:
        """Write the certificate alone, as those who trust it need it."""
        file.write_bytes(self.signed.public_bytes(serialization.Encoding.PEM))
        return file

    def shown(self, folder: Path) -> ssl.SSLContext:
        """What a server that shows it needs."""
        key = folder / f"{self.signed.serial_number}.pem"
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + self.signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(key)
        return context
