"""Step *preserve*: seal the WARC, store it and its manifest write-once, read back, compare.

Sealing writes the manifest as known so far into the WARC (so that the WARC alone describes
itself), closes the WARC, and adds the WARC's own digests to make the final manifest. Nothing
after this changes a byte; a second run finds both files sealed and only stores them.
"""

from __future__ import annotations

from evidence.digests import Digests, digest_bytes
from evidence.errors import ManifestError
from evidence.manifest import reseal
from evidence.manifest_shape import WarcFacts
from evidence.reasons import Reason
from pipelines.capture import Capture
from pipelines.page import open_sink
from pipelines.record.index import read_index
from pipelines.runtime import Runtime, in_thread
from pipelines.seal import sealed_manifest


async def preserve(capture: Capture, runtime: Runtime) -> str:
    """Store both objects. Raises StoreUnavailableError: then the spool keeps them for the next start."""
    if "sealed" not in capture.facts:
        await seal(capture, runtime)
    sealed = capture.facts["sealed"]
    digests = Digests(sealed["sha256"], sealed["sha512"], sealed["size"])
    warc = await in_thread(
        runtime.store.put_once, sealed["key"], capture.warc_path, digests, content_type="application/warc"
    )
    manifest_bytes = capture.manifest_path.read_bytes()
    manifest = await in_thread(
        runtime.store.put_once,
        f"{capture.key_prefix}manifest.json",
        manifest_bytes,
        digest_bytes(manifest_bytes),
        content_type="application/json",
    )
    capture.facts["preserved"] = {
        "objects": [
            {"key": stored.key, "version": stored.version, **stored.digests.as_json()}
            for stored in (warc, manifest)
        ]
    }
    return f"{warc.key}, {warc.digests.size} bytes"


async def seal(capture: Capture, runtime: Runtime) -> None:
    """Close the WARC with the sealed manifest in it; write the final manifest beside it."""
    sink = open_sink(capture, runtime)
    sealed = _manifest(capture, runtime)
    sink.write_resource("manifest.json", "application/json", sealed)
    digests: Digests = await in_thread(sink.close)
    capture.live.pop("sink")
    key = f"{capture.key_prefix}{capture.warc_path.name}"
    warc: WarcFacts = {
        "key": key,
        "records": len(sink.records),
        "sha256": digests.sha256,
        "sha512": digests.sha512,
        "size": digests.size,
    }
    temporary = capture.manifest_path.with_suffix(".new")
    temporary.write_bytes(reseal(sealed, warc))
    temporary.replace(capture.manifest_path)
    capture.facts["sealed"] = warc
    capture.save()


def _manifest(capture: Capture, runtime: Runtime) -> bytes:
    """The sealed manifest; when a fact of a page breaks its form, one without these facts that says so."""
    index = read_index(capture.warc_path)
    try:
        return sealed_manifest(capture, runtime, index)
    except ManifestError as error:
        capture.fail(Reason("step-failed", f"manifest: {error.detail}"))
        for told in ("page", "video", "media"):
            capture.facts.pop(told, None)
        return sealed_manifest(capture, runtime, index)
