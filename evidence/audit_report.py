"""What an audit is given, and what it gives: no verdict but a list of what is wrong, each with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import BinaryIO, Final, Protocol, TypeVar

from cryptography import x509

from evidence.canonical import JSON
from evidence.cosignature import CosignerKey
from evidence.errors import CheckFailedError
from evidence.note import VerifierKey

LIMITS: Final[Mapping[str, str]] = {
    "truth": "that what was shown is true, who made it or put it there, or whether a machine did",
    "others": "that the server showed it to others too, and of its own will",
    "recorder": "that the machine which recorded was honest: who rules it can show it a forgery",
    "release": "that it ran Akashi as released: the manifest names versions, and nothing attests them",
    "never-started": "that nothing else was tried: an attempt exists from its `capture.started` on",
    "clock": "any time closer than outside timestamps bound it, and without those none",
    "collusion": "that keeper, witnesses and authorities did not all write history anew together",
}
"""What no audit proves (docs/threat-model.md); printed with every report."""

A = TypeVar("A")
B = TypeVar("B")


class Listed(Protocol):
    """One object of a listing."""

    @property
    def key(self) -> str:
        """Its key."""

    @property
    def size(self) -> int:
        """Its bytes."""


class ObjectSource(Protocol):
    """An archive that can be listed and read: the store, a copy of it in a folder, a test's dictionary."""

    def list(self, prefix: str) -> Iterable[Listed]:
        """Every object whose key starts with `prefix`, in the byte order of keys."""

    def versions(self, key: str) -> Sequence[str]:
        """The version ids under exactly this key; more than one means that it was written over."""

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """Stream of the object, or of `length` bytes from `start`. Raises FileNotFoundError."""


class Mapper(Protocol):
    """`map`, or what does the same in order, a bounded number of items ahead, elsewhere."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """Each item's result, in order."""


def serially(function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
    """Nothing ahead, nowhere else."""
    return map(function, items)


@dataclass(frozen=True, slots=True)
class Means:
    """What an audit may use: `fetch` reads from the source in threads, `compute` checks bytes in processes.

    `progress` is told how many entries are checked, and of how many.
    """

    fetch: Mapper = serially
    compute: Mapper = serially
    progress: Callable[[int, int], None] = lambda done, of: None  # noqa: ARG005 - names for the reader


def fetch(source: ObjectSource, asked: tuple[str, int]) -> tuple[str, Sequence[str], bytes]:
    """Key, version ids, and bytes up to one more than asked, of a small object. Raises what the source raises."""
    key, limit = asked
    with source.open(key) as stream:
        return key, source.versions(key), stream.read(limit + 1)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the auditor knows from elsewhere; read it *before* the audit starts, since the log grows.

    `vkeys` are the log's keys; none: the archive's own word is taken, and a note says so. `size` and
    `root` (32 bytes) are the last that the signer remembers or that the auditor wrote down; None:
    entries behind the newest checkpoint could have been dropped unseen, and a note says so.
    """

    vkeys: tuple[VerifierKey, ...] = ()
    size: int | None = None
    root: bytes | None = None
    tsa_roots: tuple[x509.Certificate, ...] = ()
    """Roots of timestamp authorities; none: whose word the timestamps are is not checked, and a note says so."""
    witnesses: tuple[CosignerKey, ...] = ()
    """The policy's; cosignatures by others are counted, and a note says so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: in which object, where in it, which rule of docs/formats/audit.md."""

    object: str
    rule: str
    detail: str
    offset: int | None = None
    length: int | None = None
    field: str = ""
    entry: int | None = None
    """Index of the ledger entry concerned."""

    @classmethod
    def of(cls, key: str, error: CheckFailedError, entry: int | None = None) -> Finding:
        """A failed check of an object."""
        return cls(key, error.rule, error.detail, error.offset, error.length, error.field, entry)

    def as_json(self) -> dict[str, JSON]:
        """`{object, rule, detail, offset, length, field, entry}`, without what does not apply."""
        values = asdict(self) | {"field": self.field or None}
        return {key: value for key, value in values.items() if value is not None}

    def as_line(self) -> str:
        """For people: `ledger/segments/000000000000 bytes 812-1411 entry-changed: …`."""
        where = self.field
        if self.offset is not None:
            span = f"bytes {self.offset}-{self.offset + max(1, self.length or 1) - 1}"
            where = f"{span} ({self.field})" if self.field else span
        return " ".join(filter(None, (self.object, where, f"{self.rule}: {self.detail}")))


@dataclass(slots=True)
class AuditReport:
    """Findings in the order in which the proof met them; notes are facts that are not wrong."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """`anchors`, `entries`, `segments`, `checkpoints`, `captures`, `objects`, `records`, `bytes` that were read."""

    def summary(self) -> str:
        """One line for people."""
        read = ", ".join(f"{number} {name}" for name, number in sorted(self.counts.items()))
        return f"{len(self.findings)} findings, {len(self.notes)} notes; read {read}"

    def versions_of(self, source: ObjectSource, key: str) -> Sequence[str]:
        """The object's version ids; more than one is a finding, since evidence is written once."""
        versions = source.versions(key)
        self.written_once(key, versions)
        return versions

    def written_once(self, key: str, versions: Sequence[str]) -> None:
        """A finding, if there are several."""
        if len(versions) > 1:
            detail = f"written {len(versions)} times: versions {', '.join(versions)}"
            self.findings.append(Finding(key, "object-versions", detail))
