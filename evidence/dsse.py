"""The collector's signature over a manifest's bytes: DSSE v1 (secure-systems-lab/dsse, protocol.md).

    what is signed   DSSEv1 36 application/vnd.akashi.manifest+json <size> <manifest's bytes>
    what is stored   {"keyid":"akashi.invalid/5f2c61d0/collector+1f0a77c3","sig":"base64 of 64 bytes"}

The log's own signature says only that the log saw an entry; this one says who collected. `keyid`
is the key's name and id as in its vkey, without the key.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from evidence.errors import SignatureError
from evidence.note import SIGNATURE_BYTES, SigningKey, VerifierKey, unbase64
from evidence.shape import Scalar, Text

PAYLOAD_TYPE: Final = "application/vnd.akashi.manifest+json"


def _is_signature(text: str) -> bool:
    return len(unbase64(text) or b"") == SIGNATURE_BYTES


SIGNATURE: Final = {
    "keyid": Text,
    "sig": Scalar(str, "the base64 of a 64-byte signature", _is_signature, '"[A-Za-z0-9+/]{85}[AQgw]=="'),
}


def pae(payload: bytes) -> bytes:
    """Pre-authentication encoding: lengths in ASCII decimal, so that no two payloads share it."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: VerifierKey) -> str:
    """The name by which signatures of this key go."""
    return f"{key.name}+{key.key_id.hex()}"


def sign(payload: bytes, key: SigningKey) -> dict[str, str]:
    """The collector's signature over a manifest's exact bytes."""
    signature = key.sign(pae(payload))
    return {"keyid": key_id(key.verifier), "sig": base64.b64encode(signature).decode()}


def verify(payload: bytes, signature: Mapping[str, str], vkeys: Sequence[VerifierKey]) -> VerifierKey:
    """The key, one of `vkeys`, whose signature this is.

    Raises SignatureError: rule `signature-form`, `signature-key` (not among `vkeys`) or `signature`.
    """
    if not _is_signature(signature["sig"]):
        raise SignatureError("not the base64 of a 64-byte signature", rule="signature-form")
    key = next((key for key in vkeys if key_id(key) == signature["keyid"]), None)
    if key is None:
        raise SignatureError(f"{signature['keyid']} is no known collector key", rule="signature-key")
    if not key.verify(pae(payload), base64.b64decode(signature["sig"])):
        raise SignatureError(f"the signature of {signature['keyid']} does not verify", rule="signature")
    return key
