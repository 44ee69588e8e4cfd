r"""As much of CMS (RFC 5652) as a timestamp token needs: who signed what, in which words.

    30 … 06 09 2a864886f70d010702                  ContentInfo: id-signedData
       a0 … 30 …  02 01 03                         SignedData, version 3
            31 …                                   digest algorithms
            30 … 06 0b 2a864886f70d0109100104      id-ct-TSTInfo
                 a0 … 04 … TSTInfo                 what is signed
            a0 … 30 … 30 …                         certificates: a SET, *not* covered by the signature
            31 … 30 … 02 01 01                     the one SignerInfo:
                 30 … issuer, serial               whose certificate
                 30 … a0 … 30 … 04 …               digest; signed attributes; algorithm; signature

rfc3161-client follows chains, but only to roots; this reads the signature itself, which an audit
without any root still must check, and the ESS certificate id (RFC 5035, RFC 5816), which it does not compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from evidence.errors import TimestampError

_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")
_CONTENT_TYPE: Final = bytes.fromhex("2a864886f70d010903")
_MESSAGE_DIGEST: Final = bytes.fromhex("2a864886f70d010904")
_ESS_V1: Final = bytes.fromhex("2a864886f70d010910020c")
_ESS_V2: Final = bytes.fromhex("2a864886f70d010910022f")
_PSS: Final = bytes.fromhex("2a864886f70d01010a")
_HASHES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    bytes.fromhex("608648016503040201"): hashes.SHA256(),
    bytes.fromhex("608648016503040202"): hashes.SHA384(),
    bytes.fromhex("608648016503040203"): hashes.SHA512(),
}
_UNREADABLE: Final = (
    ValueError,
    IndexError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_LONG: Final = 0x80
"""A length octet from here on counts the length octets behind it."""
_SEQUENCE, _SET, _OCTETS, _CONTEXT_0 = 0x30, 0x31, 0x04, 0xA0


class Element(NamedTuple):
    """One DER element: tag octet, contents, and all its bytes."""

    tag: int
    body: bytes
    raw: bytes


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What cryptography, which parses late, or we cannot read is a TimestampError (`decode`)."""
    try:
        yield
    except _UNREADABLE as error:
        raise TimestampError(f"{what}: {error}", rule="decode") from error


def elements(data: bytes) -> list[Element]:
    """DER elements that lie one behind another. Raises TimestampError (`decode`)."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 2]
        length, begin = (head[1] if len(head) > 1 else _LONG), at + 2
        if length > _LONG:
            begin += length - _LONG
            length = int.from_bytes(data[at + 2 : begin], "big")
        elif length == _LONG:  # indefinite, or cut off: BER, but not DER
            raise TimestampError(f"no DER at byte {at}", rule="decode", offset=at)
        if begin + length > len(data):
            raise TimestampError(f"an element at byte {at} runs over the end", rule="decode", offset=at)
        found.append(Element(data[at], data[begin : begin + length], data[at : begin + length]))
        at = begin + length
    return found


def ordered(response: bytes) -> bytes:
    """The response with its certificates in DER's order of a SET, which some authorities do not keep.

    They are not covered by the signature, so nothing that was signed moves. Raises TimestampError (`decode`).
    """
    certificates = [item.raw for item in elements(_parts(_token(response)).certificates)]
    return response.replace(b"".join(certificates), b"".join(sorted(certificates)), 1)


class _Parts(NamedTuple):
    content: bytes
    certificates: bytes
    signer: bytes


def _token(response: bytes) -> bytes:
    with reading("not a status and a token"):
        (whole,) = elements(response)
        _, token = elements(whole.body)
    return token.raw


def _parts(token: bytes) -> _Parts:
    with reading("not a SignedData with one signer"):
        kind, wrapped = elements(elements(token)[0].body)
        _, _, content, *sets = elements(elements(wrapped.body)[0].body)
        what, octets = elements(content.body)
        (signer,) = elements(next((item.body for item in sets if item.tag == _SET), b""))
        certificates = next((item.body for item in sets if item.tag == _CONTEXT_0), b"")
        (message,) = elements(octets.body)
    if (kind.body, what.body, message.tag) != (_SIGNED_DATA, _TST_INFO, _OCTETS):
        raise TimestampError("signs something else than a TSTInfo", rule="decode")
    return _Parts(message.body, certificates, signer.body)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart: the TSTInfo, the certificates that came along, and the signer's own."""

    content: bytes
    certificates: tuple[x509.Certificate, ...]
    signer: x509.Certificate
    _digest: hashes.HashAlgorithm
    _attributes: bytes
    _pss: bool
    _signature: bytes

    @classmethod
    def of(cls, response: bytes) -> Self:
        """Take a response's token apart. Raises TimestampError (`decode`, `algorithm`, `signer`)."""
        parts = _parts(_token(response))
        with reading("its SignerInfo or a certificate is malformed"):
            _, name, digest, attributes, algorithm, signature, *_ = elements(parts.signer)
            issuer, serial = elements(name.body)
            certificates = tuple(
                x509.load_der_x509_certificate(item.raw) for item in elements(parts.certificates)
            )
            digest_oid, algorithm_oid = elements(digest.body)[0].body, elements(algorithm.body)[0].body
            said = int.from_bytes(serial.body, "big", signed=True), issuer.raw
            signers = [one for one in certificates if (one.serial_number, one.issuer.public_bytes()) == said]
        if digest_oid not in _HASHES or attributes.tag != _CONTEXT_0:
            raise TimestampError("signed with a digest that is not SHA-2, or no attributes", rule="algorithm")
        if not signers:
            raise TimestampError("the signer's certificate is not in the token", rule="signer")
        return cls(
            parts.content,
            certificates,
            signers[0],
            _HASHES[digest_oid],
            bytes([_SET]) + attributes.raw[1:],  # signed under the tag of a SET: RFC 5652 §5.4
            algorithm_oid == _PSS,
            signature.body,
        )

    def check(self) -> None:
        """Raise TimestampError (`signature`, `signer`, `algorithm`) unless its signer signed exactly this."""
        attributes = self._signed()
        digest = hashes.Hash(self._digest)
        digest.update(self.content)
        if attributes.get(_CONTENT_TYPE) != _TST_INFO or attributes.get(_MESSAGE_DIGEST) != digest.finalize():
            raise TimestampError("what was signed is not this TSTInfo", rule="signature")
        with reading("the authority's key"):
            key = self.signer.public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                salted = padding.PSS(padding.MGF1(self._digest), padding.PSS.AUTO)
                scheme = salted if self._pss else padding.PKCS1v15()
                key.verify(self._signature, self._attributes, scheme, self._digest)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self._signature, self._attributes, ec.ECDSA(self._digest))
            else:
                raise TimestampError("the authority's key is neither RSA nor ECDSA", rule="algorithm")
        except InvalidSignature as error:
            raise TimestampError("the authority's signature does not verify", rule="signature") from error
        if not self._names_signer(attributes):
            raise TimestampError("the signed certificate id is not the signer's certificate", rule="signer")

    def _signed(self) -> dict[bytes, bytes]:
        """Each signed attribute's one value, by its OID."""
        with reading("its signed attributes are malformed"):
            pairs = [elements(item.body) for item in elements(elements(self._attributes)[0].body)]
            return {oid.body: elements(values.body)[0].body for oid, values in pairs}

    def _names_signer(self, attributes: dict[bytes, bytes]) -> bool:
        """Whether the ESS certificate id is the signer's (RFC 3161 §2.4.2 demands one)."""
        whole = self.signer.public_bytes(Encoding.DER)
        try:
            if (said := attributes.get(_ESS_V2)) is not None:
                first, *more = elements(elements(elements(said)[0].body)[0].body)
                named, algorithm = first, hashes.SHA256().name
                if first.tag == _SEQUENCE:
                    named, algorithm = more[0], _HASHES[elements(first.body)[0].body].name
                return named.body == hashlib.new(algorithm, whole).digest()
            first = elements(elements(elements(attributes[_ESS_V1])[0].body)[0].body)[0]
        except (KeyError, IndexError) as error:
            raise TimestampError("it names no certificate of its signer's", rule="signer") from error
        return first.body == hashlib.sha1(whole, usedforsecurity=False).digest()
