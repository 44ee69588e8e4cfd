"""Who may speak to the embedded server's inner ports: nobody but itself.

    <home>/store/tls/ca.crt               the authority; its key was never written
    <home>/store/tls/server.{crt,key}     what each part of the server, and `weed shell`, shows the others
    <home>/store/security.toml            names them, and holds the tokens of the volume's HTTP port

Without them any user of this machine, and so a browser or a parser that was taken over, could delete
objects through the filer's gRPC port, locks or not. May be lost: made anew at the next start.
Source: SeaweedFS 4.48, `weed scaffold -config=security`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storage.files import write_private

_PARTS: Final = ("master", "volume", "filer", "s3", "admin", "worker", "client")
_FILES: Final = ("ca.crt", "server.crt", "server.key")
_AUTHORITY: Final = "Akashi embedded store"
_LIFE: Final = timedelta(days=100 * 365)


def write_security(store: Path) -> None:
    """Write certificates, if they are not there, and `security.toml`. Raises OSError."""
    tls = store / "tls"
    tls.mkdir(mode=0o700, exist_ok=True)
    if not all((tls / name).exists() for name in _FILES):
        for name, data in zip(_FILES, _certificates(), strict=True):
            write_private(tls / name, data)
    shown = 'cert = "tls/server.crt"\nkey = "tls/server.key"\n'
    text = '[grpc]\nca = "tls/ca.crt"\n' + "".join(f"[grpc.{part}]\n{shown}" for part in _PARTS)
    for use in ("signing", "signing.read"):
        text += f'[jwt.{use}]\nkey = "{secrets.token_hex(32)}"\nexpires_after_seconds = 60\n'
    write_private(store / "security.toml", text.encode())


def _certificates() -> tuple[bytes, bytes, bytes]:
    """A new authority's certificate, and a certificate for localhost by it with its key; all PEM."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    local = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    ca = _certificate(_AUTHORITY, authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), True
    )
    leaf = _certificate("localhost", server).add_extension(local, False).add_extension(both, False)
    ca_pem, leaf_pem = (b.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM) for b in (ca, leaf))
    return ca_pem, leaf_pem, server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _AUTHORITY)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(yesterday)
        .not_valid_after(yesterday + _LIFE)
    )
