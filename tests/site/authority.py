"""The site's own test authority: root → intermediate → leaf, made anew at every start.

Nothing here is trusted by anybody but a client that is given the root (`AKASHI_EXTRA_CA`).
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.site import names

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, and the certificates to send after it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER certificates as sent in the handshake, leaf first."""
        return tuple(c.public_bytes(serialization.Encoding.DER) for c in (self.certificate, *self.above))

    def pem(self) -> bytes:
        """The key and the chain to send, as `SSLContext.load_cert_chain` reads them."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(
            c.public_bytes(serialization.Encoding.PEM) for c in (self.certificate, *self.above)
        )


class Authority:
    """One root and one intermediate; issues leaves."""

    def __init__(self) -> None:
        self.root = _issue("Akashi test site root", None, days=30, authority_depth=1)
        self.intermediate = _issue("Akashi test site intermediate", self.root, days=20, authority_depth=0)

    def root_pem(self) -> bytes:
        """What a client must trust."""
        return self.root.certificate.public_bytes(serialization.Encoding.PEM)

    def leaf(self, *hosts: str, begins: timedelta = -DAY, days: int = 10) -> Identity:
        """A leaf for `hosts`, valid from now + `begins` for `days`, sent with the intermediate."""
        issued = _issue(hosts[0], self.intermediate, days=days, begins=begins, hosts=hosts)
        return Identity(issued.certificate, issued.key, (self.intermediate.certificate,))


def self_signed(host: str) -> Identity:
    """A leaf that vouches for itself."""
    return _issue(host, None, days=10, hosts=(host,))


def server_context(authority: Authority, leaf: Identity) -> ssl.SSLContext:
    """TLS 1.3 and 1.2, HTTP/1.1 only; by the name asked for (SNI), the bad certificates too."""
    context = _context(leaf)
    bad = {
        names.SELF_SIGNED: _context(self_signed(names.SELF_SIGNED)),
        names.EXPIRED: _context(authority.leaf(names.EXPIRED, begins=-9 * DAY, days=8)),
        names.WRONG_NAME: _context(authority.leaf("somebody-else.example.test")),
    }

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> None:
        if server_name in bad:
            connection.context = bad[server_name]

    context.sni_callback = choose
    return context


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(identity.pem())
        context.load_cert_chain(file.name)
    return context


def _issue(
    name: str,
    issuer: Identity | None,
    *,
    days: int,
    begins: timedelta = -DAY,
    authority_depth: int | None = None,
    hosts: tuple[str, ...] = (),
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    starts = datetime.now(UTC) + begins
    is_authority = authority_depth is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(starts + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=authority_depth), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(above, critical=False)
    if hosts:
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] if names.VIDEOS in hosts else []
        alternatives = x509.SubjectAlternativeName([*map(x509.DNSName, hosts), *addresses])
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
