"""Step *prove*: the closing entry names the preserved objects; then, and only then, the spool may go."""

from __future__ import annotations

from typing import Any

from evidence.dsse import sign
from evidence.reasons import Outcome
from pipelines.capture import Capture
from pipelines.runtime import Runtime, in_thread

ENTRY_TYPE = {
    Outcome.COMPLETE: "capture.completed",
    Outcome.PARTIAL: "capture.partial",
    Outcome.FAILED: "capture.failed",
}


async def prove(capture: Capture, runtime: Runtime) -> str:
    """Append the closing entry and index the capture. Raises LedgerUnavailableError."""
    preserved = capture.facts["preserved"]
    manifest_bytes = capture.manifest_path.read_bytes()
    if "entry" not in capture.facts:
        body: dict[str, Any] = {
            "objects": preserved["objects"],
            "outcome": str(capture.outcome),
            "reasons": sorted({reason.code for reason in capture.reasons}),
            "signature": sign(manifest_bytes, runtime.keyring.collector),
            "started": capture.facts["started_entry"],
        }
        known = await in_thread(closing_entry, runtime, capture.id)
        if known is None:
            appended = await in_thread(runtime.ledger.append, ENTRY_TYPE[capture.outcome], capture.id, body)
            known = appended.index
        capture.facts["entry"] = known
        capture.save()
    await in_thread(runtime.catalogue.add, manifest_bytes, capture.facts["entry"])
    fill_result(capture)
    return f"entry {capture.facts['entry']}"


def closing_entry(runtime: Runtime, capture_id: str) -> int | None:
    """The index of the entry that closes a capture, when a process died right after appending it."""
    for entry in runtime.ledger.entries_of(capture_id):
        if entry.type in ENTRY_TYPE.values():
            return entry.index
    return None


def fill_result(capture: Capture) -> None:
    """Tell the candidate what became of it: the fields of `capture --json` (design §7, §8)."""
    item, facts = capture.candidate, capture.facts
    warc, manifest = facts["preserved"]["objects"]
    item.capture = capture.id
    item.final_url = facts.get("page", {}).get("final") or item.url
    item.outcome = str(capture.outcome)
    item.reasons = [reason.as_json() for reason in capture.reasons]
    item.warc, item.sha256, item.bytes = warc["key"], warc["sha256"], warc["size"]
    item.media = [
        {key: medium[key] for key in ("role", "sha256", "bytes", "type", "records", "how")}
        for medium in facts.get("media", [])
    ]
    item.manifest = manifest["key"]
    item.entry = facts["entry"]
