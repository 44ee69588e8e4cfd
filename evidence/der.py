"""As much DER as a timestamp's certificates need to be put in order, and to be told from others.

    30 03  02 01 07        SEQUENCE of 3 bytes: an INTEGER of one byte, 7

A TimeStampResp (RFC 3161) holds a SignedData (RFC 5652), whose certificates are a SET; DER sorts a SET,
many authorities do not, and rfc3161-client refuses what is not sorted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from evidence.errors import TimestampError

_LONG: Final = 0x80
"""A length octet from here on counts the length octets behind it."""
_CONTEXT_0: Final = 0xA0
_OCTETS: Final = 0x04
_SIGNING_CERTIFICATE: Final = {bytes.fromhex(f"2a864886f70d01091002{last}") for last in ("0c", "2f")}
"""1.2.840.113549.1.9.16.2.12 and .47: the attribute by SHA-1 (RFC 2634), and by any hash (RFC 5035)."""


class Element(NamedTuple):
    """One DER element: tag octet, contents, and all its bytes."""

    tag: int
    body: bytes
    raw: bytes


def elements(data: bytes) -> list[Element]:
    """DER elements that lie one behind another. Raises TimestampError (`decode`)."""
    found, at = [], 0
    while at < len(data):
        length, begin = (data[at + 1] if at + 1 < len(data) else _LONG), at + 2
        if length > _LONG:
            begin += length - _LONG
            length = int.from_bytes(data[at + 2 : begin], "big")
        elif length == _LONG:  # indefinite, or cut off
            raise TimestampError(f"no DER at byte {at}", rule="decode", offset=at)
        if begin + length > len(data):
            raise TimestampError(f"an element at byte {at} runs over the end", rule="decode", offset=at)
        found.append(Element(data[at], data[begin : begin + length], data[at : begin + length]))
        at = begin + length
    return found


def signing_certificates(token: bytes) -> list[bytes]:
    """The hashes by which the signed attributes of a token with one signer name the certificate it signs with.

    Raises TimestampError (`decode`).
    """
    try:
        _, content = elements(elements(token)[0].body)
        (signer,) = elements(elements(elements(content.body)[0].body)[-1].body)
        (signed,) = (part for part in elements(signer.body) if part.tag == _CONTEXT_0)
        pairs = [elements(one.body) for one in elements(signed.body)]
        values = [value for kind, value in pairs if kind.body in _SIGNING_CERTIFICATE]
        for _ in ("SigningCertificate", "certs", "ESSCertID"):  # one in another, the first counts
            values = [elements(value.body)[0] for value in values]
        return [part.body for value in values for part in elements(value.body) if part.tag == _OCTETS]
    except (ValueError, IndexError) as error:
        raise TimestampError("not one signer and his signed attributes", rule="decode") from error


def ordered(response: bytes) -> bytes:
    """The response with its certificates in DER's order; the signature does not cover them.

    Raises TimestampError (`decode`).
    """
    try:
        _, token = elements(elements(response)[0].body)
        _, signed = elements(token.body)
        parts = elements(elements(signed.body)[0].body)
        certificates = [one.raw for part in parts if part.tag == _CONTEXT_0 for one in elements(part.body)]
    except (ValueError, IndexError) as error:
        raise TimestampError("not a status and a signed token", rule="decode") from error
    return response.replace(b"".join(certificates), b"".join(sorted(certificates)), 1)
