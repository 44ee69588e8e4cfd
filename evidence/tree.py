r"""The Merkle tree of RFC 6962 §2.1, and its right edge, which is all that appending needs.

    leaf = SHA-256(0x00 || entry)         node = SHA-256(0x01 || left || right)
    root of nothing = SHA-256("")         a tree of n leaves splits at the largest power of two < n

The leaf hash of an entry is also the next entry's `prev`, so the chain and the tree attest one
another. By hand: `(printf '\0'; cat entry.json) | sha256sum`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Self

from evidence.canonical import JSON

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: 32 bytes over the entry's exact bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two children's hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, written as RFC 6962 §2.1 defines it (log-depth recursion)."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


class Frontier:
    """The roots of the perfect subtrees that a tree of `size` leaves consists of, largest first.

    One hash for each bit set in `size`: appending and the root take O(log size), whatever came before.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} hashes on its edge")
        self.size = size
        self._hashes = list(hashes)

    def copy(self) -> Self:
        """Another that grows on its own."""
        return type(self)(self.size, self._hashes)

    def push(self, leaf: bytes) -> None:
        """Append one leaf hash (32 bytes)."""
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        carry, size = leaf, self.size
        while size & 1:  # each trailing one-bit is a perfect subtree as large as what is carried
            carry = node_hash(self._hashes.pop(), carry)
            size >>= 1
        self._hashes.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root

    def as_json(self) -> dict[str, JSON]:
        """`{"hashes":[hex…],"size":n}`."""
        return {"hashes": [h.hex() for h in self._hashes], "size": self.size}

    @classmethod
    def from_json(cls, value: JSON) -> Self:
        """Inverse of `as_json`. Raises ValueError if it is not one."""
        match value:
            case {"hashes": list(hashes), "size": int(size), **rest} if not rest:
                return cls(size, [bytes.fromhex(str(h)) for h in hashes])
        raise ValueError("not a tree's edge: {hashes, size} expected")
