r"""What a witness does with a checkpoint (c2sp.org/tlog-witness, add-checkpoint): bytes in, a decision out.

    old 20852014                                    the size it holds
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=    consistency proof from there, at most 63 hashes
                                                    an empty line
    example.com/behind-the-sofa                     the checkpoint, as the log signed it
    …

It holds the largest tree of each log that it cosigned, and never cosigns one that does not contain that
one. The same rule, without the log's signature, is what the log's own signer keeps (storage/signer.py).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from evidence.checkpoint import Checkpoint
from evidence.errors import NoteError, ProofError
from evidence.note import VerifierKey, open_note, split_note, unbase64
from evidence.proof import check_consistency
from evidence.tree import EMPTY_ROOT, HASH_BYTES

MAX_PATH: Final = 63
OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE = 200, 400, 403, 404, 409, 422

_OLD: Final = re.compile(rb"old (0|[1-9][0-9]{0,18})")
# A foreign log's sizes may be larger than ours can be, and it may have extension lines.
_BODY: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*")


class Tree(NamedTuple):
    """A tree that was cosigned: its size and root (32 bytes)."""

    size: int
    root: bytes


NOTHING: Final = Tree(0, EMPTY_ROOT)
"""What is held of a log before its first checkpoint."""


class Submission(NamedTuple):
    """The size from which the proof leads, the proof, and the checkpoint's bytes."""

    old: int
    path: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The request's body."""
        lines = (base64.b64encode(one) + b"\n" for one in self.path)
        return b"old %d\n%b\n%b" % (self.old, b"".join(lines), self.note)

    @classmethod
    def decode(cls, data: bytes) -> Submission:
        """The inverse of `encode`. Raises NoteError (rule `request`)."""
        head, _, note = data.partition(b"\n\n")
        first, *lines = head.split(b"\n")
        old = _OLD.fullmatch(first)
        path = [unbase64(line.decode("latin-1")) or b"" for line in lines]
        if old is None or len(path) > MAX_PATH or any(len(one) != HASH_BYTES for one in path):
            raise NoteError(f"not `old N`, at most {MAX_PATH} hashes and a checkpoint", rule="request")
        return cls(int(old[1]), tuple(path), note)


class Decision(NamedTuple):
    """An HTTP status, and one line that says why; with 200 what is to be cosigned, and then held."""

    status: int
    detail: str
    text: str = ""
    checkpoint: Checkpoint | None = None
    held: int | None = None
    """With 409, unless the roots differ: the size from which a proof is wanted."""
    contradicts: bool = False
    """The log signed it, and nothing shows that it continues what the log signed before: to be kept and told."""


def read_text(text: str) -> Checkpoint:
    """Origin, size and root of a checkpoint's text, of any log. Raises NoteError (rule `checkpoint-form`)."""
    matched = _BODY.fullmatch(text)
    root = unbase64(matched[3]) if matched else None
    if matched is None or root is None:
        raise NoteError("not origin, size and root, each in its form", rule="checkpoint-form")
    return Checkpoint(matched[1], int(matched[2]), root)


def add_checkpoint(
    data: bytes, logs: Mapping[str, Sequence[VerifierKey]], held: Callable[[str], Tree]
) -> Decision:
    """What to do with a request's body; `logs` are the keys by origin, `held` what was cosigned last.

    The caller persists the new tree before it answers, and lets nothing come between this and that.
    """
    try:
        submission = Submission.decode(data)
        text, _ = split_note(submission.note)
        checkpoint = read_text(text)
    except NoteError as error:
        return Decision(BAD_REQUEST, error.detail)
    if checkpoint.origin not in logs:
        return Decision(NOT_FOUND, f"{checkpoint.origin!r} is not witnessed here")
    try:
        open_note(submission.note, logs[checkpoint.origin])
    except NoteError as error:
        return Decision(FORBIDDEN, error.detail)
    decision = extend(held(checkpoint.origin), submission, checkpoint)
    return decision._replace(text=text, checkpoint=checkpoint)


def extend(held: Tree, submission: Submission, checkpoint: Checkpoint) -> Decision:
    """Whether a checkpoint, be it signed or not, continues the tree that is held."""
    size, root = checkpoint.size, checkpoint.root
    forked = size == held.size and root != held.root
    if submission.old > size:
        return Decision(BAD_REQUEST, f"old size {submission.old} exceeds the checkpoint's {size}")
    if submission.old != held.size:
        why = f"size {held.size} is held, not {submission.old}"
        return Decision(CONFLICT, why, held=held.size, contradicts=forked)
    if forked:
        return Decision(CONFLICT, f"another root of size {size} is held", contradicts=held.size > 0)
    try:
        check_consistency(held.size, held.root, size, root, submission.path)
    except ProofError as error:
        detail = f"from {held.size} to {size}: {error.detail}"
        return Decision(UNPROCESSABLE, detail, contradicts=held.size > 0)
    return Decision(OK, f"size {size} continues {held.size}", checkpoint=checkpoint)
