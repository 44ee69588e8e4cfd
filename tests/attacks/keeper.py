"""What the keeper of the archive can do who holds its store, its database and, at worst, its keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evidence.canonical import canonical
from evidence.checkpoint import POINTER, checkpoint_key
from evidence.entry import chain
from evidence.note import SigningKey, sign_note
from evidence.segment import encode_segment, segment_key
from tests.evidence import samples
from tests.evidence.archives import Log, MemoryArchive


def rechained(entries: Sequence[bytes]) -> list[bytes]:
    """Entries, each with the index, the `prev` and the `started` that its new place asks for."""
    made: list[bytes] = []
    started: dict[str, int] = {}
    for index, data in enumerate(entries):
        document = json.loads(data) | {"index": index, "prev": chain(made[-1] if made else None)}
        if "started" in document["body"]:
            document["body"]["started"] = started[document["subject"]]
        started.setdefault(document["subject"], index)
        made.append(canonical(document))
    return made


def with_entry(log: Log, index: int, **changes: Any) -> list[bytes]:
    """The log's entries, one of them changed and all behind it chained anew."""
    changed = canonical(json.loads(log.entries[index]) | changes)
    return rechained([*log.entries[:index], changed, *log.entries[index + 1 :]])


def published_anew(
    archive: MemoryArchive, entries: Sequence[bytes], key: SigningKey | None = samples.LOG_KEY
) -> MemoryArchive:
    """A copy of the archive whose whole ledger is this one; with no key the old checkpoints stay."""
    copy = archive.copy()
    for name in list(copy.objects):
        if name.startswith("ledger/segments/") or (key and name.startswith("ledger/checkpoint")):
            del copy.objects[name]
    copy.put(segment_key(0), encode_segment(entries))
    if key:
        note = sign_note(Log(list(entries)).checkpoint().body(), [key])
        copy.put(checkpoint_key(len(entries)), note)
        copy.put(POINTER, note)
    return copy
