"""A small whole archive in memory, and a dictionary that stands for the store. Every byte is deterministic."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from evidence.audit import AuditReport, Expectations, audit
from evidence.canonical import canonical
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.custody import places
from evidence.digests import digest_bytes
from evidence.dsse import sign
from evidence.entry import CLOSING, Entry, chain
from evidence.manifest import request_digests, reseal, seal
from evidence.note import sign_note
from evidence.segment import encode_segment, segment_key
from evidence.tree import leaf_hash, root_of
from tests.evidence import samples, warcs

URI = "https://video.example/v.mp4"


@dataclass(frozen=True)
class Head:
    key: str
    size: int


@dataclass
class MemoryArchive:
    """Objects by key, each with its versions, oldest first; a stand-in for a store (named as such)."""

    objects: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    puts: int = 0

    def put(self, key: str, data: bytes) -> str:
        self.puts += 1
        version = f"v{self.puts}"
        self.objects.setdefault(key, []).append((version, data))
        return version

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Change bytes at rest, as somebody with access to the disk would."""
        version = self.objects[key][-1][0]
        self.objects[key][-1] = (version, data)

    def data(self, key: str) -> bytes:
        return self.objects[key][-1][1]

    def list(self, prefix: str) -> Iterator[Head]:
        return (Head(key, len(self.data(key))) for key in sorted(self.objects) if key.startswith(prefix))

    def versions(self, key: str) -> Sequence[str]:
        return [version for version, _ in reversed(self.objects.get(key, []))]

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        for known, data in reversed(self.objects.get(key, [])):
            if version in {None, known}:
                begin = start or 0
                return io.BytesIO(data[begin:] if length is None else data[begin : begin + length])
        raise FileNotFoundError(key)

    def copy(self) -> MemoryArchive:
        return MemoryArchive({key: list(held) for key, held in self.objects.items()}, self.puts)


@dataclass
class Log:
    """Entries with what an auditor remembers of them, published as segments and checkpoints."""

    entries: list[bytes] = field(default_factory=list)
    published: int = 0

    def append(self, kind: str, subject: str, body: dict[str, Any]) -> int:
        previous = self.entries[-1] if self.entries else None
        entry = Entry(len(self.entries), chain(previous), samples.TIME, kind, subject, body)
        self.entries.append(entry.encode())
        return len(self.entries) - 1

    def open(self) -> None:
        origin = samples.ORIGIN
        self.append("log.opened", origin, {"origin": origin, "vkey": samples.LOG_KEY.vkey})
        self.append("key.added", origin, {"role": "collector", "vkey": samples.COLLECTOR.vkey})

    def publish(self, archive: MemoryArchive, *, signed: bool = True) -> None:
        archive.put(segment_key(self.published), encode_segment(self.entries[self.published :]))
        self.published = len(self.entries)
        if signed:
            self.sign(archive)

    def sign(self, archive: MemoryArchive) -> None:
        note = sign_note(self.checkpoint().body(), [samples.LOG_KEY])
        archive.put(checkpoint_key(len(self.entries)), note)
        archive.objects.pop(POINTER, None)
        archive.put(POINTER, note)

    def checkpoint(self) -> Checkpoint:
        root = root_of([leaf_hash(entry) for entry in self.entries])
        return Checkpoint(samples.ORIGIN, len(self.entries), root)

    def expectations(self) -> Expectations:
        checkpoint = self.checkpoint()
        return Expectations((samples.LOG_KEY.verifier,), checkpoint.size, checkpoint.root)


def capture_id(number: int) -> str:
    return f"01KAR5Q8Z41X7JQ9D2N6V0H3{number:02d}"


def folder(capture: str) -> str:
    return f"captures/2026/11/23/{capture}/"


def warc_key(capture: str) -> str:
    return f"{folder(capture)}akashi-20261123T081300Z-{capture}.warc.gz"


def manifest_key(capture: str) -> str:
    return f"{folder(capture)}manifest.json"


def started_body() -> dict[str, Any]:
    return {"request": request_digests(samples.REQUEST).as_json()}


def warc_and_manifest(
    capture: str, started: int, *, payload: bytes = b"moov" * 200, pack: warcs.Pack = warcs.deflated
) -> tuple[bytes, bytes]:
    facts = samples.sealed_facts()
    facts["capture"] = {"id": capture, "attempt_of": None, "started_entry": started}
    digests = digest_bytes(payload)
    facts["media"] = [
        {
            "name": "v.mp4",
            "role": "original",
            "type": "video/mp4",
            "bytes": len(payload),
            "sha256": digests.sha256,
            "records": [warcs.record_id(2)],
            "how": "the payload of one response",
        }
    ]
    sealed = seal(facts)
    records = [
        warcs.warcinfo(pack),
        warcs.response(2, URI, payload),
        warcs.request(3, URI, pack),
        warcs.resource(4, f"urn:akashi:{capture}:manifest.json", sealed, pack=pack),
    ]
    warc = b"".join(records)
    facts_of_warc = digest_bytes(warc)
    final = reseal(
        sealed,
        {
            "key": warc_key(capture),
            "records": len(records),
            "sha256": facts_of_warc.sha256,
            "sha512": facts_of_warc.sha512,
            "size": facts_of_warc.size,
        },
    )
    return warc, final


def preserve(archive: MemoryArchive, capture: str, warc: bytes, manifest: bytes) -> list[dict[str, Any]]:
    objects = []
    for key, data in ((warc_key(capture), warc), (manifest_key(capture), manifest)):
        version = archive.put(key, data)
        objects.append({"key": key, "version": version, **digest_bytes(data).as_json()})
    return objects


def closing_body(started: int, objects: list[dict[str, Any]], manifest: bytes) -> dict[str, Any]:
    return {
        "started": started,
        "outcome": "complete",
        "reasons": [],
        "objects": objects,
        "signature": dict(sign(manifest, samples.COLLECTOR)),
    }


def close(
    log: Log, archive: MemoryArchive, capture: str, started: int, pack: warcs.Pack = warcs.deflated
) -> int:
    warc, manifest = warc_and_manifest(capture, started, pack=pack)
    objects = preserve(archive, capture, warc, manifest)
    return log.append("capture.completed", capture, closing_body(started, objects, manifest))


def build() -> tuple[MemoryArchive, Log]:
    """Seven entries in three segments: log opened, key added; two captures started at once; both closed; one open."""
    archive, log = MemoryArchive(), Log()
    log.open()
    first = log.append("capture.started", capture_id(10), started_body())
    log.publish(archive)
    second = log.append("capture.started", capture_id(11), started_body())
    close(log, archive, capture_id(10), first)
    log.publish(archive)
    close(log, archive, capture_id(11), second)
    log.append("capture.started", capture_id(12), started_body())
    log.publish(archive)
    return archive, log


def side_record(kind: str, capture: str, name: str = "Aiko", **changes: Any) -> dict[str, Any]:
    asked = kind == "custody.erasure-requested"
    to = {"recipient": "Ms Sato"} if kind in {"custody.exported", "custody.transferred"} else {}
    return {
        "v": 1,
        "type": kind,
        "capture": capture,
        "time": samples.TIME,
        "actor": {**samples.REQUEST["operator"], "name": name},
        "reason": "事件 K-17",
        "authority": "order 12/2026" if asked else "",
        "details": to,
        "salt": "0123456789abcdef0123456789abcdef",
        **changes,
    }


def act(
    log: Log,
    archive: MemoryArchive,
    kind: str,
    capture: str,
    record: dict[str, Any] | bytes | None = None,
    **facts: Any,
) -> int:
    """A custody entry with its side record; the objects are those of the closing entry unless told."""
    said = record if record is not None else side_record(kind, capture)
    data = said if isinstance(said, bytes) else canonical(said)
    key = f"custody/2026/11/23/01KAR5Q8Z41X7JQ9D2N6V0C{len(log.entries):03d}.json"
    item = {"key": key, "version": archive.put(key, data), **digest_bytes(data).as_json()}
    if kind in {"custody.held", "custody.released", "custody.retained"} or "eras" in kind:
        ended = next(e for e in map(Entry.decode, log.entries) if e.type in CLOSING and e.subject == capture)
        facts.setdefault("objects", places(ended))
    return log.append(kind, capture, {"record": item, **facts})


def crawl_key(crawl: str) -> str:
    return f"crawls/2026/11/23/akashi-crawl-20261123T081300Z-{crawl}.warc.gz"


def crawl_started() -> dict[str, Any]:
    return {"request": digest_bytes(canonical(samples.CRAWL_REQUEST)).as_json()}


def crawl(log: Log, archive: MemoryArchive, number: int, pack: warcs.Pack = warcs.deflated) -> str:
    """A crawl that was started and has ended; gives its id."""
    made = capture_id(number)
    started = log.append("crawl.started", made, crawl_started())
    parts = (
        warcs.warcinfo(pack),
        warcs.response(2, URI, b"<p>found</p>"),
        warcs.request(3, URI, pack),
        warcs.resource(4, f"urn:akashi:{made}:crawl.json", canonical(samples.CRAWL_REQUEST), pack=pack),
    )
    warc = b"".join(parts)
    version = archive.put(crawl_key(made), warc)
    item = {"key": crawl_key(made), "version": version, **digest_bytes(warc).as_json()}
    ended = {"started": started, "outcome": "finished", "reason": "finished", "objects": [item]}
    log.append("crawl.ended", made, {**ended, "exchanges": 1, "candidates": 2})
    return made


def rules(report: AuditReport) -> list[tuple[str, str]]:
    return [(finding.object, finding.rule) for finding in report.findings]


def audited(archive: MemoryArchive, log: Log, now: datetime | None = None) -> AuditReport:
    return audit(archive, log.expectations(), now=now)


@dataclass
class Lock:
    retain_until: datetime | None = None
    legal_hold: bool = False


@dataclass
class Locking(MemoryArchive):
    """An archive in memory that tells locks, as a store does."""

    locks: dict[str, Lock] = field(default_factory=dict)

    def head(self, key: str, version: str = "") -> Lock | None:
        return self.locks.get(key, Lock()) if version in self.versions(key) else None
