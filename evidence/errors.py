"""Every error a person can meet, with its exit code and the next step.

The class owns its exit code (documented in docs/cli.md); `detail` says what is wrong in one
line, `next` what to do about it. New errors are added here and there, nowhere else.
"""

from __future__ import annotations

from typing import ClassVar


class AkashiError(Exception):
    """The root: one clear line, a next step, and the exit code of the process that ends on it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, next: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.next = next

    @property
    def name(self) -> str:
        """The error's stable name in JSON, e.g. `store-unavailable`."""
        words = type(self).__name__.removesuffix("Error")
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in words).lstrip("-")


class UsageError(AkashiError):
    """What was asked cannot be understood; nothing was fetched."""

    exit_code = 2


class RefusedError(AkashiError):
    """What was asked is refused by policy before anything started; `code` is a reason's code."""

    exit_code = 6

    def __init__(self, detail: str, *, code: str, next: str = "") -> None:
        super().__init__(detail, next=next)
        self.code = code


class CaptureFailedError(AkashiError):
    """A capture was started and failed; its ledger entry is closed."""

    exit_code = 4


class StoreUnavailableError(AkashiError):
    """The object store cannot be reached, or refuses what evidence needs."""

    exit_code = 5


class ObjectConflictError(StoreUnavailableError):
    """The key already holds other bytes. Immutable means refuse."""


class LedgerUnavailableError(AkashiError):
    """The ledger cannot be appended to."""

    exit_code = 5


class LedgerFencedError(LedgerUnavailableError):
    """A rival sequencer wrote this segment first. Stop; never renumber."""


class CheckFailedError(AkashiError):
    """A verification found something: which `rule` broke, and where.

    Where is `offset` and `length` in bytes, or `field`, the path of a value (`warc.sha256`).
    """

    exit_code = 1

    def __init__(
        self,
        detail: str,
        *,
        rule: str = "",
        offset: int | None = None,
        length: int | None = None,
        field: str = "",
        next: str = "",
    ) -> None:
        super().__init__(detail, next=next)
        self.rule = rule
        self.offset = offset
        self.length = length
        self.field = field


class CanonicalError(CheckFailedError):
    """The bytes are not the one canonical form of their value (RFC 8785)."""


class EntryError(CheckFailedError):
    """A ledger entry breaks a rule of docs/formats/ledger.md."""


class SegmentError(CheckFailedError):
    """A ledger segment breaks a rule of docs/formats/ledger.md."""


class SignatureError(CheckFailedError):
    """A signature is malformed, or not by the key that it names."""


class NoteError(CheckFailedError):
    """A C2SP signed note or checkpoint breaks its specification."""


class ProofError(CheckFailedError):
    """A Merkle proof, tile or `.tlog-proof` is malformed, or does not lead to the root it should."""


class ManifestError(CheckFailedError):
    """A manifest breaks a rule of docs/formats/manifest.md."""


class WarcError(CheckFailedError):
    """A WARC file is not well-formed to its end, or a record's digest is wrong or missing."""
