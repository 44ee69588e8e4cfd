"""Writes the golden bytes: every format once as it must be, and once for each defect that must be refused.

    python -m tests.vectors.make        rewrite the files; a difference in git means a format changed

Keys and times are fixed. `<format>/…` are accepted; `negative/<reader>/<rule>.<defect>` are refused
by that reader with that rule. Formats are frozen: a changed file among the accepted is a mistake,
since evidence that exists cannot be changed after it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from evidence.canonical import canonical, parse
from evidence.checkpoint import Checkpoint
from evidence.dsse import sign
from evidence.entry import Entry
from evidence.manifest import request_digests, seal
from evidence.note import SigningKey, sign_note
from evidence.proof import inclusion_path
from evidence.segment import encode_segment
from evidence.tiles import bundle_path, encode_bundle, tile_path
from evidence.tlog_proof import TlogProof
from evidence.tree import leaf_hash, root_of
from tests.evidence import samples, warcs
from tests.evidence.archives import (
    Log,
    MemoryArchive,
    capture_id,
    close,
    crawl,
    crawl_key,
    manifest_key,
    warc_and_manifest,
    warc_key,
)

HERE: Final = Path(__file__).parent


def log_with_every_type() -> tuple[Log, MemoryArchive]:
    """One entry of each type but a crawl's, in one log."""
    archive, log = MemoryArchive(), Log()
    log.open()
    abilities = {"create_only": True, "versioning": True, "object_lock": True, "checksum_sha256": True}
    store = {"endpoint_kind": "embedded", "bucket": "akashi", "abilities": abilities, "profile": "governance"}
    log.append("custody.store", "akashi", store)
    request = request_digests(samples.REQUEST).as_json()
    first = log.append("capture.started", capture_id(10), {"request": request})
    # Stored, not deflated: another zlib would give other bytes.
    close(log, archive, capture_id(10), first, pack=warcs.stored)
    again = log.append("capture.started", capture_id(11), {"attempt_of": capture_id(10), "request": request})
    ended = dict(Entry.decode(log.entries[4]).body) | {"outcome": "partial", "reasons": ["no-video"]}
    ended |= {"started": again, "objects": [_moved(item) for item in ended["objects"]]}
    log.append("capture.partial", capture_id(11), ended)
    third = log.append("capture.started", capture_id(12), {"request": request})
    nothing = {"outcome": "failed", "reasons": ["interrupted"], "objects": [], "signature": None}
    log.append("capture.failed", capture_id(12), {"started": third, **nothing})
    return log, archive


def crawl_behind(log: Log, archive: MemoryArchive) -> dict[str, bytes]:
    """The vectors of a crawl, in the same log; what was frozen before it stays as it is."""
    first = len(log.entries)
    made = crawl(log, archive, 13, pack=warcs.stored)
    entries = {
        f"entry/{number:02d}-{Entry.decode(log.entries[number]).type}.json": log.entries[number]
        for number in range(first, len(log.entries))
    }
    return entries | {
        f"segment/{first:012d}": encode_segment(log.entries[first:]),
        "warc/crawl.warc.gz": archive.data(crawl_key(made)),
    }


def proofs_of(log: Log) -> dict[str, bytes]:
    """The tile and the bundle of nine entries, and a proof of one of them under the checkpoint of the nine."""
    entries, leaves = log.entries, [leaf_hash(entry) for entry in log.entries]
    path = inclusion_path(4, 9, lambda level, at: root_of(leaves[at << level : at + 1 << level]))
    note = sign_note(log.checkpoint().body(), [samples.LOG_KEY])
    return {
        tile_path(0, 0, 9): b"".join(leaves),
        bundle_path(0, 9): encode_bundle(entries),
        "tlog-proof/04-capture.completed.tlog-proof": TlogProof(4, tuple(path), note).encode(),
    }


def _moved(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"key": item["key"].replace(capture_id(10), capture_id(11))}


def positive() -> dict[str, bytes]:
    """Path and bytes of everything that must be accepted."""
    log, archive = log_with_every_type()
    files = {
        f"entry/{number:02d}-{Entry.decode(data).type}.json": data for number, data in enumerate(log.entries)
    }
    manifest = archive.data(manifest_key(capture_id(10)))
    return files | {
        "segment/000000000000": encode_segment(log.entries[:4]),
        "segment/000000000004": encode_segment(log.entries[4:]),
        "checkpoint/00000000000000000009": sign_note(log.checkpoint().body(), [samples.LOG_KEY]),
        "keys/log.vkey": samples.LOG_KEY.vkey.encode() + b"\n",
        "keys/collector.vkey": samples.COLLECTOR.vkey.encode() + b"\n",
        "manifest/sealed.json": seal(samples.SEALED),
        "manifest/manifest.json": manifest,
        "manifest/dsse.json": canonical(sign(manifest, samples.COLLECTOR)),
        "warc/capture.warc.gz": archive.data(warc_key(capture_id(10))),
        **proofs_of(log),
        **crawl_behind(log, archive),
    }


def negative() -> dict[str, bytes]:
    """Path and bytes of everything that must be refused: `<reader>/<rule>.<defect>`."""
    return {
        f"negative/{reader}/{name}": data
        for reader, files in {
            "canonical": _bad_json(),
            "entry": _bad_entries(),
            "segment": _bad_segments(),
            "vkey": _bad_keys(),
            "checkpoint": _bad_checkpoints(),
            "manifest": _bad_manifests(),
        }.items()
        for name, data in files.items()
    }


def _bad_json() -> dict[str, bytes]:
    return {
        "json.byte-order-mark": b'\xef\xbb\xbf{"a":1}',
        "canonical.crlf-behind": b'{"a":1}\r\n',
        "canonical.escaped-letter": b'{"a":"\\u0041"}',
        "canonical.keys-unsorted": b'{"b":1,"a":2}',
        "canonical.keys-sorted-by-code-point": '{"\ufb33":1,"\U0001f600":2}'.encode(),
        "canonical.minus-zero": b'{"a":-0}',
        "canonical.newline-behind": b'{"a":1}\n',
        "canonical.space": b'{"a": 1}',
        "canonical.upper-case-escape": b'{"a":"\\u001F"}',
        "depth.nested-arrays": b"[" * 70 + b"]" * 70,
        "depth.nested-past-the-stack": b"[" * 100_000,
        "canonical.duplicate-key": b'{"a":1,"a":1}',
        "canonical.duplicate-key-escaped": b'{"a":1,"\\u0061":1}',
        "float.exponent": b'{"a":1e3}',
        "float.fraction": b'{"a":1.0}',
        "float.nan": b'{"a":NaN}',
        "integer.two-to-the-53": b'{"a":9007199254740992}',
        "integer.ten-thousand-digits": b'{"a":' + b"1" * 10_000 + b"}",
        "json.empty": b"",
        "json.trailing-comma": b'{"a":1,}',
        "json.two-values": b"{}{}",
        "json.raw-control-character": b'{"a":"\x01"}',
        "text.lone-surrogate": b'{"a":"\\ud800"}',
        "utf-8.latin-1": b'{"a":"\xe9"}',
        "utf-8.surrogate-bytes": b'{"a":"\xed\xa0\x80"}',
    }


def _entry(number: int) -> dict[str, Any]:
    log, archive = log_with_every_type()
    crawl_behind(log, archive)
    document: dict[str, Any] = json.loads(log.entries[number])
    return document


def _bad_entries() -> dict[str, bytes]:
    started, ended = _entry(3), _entry(4)
    body = ended["body"]
    warc, manifest = body["objects"]
    crawled = _entry(10)

    def of(base: dict[str, Any], **changes: Any) -> bytes:
        return canonical(base | changes)

    def of_body(**changes: Any) -> bytes:
        return of(ended, body=body | changes)

    def of_crawl(**changes: Any) -> bytes:
        return of(crawled, body=crawled["body"] | changes)

    return {
        "entry-consistency.crawl-ends-a-later-entry": of_crawl(started=10),
        "entry-consistency.crawl-of-no-crawl": of(crawled, subject="akashi"),
        "entry-consistency.crawl-with-a-captures-object": of_crawl(objects=[warc]),
        "entry-consistency.crawl-without-its-warc": of_crawl(objects=[]),
        "entry-shape.crawl-outcome-improvised": of_crawl(outcome="fine"),
        "entry-consistency.closes-a-later-entry": of_body(started=9),
        "entry-consistency.complete-with-reasons": of_body(reasons=["no-video"]),
        "entry-consistency.complete-without-objects": of_body(objects=[], signature=None),
        "entry-consistency.no-manifest": of_body(objects=[warc]),
        "entry-consistency.object-of-another-capture": of(ended, subject=capture_id(12)),
        "entry-consistency.object-twice": of_body(objects=[manifest, manifest]),
        "entry-consistency.objects-unsorted": of_body(objects=[manifest, warc]),
        "entry-consistency.outcome-of-another-type": of(ended, type="capture.failed"),
        "entry-consistency.prev-of-nothing": of(started, prev="0" * 64),
        "entry-consistency.second-opening": of(_entry(0), index=5, prev="a" * 64),
        "entry-consistency.subject-no-capture": of(started, subject="akashi"),
        "entry-consistency.unsigned": of_body(signature=None),
        "entry-shape.attempt-of-null": of(started, body=started["body"] | {"attempt_of": None}),
        "entry-shape.boolean-index": of(started, index=True),
        "entry-shape.digest-in-capitals": of(started, prev="A" * 64),
        "entry-shape.key-with-dots": of_body(objects=[warc | {"key": "captures/../x"}, manifest]),
        "entry-shape.negative-index": of(started, index=-1),
        "entry-shape.no-subject": canonical({k: v for k, v in started.items() if k != "subject"}),
        "entry-shape.object-without-sha512": of_body(
            objects=[{k: v for k, v in warc.items() if k != "sha512"}, manifest]
        ),
        "entry-shape.reason-improvised": of_body(reasons=["bad-luck"]),
        "entry-shape.time-without-milliseconds": of(started, time="2026-11-23T08:13:00Z"),
        "entry-shape.time-30-february": of(started, time="2026-02-30T08:13:00.000Z"),
        "entry-shape.undeclared-key": of(started, extra=1),
        "entry-size.too-large": of(started, subject="x" * 65_535),
        "entry-type.unknown": of(started, type="capture.imagined"),
        "entry-version.two": of(started, v=2),
    }


def _bad_segments() -> dict[str, bytes]:
    good = positive()["segment/000000000004"]
    head, *lines, _ = good.split(b"\n")
    header: dict[str, Any] = json.loads(head)

    def of(*parts: bytes, **changes: Any) -> bytes:
        return b"".join(part + b"\n" for part in (canonical(header | changes), *parts))

    return {
        "segment-chain.header-prev": of(*lines, prev="f" * 64),
        "segment-count.entry-dropped": of(*lines[:-1]),
        "segment-count.none": of(count=0),
        "segment-count.too-many": of(*lines, count=257),
        "segment-entry.crlf": good.replace(b"}\n", b"}\r\n").replace(head + b"\r\n", head + b"\n"),
        "segment-entry.empty-line": of(*lines, b"", count=len(lines) + 1),
        "segment-header.crlf": head + b"\r\n" + b"\n".join(lines) + b"\n",
        "segment-header.undeclared-key": of(*lines, extra=1),
        "segment-header.version-two": of(*lines, v=2),
        "segment-index.entry-dropped-and-recounted": of(lines[0], *lines[2:], count=len(lines) - 1),
        "segment-index.entry-duplicated": of(lines[0], lines[0], *lines[1:-1]),
        "segment-index.entries-swapped": of(lines[1], lines[0], *lines[2:]),
        "segment-newline.empty": b"",
        "segment-newline.no-newline-at-end": good[:-1],
        "segment-newline.trailing-bytes": good + b"x",
    }


def _bad_keys() -> dict[str, bytes]:
    name, key_id, encoded = samples.LOG_KEY.vkey.split("+", 2)
    identity = bytes([1]) + bytes(31)

    def vkey(public: bytes, algorithm: int = 1) -> bytes:
        # The id is right, so that nothing but the key itself can be the reason.

        blob = bytes([algorithm]) + public
        digest = hashlib.sha256(name.encode() + b"\n" + blob).hexdigest()[:8]
        return f"{name}+{digest}+{base64.b64encode(blob).decode()}".encode()

    order_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    return {
        "key.identity-point": vkey(identity),
        "key.identity-point-signed": vkey(identity[:-1] + b"\x80"),
        "key.not-canonical": vkey(bytes.fromhex("ee" + "ff" * 30 + "7f")),
        "key.not-on-curve": vkey(bytes([2]) + bytes(31)),
        "key.order-2": vkey(bytes.fromhex("ec" + "ff" * 30 + "7f")),
        "key.order-4": vkey(bytes(32)),
        "key.order-8": vkey(order_8),
        "key-name.space": f"a b+{key_id}+{encoded}".encode(),
        "key-name.empty": f"+{key_id}+{encoded}".encode(),
        "vkey.another-id": f"{name}+00000000+{encoded}".encode(),
        "vkey.another-name": f"other.invalid+{key_id}+{encoded}".encode(),
        "vkey.ecdsa": vkey(samples.LOG_KEY.verifier.public, algorithm=2),
        "vkey.id-in-capitals": f"{name}+{key_id.upper()}+{encoded}".encode(),
        "vkey.newline-behind": samples.LOG_KEY.vkey.encode() + b"\n",
        "vkey.no-plus": b"akashi.invalid",
        "vkey.short-key": vkey(samples.LOG_KEY.verifier.public[:-1]),
    }


def _bad_checkpoints() -> dict[str, bytes]:
    log = log_with_every_type()[0]
    checkpoint = log.checkpoint()
    good = sign_note(checkpoint.body(), [samples.LOG_KEY])
    text, line = checkpoint.body(), samples.LOG_KEY.sign_line(checkpoint.body())
    stranger = SigningKey.from_seed("stranger.invalid", bytes(31) + b"\x07")
    namesake = SigningKey.from_seed(samples.ORIGIN, bytes(31) + b"\x07")
    root = text.split("\n")[2]

    def signed(body: str, *keys: SigningKey) -> bytes:
        return sign_note(body, keys or [samples.LOG_KEY])

    return {
        "checkpoint-form.extension-line": signed(text + "extension\n"),
        "checkpoint-form.leading-zero": signed(text.replace("\n9\n", "\n09\n")),
        "checkpoint-form.negative-size": signed(text.replace("\n9\n", "\n-9\n")),
        "checkpoint-form.no-root": signed("\n".join(text.split("\n")[:2]) + "\n"),
        "checkpoint-form.root-with-spare-bits": signed(text.replace(root, root[:-2] + "9=")),
        "checkpoint-form.root-of-31-bytes": signed(
            text.replace(root, base64.b64encode(checkpoint.root[:31]).decode())
        ),
        "checkpoint-origin.signed-by-another": signed(
            Checkpoint("other.invalid", 9, checkpoint.root).body(), samples.LOG_KEY
        ),
        "form.no-empty-line": (text + line).encode(),
        "form.no-newline-at-end": good[:-1],
        "signature.text-changed": good.replace(b"\n9\n", b"\n8\n", 1),
        "signature-line.base64-of-url-kind": good[:-3] + b"_=\n",
        "signature-line.hyphen": good.replace("\N{EM DASH}".encode(), b"-"),
        "signature-line.trailing-space": good[:-1] + b" \n",
        "signature-line.short": (text + "\n\N{EM DASH} a.invalid AAA=\n").encode(),
        "text.control-character": good.replace(b"akashi", b"akash\x01", 1),
        "text.crlf": good.replace(b"\n", b"\r\n").replace(b"\r\n\r\n", b"\r\n\n"),
        "text.not-utf-8": good.replace(b"akashi", b"\xff", 1),
        "unsigned.by-a-stranger": signed(text, stranger),
        "unsigned.by-a-namesake": signed(text, namesake),
    }


def _bad_manifests() -> dict[str, bytes]:
    good = warc_and_manifest(capture_id(10), 3, pack=warcs.stored)[1]
    document: dict[str, Any] = json.loads(good)

    def of(**changes: Any) -> bytes:
        return canonical(document | changes)

    return {
        "canonical.newline-behind": good + b"\n",
        "canonical.duplicate-salt": good.replace(b'{"browser"', b'{"salt":"","browser"', 1),
        "float.size": good.replace(b'"size":', b'"size":0.5,"x":', 1),
        "manifest-consistency.another-url": of(
            target=document["target"] | {"requested": "https://a.example/"}
        ),
        "manifest-consistency.complete-with-reasons": of(reasons=[{"code": "no-video", "detail": ""}]),
        "manifest-consistency.ended-before-started": of(
            times=document["times"] | {"ended": "2026-11-23T08:12:59.999Z"}
        ),
        "manifest-consistency.version-two": of(v=2),
        "manifest-consistency.warc-of-another-capture": of(
            warc=document["warc"] | {"key": warc_key(capture_id(11))}
        ),
        "manifest-shape.boolean-size": of(warc=document["warc"] | {"size": True}),
        "manifest-shape.no-salt": canonical({k: v for k, v in document.items() if k != "salt"}),
        "manifest-shape.no-warc": canonical({k: v for k, v in document.items() if k != "warc"}),
        "manifest-shape.outcome-improvised": of(outcome="fine"),
        "manifest-shape.salt-of-15-bytes": of(salt="00" * 15),
        "manifest-shape.undeclared-key": of(extra=1),
    }


def main() -> None:
    """Rewrite every vector; files that no longer belong go."""
    files = positive() | negative()
    for path in HERE.rglob("*"):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            path.unlink()
    for name, data in files.items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    parse(files["manifest/manifest.json"])


if __name__ == "__main__":
    main()
