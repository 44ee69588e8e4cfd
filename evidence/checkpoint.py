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
from evidence.tree import HASH_BYTES

PREFIX: Final = "ledger/checkpoints/"
POINTER: Final = "ledger/checkpoint"
MAX_SIZE: Final = 10**12
"""Above what a segment's key can name."""

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,11}")
_ROOT: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_LINES: Final = 3


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


def parse_checkpoint(data: bytes, vkeys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint that the log itself signed, with one of `vkeys` that is named as its origin.

    Raises NoteError: the rules of `open_note`, or `checkpoint-form`, `checkpoint-origin`.
    """
    note = open_note(data, vkeys)
    checkpoint = _parse_body(note.text)
    if checkpoint.origin not in note.verified:
        raise NoteError(f"no known key of {checkpoint.origin} signed", rule="checkpoint-origin")
    return checkpoint


def _parse_body(text: str) -> Checkpoint:
    lines = text.split("\n")[:-1]
    if len(lines) != _LINES:
        raise NoteError(f"{len(lines)} lines, not origin, size and root", rule="checkpoint-form")
    origin, size, root = lines
    if not origin or not _SIZE.fullmatch(size) or not _ROOT.fullmatch(root):
        raise NoteError("origin, size or root is malformed", rule="checkpoint-form")
    checkpoint = Checkpoint(origin, int(size), base64.b64decode(root))
    if len(checkpoint.root) != HASH_BYTES or checkpoint.body() != text:
        raise NoteError("not the one form of this size and root", rule="checkpoint-form")
    return checkpoint
