"""RFC 3161 authorities on loopback: real certificates, real tokens by `openssl ts -reply`, and their misdeeds.

An operator is an authority of its own: root → intermediate → signer, an OCSP responder, and these paths:

    /tsa       a proper answer                    /unordered  with its certificates not in DER's order
    /refuse    status 2, no token                 /replay     always the answer to its first request
    /slow      HTTP 500 after 30 seconds         /broken     HTTP 500
    /huge      more than 64 KB                    /no-use     by a certificate that is not for timestamps
    /expired   by a certificate that expired      /ec         by an ECDSA key
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY: Final = timedelta(days=1)
REFUSAL: Final = bytes.fromhex("30053003020102")
"""TimeStampResp with PKIStatus 2, rejection, and no token."""
TSA_SECTION: Final = """
[tsa]
default_tsa = {name}
[{name}]
serial = serial
signer_cert = {name}.pem
signer_key = {name}.key
certs = intermediate.pem
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256, sha384, sha512
signer_digest = sha256
accuracy = secs:1
ess_cert_id_alg = {ess}
"""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        return bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


class TimestampAuthority:
    """One operator: `with TimestampAuthority("Alpha") as alpha: alpha.url("/tsa")`; `days`: its signers' life."""

    def __init__(self, name: str = "Alpha", *, days: int = 365) -> None:
        self.name, self.days = name, days
        self.requests: list[str] = []
        """Paths that were asked, in order."""

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="akashi-tsa-")
        self.folder = Path(self._temporary.name)
        self._server = _Server(("127.0.0.1", 0), self)
        self._make()
        self._one = threading.Lock()
        self._first: bytes | None = None
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._temporary.cleanup()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/tsa") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def environment(self) -> dict[str, str]:
        """The variables by which Akashi asks this authority and believes it."""
        return environment_of(self)

    def reply(self, request: bytes, name: str = "tsa") -> bytes:
        """What `openssl ts -reply` makes of a request."""
        with self._one:  # openssl counts serial numbers in one file
            (self.folder / "request.tsq").write_bytes(request)
            command = ["openssl", "ts", "-reply", "-queryfile", "request.tsq", "-out", "response.tsr"]
            command += ["-config", f"{name}.cnf", "-section", name]
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
            return (self.folder / "response.tsr").read_bytes()

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request."""
        self.requests.append(path)
        if path == "/slow":
            self._server.stopped.wait(30)
        if path in {"/slow", "/broken"}:
            return 500, b""
        return 200, self._body(path, body)

    def _body(self, path: str, body: bytes) -> bytes:
        if path == "/replay":
            self._first = body = self._first or body
        fixed = {"/refuse": REFUSAL, "/huge": bytes(70_000)}
        if path in fixed:
            return fixed[path]
        if path == "/ocsp":
            return self._ocsp(body)
        if path == "/no-use":
            return self.misused(self.reply(body))
        return self.reply(body, path[1:] if path[1:] in self.signers else "tsa")

    def _make(self) -> None:
        self.root = _issue(f"{self.name} Root", None, days=3650, authority=True)
        self.intermediate = _issue(
            f"{self.name} Timestamping CA", self.root, days=3650, authority=True, padding=600
        )
        under, name = self.intermediate, f"{self.name} Timestamping Unit"
        responder = self.url("/ocsp")
        self.signers = {
            "tsa": _issue(name, under, days=self.days, ocsp_url=responder),
            "unordered": _issue(name, under, days=self.days, padding=1200),
            "expired": _issue(name, under, days=5, begins=-10 * DAY),
            "ec": _issue(name, under, days=self.days, curve=True),
        }
        (self.folder / "root.pem").write_bytes(self.root.pem())
        (self.folder / "intermediate.pem").write_bytes(self.intermediate.pem())
        for kind, issued in self.signers.items():
            (self.folder / f"{kind}.pem").write_bytes(issued.pem())
            (self.folder / f"{kind}.key").write_bytes(issued.key_pem())
            # openssl sends the signer's certificate first: DER's order only if it is the shorter one.
            ess = "sha1" if kind == "ec" else "sha256"
            (self.folder / f"{kind}.cnf").write_text(TSA_SECTION.format(name=kind, ess=ess))

    def misused(self, response: bytes) -> bytes:
        """The response as if by a certificate of the same number and key, but for another use: openssl makes none."""
        der = self.signers["tsa"].certificate.public_bytes(serialization.Encoding.DER)
        return response.replace(der, self.twin(use=False).public_bytes(serialization.Encoding.DER))

    def twin(self, *, use: bool = True) -> x509.Certificate:
        """Another certificate of the signer's number, key and length."""
        like = self.signers["tsa"]
        length = len(like.certificate.public_bytes(serialization.Encoding.DER))
        name, url = f"{self.name} Timestamping Unit", self.url("/ocsp")
        while True:  # an ECDSA signature is a byte or two longer or shorter
            made = _issue(name, self.intermediate, days=self.days, ocsp_url=url, like=like, use=use)
            if len(made.certificate.public_bytes(serialization.Encoding.DER)) == length:
                return made.certificate

    def _ocsp(self, body: bytes) -> bytes:
        asked = ocsp.load_der_ocsp_request(body)
        assert asked.serial_number == self.signers["tsa"].certificate.serial_number
        now = datetime.now(UTC)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self.signers["tsa"].certificate,
            issuer=self.intermediate.certificate,
            algorithm=hashes.SHA1(),  # noqa: S303 - as it was asked
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + DAY,
            revocation_time=None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, self.intermediate.certificate)
        answer = builder.sign(self.intermediate.key, hashes.SHA256())
        return answer.public_bytes(serialization.Encoding.DER)


def environment_of(*authorities: TimestampAuthority, path: str = "/tsa") -> dict[str, str]:
    """Settings that name these authorities and trust their roots."""
    return {
        "AKASHI_TIMESTAMP_AUTHORITIES": ",".join(one.url(path) for one in authorities),
        "AKASHI_TIMESTAMP_ROOTS": ",".join(str(one.folder / "root.pem") for one in authorities),
        "AKASHI_LEDGER_ALLOW_PRIVATE": "1",
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], authority: TimestampAuthority) -> None:
        super().__init__(address, _Handler)
        self.authority, self.stopped = authority, threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.authority.answer(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _issue(
    name: str,
    issuer: Issued | None,
    *,
    days: int,
    begins: timedelta = -DAY,
    authority: bool = False,
    use: bool = True,
    curve: bool = False,
    ocsp_url: str = "",
    padding: int = 0,
    like: Issued | None = None,
) -> Issued:
    key: Any = (
        like.key
        if like
        else ec.generate_private_key(ec.SECP256R1())
        if curve or authority
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    starts = datetime.now(UTC) + begins
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(like.certificate.serial_number if like else x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(starts + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        usage = ExtendedKeyUsageOID.TIME_STAMPING if use else ExtendedKeyUsageOID.CODE_SIGNING
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
    if ocsp_url:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp_url)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    if padding:
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.2"), bytes(padding))
        builder = builder.add_extension(filler, critical=False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
