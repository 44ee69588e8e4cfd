r"""Witnesses' cosignatures (c2sp.org/tlog-cosignature, Ed25519: cosignature/v1) below a checkpoint.

    — witness.example/w1 jWbP…base64(4-byte key id || 8-byte big-endian Unix seconds || 64-byte signature)

    cosignature/v1                                 ┐
    time 1679315147                                │
    akashi.invalid/5f2c61d0                        │ what is signed: two lines, then the note's text
    7                                              │
    r5pN…43 characters…=                           ┘

    key id = SHA-256(name || 0x0A || 0x04 || public key)[:4]
    vkey   = name+hex(key id)+base64(0x04 || public key)

Stored create-only, one line an object, as `ledger/anchors/00000000000000000007/witness-8d66cf3f`.

It says: at that time this was the largest tree of that log the witness had seen, and it contains every
tree that it had seen before. The time is the witness's word; no clock of ours goes into it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from evidence.checkpoint import ANCHORS, anchors_of
from evidence.errors import NoteError
from evidence.note import SIGNATURE_BYTES, SignatureLine, SigningKey, VerifierKey, lines_by, split_note

KEY: Final = re.compile(re.escape(ANCHORS) + r"([0-9]{20})/witness-([0-9a-f]{8})")
TIME_BYTES: Final = 8
MAX_TIME: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CosignerKey(VerifierKey):
    """A witness's public key. Its signatures carry their time, so it is never taken for a log's."""

    algorithm: ClassVar[bytes] = b"\x04"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the time and the signature (72 bytes) over a note's text are by this key."""
        time = _time(signature)
        if len(signature) != TIME_BYTES + SIGNATURE_BYTES or time > MAX_TIME:
            return False
        # Named: a dataclass with slots is made anew, and `super()` would not find it.
        return VerifierKey.verify(self, _message(message, time), signature[TIME_BYTES:])


class Cosignature(NamedTuple):
    """One that verified: whose, its time (Unix seconds), and the line itself with its newline."""

    key: CosignerKey
    time: int
    line: str


def cosignature_key(size: int, key: CosignerKey) -> str:
    """The key of the object with a witness's line below the checkpoint of this size."""
    return f"{anchors_of(size)}witness-{key.key_id.hex()}"


def cosigner_of(key: SigningKey) -> CosignerKey:
    """The public half of a key with which cosignatures are made."""
    return CosignerKey(key.name, key.verifier.public)


def cosign_line(key: SigningKey, text: str, time: int) -> str:
    """The cosignature line over a note's text at a time (Unix seconds), with its newline."""
    signature = time.to_bytes(TIME_BYTES, "big") + key.sign(_message(text.encode(), time))
    return str(SignatureLine(key.name, cosigner_of(key).key_id, signature))


def cosignatures(
    note: bytes, keys: Sequence[CosignerKey], *, latest: int | None = None
) -> tuple[Cosignature, ...]:
    """The cosignatures by known keys below a note, in its order; those by others are ignored.

    `latest` (Unix seconds) is the time after which none can have been made. Raises NoteError: the
    rules of `split_note`, or `cosignature` (a known key's does not verify, or has no time that may
    be), `cosignature-twice` (two by one key: which time would hold?), `cosignature-future`.
    """
    text, lines = split_note(note)
    found: dict[CosignerKey, Cosignature] = {}
    for key, line in lines_by(keys, text, lines, "cosignature"):
        if key in found:
            raise NoteError(f"{key.name} cosigned twice", rule="cosignature-twice")
        time = _time(line.signature)
        if latest is not None and time > latest:
            raise NoteError(f"{key.name} cosigned {time - latest} s from now", rule="cosignature-future")
        found[key] = Cosignature(key, time, str(line))
    return tuple(found.values())


def _time(signature: bytes) -> int:
    return int.from_bytes(signature[:TIME_BYTES], "big")


def _message(text: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time + text
