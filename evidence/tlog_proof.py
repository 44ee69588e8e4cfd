"""A proof that stands without us (c2sp.org/tlog-proof@v1): an entry's place in a tree that was signed.

    c2sp.org/tlog-proof@v1
    extra aGVsbG8=                                   only if there are extra bytes, which nothing vouches for
    index 3                                          the entry's
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=     inclusion path, a hash a line, from the sibling upwards
    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
                                                     an empty line
    akashi.invalid/5f2c61d0                          the checkpoint, verbatim, with every signature it has
    7 …

What it is a proof of, the entry's bytes, lies beside it (`entry.json`, `entry.tlog-proof`). Trust comes
from outside: the log's vkey, and a policy of witnesses. One file has one reading: no second way to write it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from evidence.checkpoint import Checkpoint, parse_checkpoint
from evidence.entry import Entry
from evidence.errors import ProofError
from evidence.note import MAX_NOTE, VerifierKey, unbase64
from evidence.proof import check_inclusion
from evidence.tree import HASH_BYTES, leaf_hash

MAGIC: Final = b"c2sp.org/tlog-proof@v1\n"
MAX_PATH: Final = 64
"""Hashes in a path: a tree of 2**64 leaves has no longer one."""
MAX_EXTRA: Final = 1 << 16

_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


class Policy(Protocol):
    """Whose cosignatures a checkpoint must carry (c2sp.org/tlog-policy)."""

    def check(self, note: bytes) -> object:
        """Raises CheckFailedError for a checkpoint that too few of them signed."""
        ...


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Index, inclusion path and signed checkpoint; `extra` is whatever the maker put in."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """The file's bytes. Raises ProofError for what `decode` would refuse."""
        lines = [f"extra {base64.b64encode(self.extra).decode()}"] if self.extra else []
        lines += [f"index {self.index}", *(base64.b64encode(one).decode() for one in self.path), ""]
        data = MAGIC + "".join(f"{line}\n" for line in lines).encode() + self.checkpoint
        type(self).decode(data)
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The proof of exactly these bytes; what they prove is not looked at yet.

        Raises ProofError: `magic`, `form`, `extra`, `index-line`, `path-line`, `size`.
        """
        if not data.startswith(MAGIC):
            raise ProofError(f"the first line is not {MAGIC.decode().strip()}", rule="magic")
        head, separator, checkpoint = data[len(MAGIC) :].partition(b"\n\n")
        if not separator or not checkpoint or not head.isascii():
            raise ProofError("no empty line and checkpoint behind the path, or no ASCII before", rule="form")
        if len(checkpoint) > MAX_NOTE:
            raise ProofError(f"a checkpoint of {len(checkpoint)} bytes exceeds {MAX_NOTE}", rule="size")
        first, *lines = head.decode("ascii").split("\n")
        extra: bytes | None = b""
        if first.startswith("extra "):
            extra = unbase64(first.removeprefix("extra "))
            if not extra or len(extra) > MAX_EXTRA:
                raise ProofError(f"extra data is 1 to {MAX_EXTRA} bytes in base64", rule="extra")
            first, *lines = lines or [""]
        index = _INDEX.fullmatch(first)
        if index is None:
            raise ProofError("no line with the entry's index where it belongs", rule="index-line")
        path = [unbase64(line) for line in lines]
        if len(path) > MAX_PATH or any(one is None or len(one) != HASH_BYTES for one in path):
            raise ProofError(f"a path is at most {MAX_PATH} hashes of 32 bytes in base64", rule="path-line")
        return cls(int(index[1]), tuple(one for one in path if one is not None), checkpoint, extra or b"")

    def check(self, entry: bytes, vkeys: Sequence[VerifierKey], policy: Policy | None = None) -> Checkpoint:
        """The checkpoint under which the entry lies, as shown in four steps.

        1. The log signed it with one of `vkeys`.  2. `policy`, if given, is kept.  3. The entry is one,
        and says the index that is proved.  4. Leaf and path give the root.

        Raises NoteError (1), CheckFailedError (2), CanonicalError, EntryError or ProofError (3, 4).
        """
        checkpoint = parse_checkpoint(self.checkpoint, vkeys)
        if policy is not None:
            policy.check(self.checkpoint)
        said = Entry.decode(entry).index
        if said != self.index:
            raise ProofError(f"the entry says it is {said}, the proof is of {self.index}", rule="entry-index")
        check_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint
