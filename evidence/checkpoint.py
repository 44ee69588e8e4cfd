"""A checkpoint (c2sp.org/tlog-checkpoint v1.0.0): the log's signed word on its size and root.

    akashi.invalid/5f2c61d0                          origin
    7                                                size, decimal
    r5pNsIvDq4wBWlmGPL…                              root, base64 of 32 bytes

    — akashi.invalid/5f2c61d0 2GbY…                  signed note, the log's key named as the origin

Stored create-only as `ledger/checkpoints/00000000000000000007`; `ledger/checkpoint` is a pointer
for tlog clients that is overwritten and never trusted. No extension lines.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evidence.errors import NoteError
from evidence.note import VerifierKey, open_note

PREFIX: Final = "ledger/checkpoints/"
POINTER: Final = "ledger/checkpoint"
ANCHORS: Final = "ledger/anchors/"
"""What others say of checkpoints: authorities (evidence/anchors.py) and witnesses (evidence/cosignature.py)."""

# A size below 10^12, as a segment's key can name it; 43 characters and one = hold 32 bytes.
_BODY: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,11})\n([A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Origin, number of entries, and the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The note's text, to be signed with `sign_note`."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def checkpoint_key(size: int) -> str:
    """The object's key: the size in 20 digits, so that the newest sorts last."""
    return f"{PREFIX}{size:020d}"


def anchors_of(size: int) -> str:
    """The folder of what others say of the checkpoint of this size, its slash included."""
    return f"{ANCHORS}{size:020d}/"


def parse_checkpoint(data: bytes, vkeys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint that the log itself signed, with one of `vkeys` that is named as its origin.

    Raises NoteError: the rules of `open_note`, or `checkpoint-form`, `checkpoint-origin`.
    """
    note = open_note(data, vkeys)
    matched = _BODY.fullmatch(note.text)
    if matched is None:
        raise NoteError("not origin, size and root, each in its form", rule="checkpoint-form")
    checkpoint = Checkpoint(matched[1], int(matched[2]), base64.b64decode(matched[3]))
    if checkpoint.body() != note.text:
        raise NoteError("not the one form of this root", rule="checkpoint-form")
    if checkpoint.origin not in note.verified:
        raise NoteError(f"no known key of {checkpoint.origin} signed", rule="checkpoint-origin")
    return checkpoint
