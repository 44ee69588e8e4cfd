"""What the witnesses' lines in the store are worth: step 10 of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from evidence.audit_report import AuditReport, Finding, ObjectSource
from evidence.checkpoint import ANCHORS, checkpoint_key
from evidence.cosignature import KEY, CosignerKey, cosignatures
from evidence.errors import NoteError
from evidence.note import MAX_NOTE, split_note
from evidence.timestamp import AHEAD


def audit_cosignatures(
    source: ObjectSource, keys: Sequence[CosignerKey], report: AuditReport, newest: int, now: datetime
) -> None:
    """Judge every `ledger/anchors/<size>/witness-<key id>`. Raises what the source raises.

    `newest` is the size of the newest checkpoint: whoever wrote the log anew has no line by a witness below it.
    """
    unknown = witnessed = 0
    latest = int((now + AHEAD).timestamp())
    for head in source.list(ANCHORS):
        matched = KEY.fullmatch(head.key)
        if matched is None:
            continue
        report.counts["cosignatures"] += 1
        report.versions_of(source, head.key)
        try:
            if _judge(source, head.key, int(matched[1]), matched[2], keys, latest):
                witnessed = max(witnessed, int(matched[1]))
            else:
                unknown += 1
        except FileNotFoundError as error:
            report.findings.append(Finding(head.key, "cosignature-checkpoint", f"there is no {error}"))
        except NoteError as error:
            report.findings.append(Finding.of(head.key, error))
    if unknown:
        report.notes.append(f"{unknown} cosignatures are by witnesses whose keys were not given")
    if keys and witnessed < newest:
        report.notes.append(f"entries {witnessed} to {newest - 1} were seen by no witness that is known")


def _judge(
    source: ObjectSource, key: str, size: int, key_id: str, keys: Sequence[CosignerKey], latest: int
) -> bool:
    """Whether the line is by a known witness. Raises NoteError for one that is not what it should be."""
    line, note = _read(source, key), _read(source, checkpoint_key(size))
    *above, below = split_note(note + line)[1]
    if len(above) != len(split_note(note)[1]) or below.key_id.hex() != key_id:
        raise NoteError("not one line by the key that names the object", rule="cosignature-key")
    return bool(cosignatures(note + line, keys, latest=latest))


def _read(source: ObjectSource, key: str) -> bytes:
    with source.open(key) as stream:
        return stream.read(MAX_NOTE + 1)
