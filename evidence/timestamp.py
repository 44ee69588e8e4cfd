"""RFC 3161: an authority's signed word that these bytes existed at its time.

    request   30 44  02 01 01  30 31 <SHA-256 of the data>  02 08 <nonce>  01 01 ff     70 bytes
    response  30 …   30 03 02 01 00  30 … <token: RFC 5652 SignedData over a TSTInfo>

Both are kept as they crossed the wire. A token is judged *at its own time*: an authority's certificate
expires long before the evidence does. So a token says nothing against an authority's stolen key; two
authorities, revocation as it was known then, and the log that holds the token do.

A TimestampError's rule: `decode`, `der-order` (a SET not in DER's order, which rfc3161-client refuses:
ask `openssl ts -verify`, or verify `der.ordered` bytes), `status`, `imprint`, `nonce`, `future`, `signer`
(its certificate is not there, or not the one that is named under the signature, RFC 5816), `certificate-use`
(not critically and only timeStamping, RFC 3161 §2.3), `certificate-time`, `chain`, `signature`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import (
    Accuracy,
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    TimeStampTokenInfo,
    decode_timestamp_response,
)
from rfc3161_client._rust import parse_timestamp_request
from rfc3161_client._rust import verify as rust

from evidence.der import signing_certificates
from evidence.errors import TimestampError

MAX_RESPONSE: Final = 64 << 10
"""Bytes of a response that is read."""
AHEAD: Final = timedelta(seconds=60)
"""How far an authority's clock may be ahead of ours."""
REQUEST_TYPE: Final = "application/timestamp-query"

_ALGORITHMS: Final = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_CERTIFICATE_ERRORS: Final = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
_WHY: Final = re.compile(r"Verify error: ([^\"]+)")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a token that passed says."""

    time: datetime
    """genTime, UTC, without a fraction of a second, which rfc3161-client drops."""
    accuracy: timedelta | None
    """How far off the authority says it may be; None: it does not say."""
    serial: int
    policy: str
    """OID of the authority's policy."""
    imprint: str
    """`sha256`, `sha384` or `sha512`."""
    certificate: x509.Certificate
    """The authority's."""
    chain: tuple[x509.Certificate, ...]
    """All certificates that came along."""
    reordered: bool = False
    """Whether rfc3161-client took it only with its certificates put in order."""

    @property
    def authority(self) -> str:
        """The subject of the authority's certificate (RFC 4514)."""
        return self.certificate.subject.rfc4514_string()

    @property
    def certificate_sha256(self) -> str:
        """Fingerprint of the authority's certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def not_after(self) -> datetime:
        """When the authority's certificate expires, UTC."""
        return self.certificate.not_valid_after_utc


def request_for(data: bytes, algorithm: HashAlgorithm = HashAlgorithm.SHA256) -> bytes:
    """A request over exactly these bytes, with a random nonce, that asks for the certificates."""
    builder = TimestampRequestBuilder().data(data).hash_algorithm(algorithm)
    return builder.nonce(nonce=True).cert_request(cert_request=True).build().as_bytes()


def verify(
    response: bytes,
    request: bytes,
    data: bytes,
    roots: Sequence[x509.Certificate],
    *,
    now: datetime | None = None,
) -> Timestamp:
    """What the response says about the data. Raises TimestampError for the first rule that it breaks."""
    answer = _decoded(response)
    if answer.status != 0:
        why = "; ".join(answer.status_string) or "without a reason"
        raise TimestampError(f"the authority refused (status {answer.status}): {why}", rule="status")
    with _reading("no token"):
        info = answer.tst_info
        imprint, nonce, time = info.message_imprint, info.nonce, info.gen_time.astimezone(UTC)
        algorithm = _ALGORITHMS.get(imprint.hash_algorithm.dotted_string, "")
    if not algorithm or imprint.message != hashlib.new(algorithm, data).digest():
        raise TimestampError("the token is over other bytes", rule="imprint")
    if nonce != _nonce(request):
        raise TimestampError("the token answers another request", rule="nonce")
    if time > (now or datetime.now(UTC)) + AHEAD:
        raise TimestampError(f"the token's time {time:%Y-%m-%dT%H:%M:%SZ} is yet to come", rule="future")
    with _reading("its certificates"):
        chain = tuple(map(x509.load_der_x509_certificate, sorted(answer.signed_data.certificates)))
        (signer,) = ((one.issuer, one.serial_number) for one in answer.signed_data.signer_infos)
        mine = [one for one in chain if (one.issuer, one.serial_number) == signer]
    if not mine:
        raise TimestampError("the signer's certificate is not in the token", rule="signer")
    _check_certificate(mine[0], time)
    _check_named(answer.time_stamp_token(), mine[0])
    _check_signature(answer, time, roots)
    return Timestamp(
        time,
        _accuracy(info),
        info.serial_number,
        info.policy.dotted_string,
        algorithm,
        mine[0],
        chain,
    )


def _accuracy(info: TimeStampTokenInfo) -> timedelta | None:
    said: Accuracy | None = info.accuracy  # typed as if it were always there
    if said is None:
        return None
    return timedelta(seconds=said.seconds or 0, milliseconds=said.millis or 0, microseconds=said.micros or 0)


def _decoded(response: bytes) -> TimeStampResponse:
    if len(response) > MAX_RESPONSE:
        raise TimestampError(f"{len(response)} bytes exceed {MAX_RESPONSE}", rule="decode")
    try:
        return decode_timestamp_response(response)
    except ValueError as error:
        rule = "der-order" if "InvalidSetOrdering" in str(error) else "decode"
        raise TimestampError(str(error), rule=rule) from error


def _nonce(request: bytes) -> int | None:
    try:
        return parse_timestamp_request(request).nonce
    except ValueError as error:
        raise TimestampError(f"the request: {error}", rule="decode") from error


def _check_named(token: bytes, certificate: x509.Certificate) -> None:
    """The signature covers which certificate it is by; issuer and number, which it does not cover, can be changed."""
    data = certificate.public_bytes(Encoding.DER)
    own = {hashlib.new(name, data).digest() for name in ("sha1", *_ALGORITHMS.values())}
    named = signing_certificates(token)
    if not named or not own.issuperset(named):
        what = "the token does not name the certificate that came along as its signer's"
        raise TimestampError(what, rule="signer")


def _check_certificate(certificate: x509.Certificate, time: datetime) -> None:
    with _reading("the signer's certificate"):
        uses = [one for one in certificate.extensions if isinstance(one.value, x509.ExtendedKeyUsage)]
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not any(one.critical and list(one.value) == [ExtendedKeyUsageOID.TIME_STAMPING] for one in uses):
        what = "the signer's certificate is not critically, and only, for timestamps"
        raise TimestampError(what, rule="certificate-use")
    if not begins <= time <= ends:
        what = f"the authority's certificate was valid {begins:%Y-%m-%d} to {ends:%Y-%m-%d}, not at {time:%Y-%m-%d}"
        raise TimestampError(what, rule="certificate-time")


def _check_signature(answer: TimeStampResponse, time: datetime, roots: Sequence[x509.Certificate]) -> None:
    """Chain, then signature, at the token's time, as rfc3161-client's own verifier has them checked."""
    try:
        rust.pkcs7_verify(
            answer.time_stamp_token(), time, [root.public_bytes(Encoding.DER) for root in roots]
        )
    except ValueError as error:
        if why := _WHY.search(str(error)):
            raise TimestampError(f"no chain to a root that was given: {why[1]}", rule="chain") from error
        raise TimestampError("the authority's signature does not verify", rule="signature") from error


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """What cryptography, which parses late, cannot read is a TimestampError (`decode`)."""
    try:
        yield
    except (ValueError, UnsupportedAlgorithm, *_CERTIFICATE_ERRORS) as error:
        raise TimestampError(f"{what}: {error}", rule="decode") from error
