"""What the tests of this room share: stores in new buckets, a request, manifests that vary in a few facts."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

from evidence.canonical import canonical
from evidence.digests import digest_bytes
from evidence.dsse import sign
from evidence.identifiers import new_ulid
from evidence.manifest import reseal
from storage.archive import Archive
from storage.embedded import EmbeddedStore
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from tests.evidence.samples import sealed_facts

REQUEST = {"request": digest_bytes(b"a request").as_json()}


def new_store(endpoint: S3Endpoint, bucket: str = "", **options: Any) -> S3Store:
    """A store in a bucket that exists, or else in a new one."""
    store = S3Store(
        endpoint,
        bucket or f"test-{new_ulid().lower()}",
        **{"retention": timedelta(days=1), "patience": 5.0, **options},
    )
    if not bucket:
        store.client.create_bucket(Bucket=store.bucket, ObjectLockEnabledForBucket=True)
    return store


def kill_server(server: EmbeddedStore) -> None:
    """End a test's server the quick way; a clean stop takes two seconds."""
    server.release()
    pid = server.status()["pid"]
    if isinstance(pid, int):
        os.kill(pid, signal.SIGKILL)


def manifest(
    id: str = "", *, reasons: tuple[str, ...] = (), outcome: str = "complete", **facts: str
) -> bytes:
    """A whole manifest; `facts` are url, title, uploader, note, case, platform, started."""
    document: Any = sealed_facts()
    document["capture"]["id"] = id = id or new_ulid()  # noqa: A001 - the manifest's own name
    url = facts.get("url", "https://video.example/1")
    document["request"] |= {"url": url, "case": facts.get("case", ""), "note": facts.get("note", "")}
    document["target"] |= {
        "requested": url,
        "final": url,
        "title": facts.get("title", ""),
        "platform": facts.get("platform", "video.example"),
        "displayed": {"uploader": {"value": facts.get("uploader", ""), "read_from": "meta[name=author]"}},
    }
    document["times"] |= {
        "started": facts.get("started", "2026-11-23T08:00:00.000Z"),
        "ended": "2026-12-31T00:00:00.000Z",
    }
    document |= {"outcome": outcome, "reasons": [{"code": code, "detail": ""} for code in reasons]}
    key = f"captures/2026/11/23/{id}/akashi-{id}.warc.gz"
    return reseal(canonical(document), {"key": key, "records": 1, **_warc_digests()})


def _warc_digests() -> Any:
    return digest_bytes(b"a warc").as_json()


def close_capture(archive: Archive) -> str:
    """A capture that is stored, entered and indexed; its WARC is none, only its bytes count here. Its id."""
    id = new_ulid()  # noqa: A001 - the manifest's own name
    started = archive.ledger.append("capture.started", id, REQUEST).index
    data, folder = manifest(id, title="短い動画"), f"captures/2026/11/23/{id}"
    objects = []
    for key, content in ((f"{folder}/akashi-{id}.warc.gz", b"a warc"), (f"{folder}/manifest.json", data)):
        stored = archive.store.put_once(key, content, digest_bytes(content), content_type="x/y")
        objects.append({"key": key, "version": stored.version, **stored.digests.as_json()})
    signature = sign(data, archive.keyring.collector)
    body = {
        "objects": objects,
        "outcome": "complete",
        "reasons": [],
        "signature": signature,
        "started": started,
    }
    archive.ledger.append("capture.completed", id, body)
    archive.catalogue.follow(archive.store, archive.ledger)
    return id
