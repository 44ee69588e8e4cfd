"""Big synthetic logs without any capturing: real entry types, segments, tiles and checkpoints, the same bytes for a seed.

    make_log(FolderSink(path), 1_000_000)      →  a folder that `FolderCopy` reads; gives what an auditor remembers
    make_log(MemoryArchive(), 10_000, seed=7)  →  in memory
    drafts(1_000, seed=7)                      →  (type, subject, body) for a real ledger's append

Captures overlap (eight at a time), one in sixteen fails, every thousandth is never closed. The objects that
closing entries name do not exist.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from evidence.audit import Expectations
from evidence.canonical import utc
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.entry import NO_PREVIOUS
from evidence.identifiers import _ALPHABET
from evidence.note import sign_note
from evidence.segment import MAX_ENTRIES, segment_key
from evidence.tiles import PREFIX, WIDTH, bundle_path, encode_bundle, tile_path
from evidence.tree import Frontier, leaf_hash, root_of
from tests.evidence import samples

BEGIN: Final = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SPACING: Final = timedelta(milliseconds=1500)
"""Between two entries: 57,600 a day."""
_OPEN_AT_ONCE: Final = 8
_write = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode
"""Canonical for what is written here: all ASCII, no floats."""


class Sink(Protocol):
    def put(self, key: str, data: bytes) -> object: ...


class FolderSink:
    """Writes objects as a folder copy has them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def drafts(entries: int, seed: int = 0) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Type, subject and body of each entry: what a log begins with, then captures that start and end."""
    chance, running = random.Random(seed), deque[tuple[int, str]]()  # noqa: S311 - reproducible
    origin, abilities = samples.ORIGIN, ("checksum_sha256", "create_only", "object_lock", "versioning")
    store = {"abilities": dict.fromkeys(abilities, True), "bucket": "akashi", "endpoint_kind": "embedded"}
    opening = (
        ("log.opened", origin, {"origin": origin, "vkey": samples.LOG_KEY.vkey}),
        ("key.added", origin, {"role": "collector", "vkey": samples.COLLECTOR.vkey}),
        ("custody.store", "akashi", store | {"profile": "governance"}),
    )
    yield from opening[:entries]
    for index in range(len(opening), entries):
        if len(running) < _OPEN_AT_ONCE:
            moment = BEGIN + index * SPACING
            number = int(moment.timestamp() * 1000) << 80 | chance.getrandbits(80)
            subject = "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
            if index % 1000:
                running.append((index, subject))
            yield "capture.started", subject, {"request": _digests(chance, 412)}
        else:
            started, subject = running.popleft()
            if chance.random() < 1 / 16:
                facts = {"objects": [], "outcome": "failed", "reasons": ["timeout"], "signature": None}
                yield "capture.failed", subject, {"started": started, **facts}
            else:
                yield "capture.completed", subject, _completed(chance, started, subject)


def make_log(
    sink: Sink,
    entries: int,
    seed: int = 0,
    *,
    per_segment: int = MAX_ENTRIES,
    per_checkpoint: int = 4096,
    tiles: bool = True,
) -> Expectations:
    """Write a log of so many entries, tiles and a checkpoint after every `per_checkpoint` and at its end."""
    levels = _Tiles(sink)
    frontier, prev, lines = Frontier(), NO_PREVIOUS, list[bytes]()
    for index, (kind, subject, body) in enumerate(drafts(entries, seed)):
        entry = {"body": body, "index": index, "prev": prev, "subject": subject, "type": kind, "v": 1}
        line = _write(entry | {"time": utc(BEGIN + index * SPACING)}).encode()
        leaf = leaf_hash(line)
        if not lines:
            first, before = index, prev
        lines.append(line)
        frontier.push(leaf)
        prev = leaf.hex()
        signs = (index + 1) % per_checkpoint == 0 or index + 1 == entries
        if signs or len(lines) == per_segment:
            header = _write({"count": len(lines), "first": first, "prev": before, "v": 1}).encode()
            sink.put(segment_key(first), b"".join(one + b"\n" for one in (header, *lines)))
            lines = []
        if tiles:
            levels.add(0, leaf, line)
        if signs:
            if tiles:
                levels.put_partial()
            note = sign_note(Checkpoint(samples.ORIGIN, index + 1, frontier.root()).body(), [samples.LOG_KEY])
            sink.put(checkpoint_key(index + 1), note)
    sink.put(POINTER, note)
    return Expectations((samples.LOG_KEY.verifier,), entries, frontier.root())


class _Tiles:
    """Writes tiles and bundles as entries come: whole ones when they are full, parts when asked."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hashes = defaultdict[int, list[bytes]](list)
        self._numbers = defaultdict[int, int](int)
        self._lines: list[bytes] = []
        self._newest: dict[int, tuple[int, int]] = {}

    def add(self, level: int, leaf: bytes, line: bytes = b"") -> None:
        self._hashes[level].append(leaf)
        if level == 0:
            self._lines.append(line)
        if len(self._hashes[level]) == WIDTH:
            self._put(level)
            self.add(level + 1, root_of(self._hashes.pop(level)))
            self._numbers[level] += 1
            self._lines = [] if level == 0 else self._lines

    def put_partial(self) -> None:
        for level in list(self._hashes):
            self._put(level)

    def _put(self, level: int) -> None:
        number, hashes = self._numbers[level], self._hashes[level]
        if self._newest.get(level) == (number, len(hashes)):
            return  # an earlier checkpoint needed the same part
        self._newest[level] = number, len(hashes)
        self._sink.put(PREFIX + tile_path(level, number, len(hashes)), b"".join(hashes))
        if level == 0:
            self._sink.put(PREFIX + bundle_path(number, len(hashes)), encode_bundle(self._lines))


def _digests(chance: random.Random, size: int) -> dict[str, Any]:
    return {
        "sha256": f"{chance.getrandbits(256):064x}",
        "sha512": f"{chance.getrandbits(512):0128x}",
        "size": size,
    }


def _completed(chance: random.Random, started: int, subject: str) -> dict[str, Any]:
    folder = f"captures/2026/11/23/{subject}/"
    return {
        "objects": [
            {"key": f"{folder}{name}", "version": f"{chance.getrandbits(128):032x}"}
            | _digests(chance, chance.randrange(1 << 26))
            for name in (f"akashi-20261123T081300Z-{subject}.warc.gz", "manifest.json")
        ],
        "outcome": "complete",
        "reasons": [],
        "signature": {"keyid": samples.COLLECTOR.vkey.split("+")[1], "sig": _SIGNATURE},
        "started": started,
    }


_SIGNATURE: Final = "A" * 86 + "=="
