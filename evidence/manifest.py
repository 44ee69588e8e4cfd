"""The manifest: everything that is known of one capture, as canonical JSON, salted, signed by its digest.

    {"browser":{…},"capture":{"attempt_of":null,"id":"01KAR…","started_entry":3},"clock":{…},
     "completeness":{…},"environment":{…},"files":[…],"media":[…],"network":{…},
     "outcome":"complete","policy":{…},"reasons":[],"request":{…},"salt":"<32 hex>","steps":[…],
     "target":{…},"times":{…},"v":1,"video":{…},
     "warc":{"key":"captures/2026/11/23/01KAR…/akashi-….warc.gz","records":61,"sha256":"…",
             "sha512":"…","size":4711}}                                   (one line, no spaces)

It exists twice. The *sealed* form has no `warc` and lies inside the WARC as the resource
`urn:akashi:<id>:manifest.json`; the final form adds `warc`, since no file can hold its own
digest. `reseal(sealed, warc)` gives the final bytes exactly, so a changed manifest can be
compared with what the WARC still holds. Its keys are declared in evidence/manifest_shape.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from evidence.canonical import canonical, parse
from evidence.digests import Digests, digest_bytes
from evidence.errors import CanonicalError, ManifestError
from evidence.manifest_shape import FINAL, REQUEST, SEALED, WarcFacts
from evidence.shape import require

MAX_MANIFEST: Final = 64 << 20
_WARC_FACTS: Final = 4096
"""Bytes that `warc` adds at most."""
"""Bytes of a manifest that is read."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that keeps every rule; the views are of its keys."""

    document: dict[str, Any]

    @property
    def id(self) -> str:
        """The capture's id."""
        return str(self.document["capture"]["id"])

    @property
    def outcome(self) -> str:
        """`complete`, `partial` or `failed`."""
        return str(self.document["outcome"])

    @property
    def warc(self) -> WarcFacts:
        """The WARC object."""
        return dict(self.document["warc"])

    @property
    def record_ids(self) -> frozenset[str]:
        """Every WARC record that the manifest names."""
        of_files = {file["record"] for file in self.document["files"] if file["record"]}
        return frozenset(of_files.union(*(medium["records"] for medium in self.document["media"])))


def request_digests(request: Mapping[str, Any]) -> Digests:
    """The digests that `capture.started` holds. Raises ManifestError for a request that is not one."""
    require(request, REQUEST, ManifestError, rule="manifest-shape", path="request")
    return digest_bytes(canonical(request))


def seal(document: dict[str, Any]) -> bytes:
    """The sealed form's bytes. Raises ManifestError (rule, field) or CanonicalError."""
    _refuse(document, SEALED)
    data = canonical(document)
    if len(data) > MAX_MANIFEST - _WARC_FACTS:
        raise ManifestError(f"{len(data)} bytes, with `warc` more than {MAX_MANIFEST}", rule="manifest-size")
    return data


def reseal(sealed: bytes, warc: WarcFacts) -> bytes:
    """The final bytes: the sealed form with `warc`. Raises ManifestError or CanonicalError."""
    document: Any = parse(sealed)
    _refuse(document, SEALED)
    document["warc"] = warc
    _refuse(document, FINAL)
    return canonical(document)


def sealed_form(manifest: Manifest) -> bytes:
    """The bytes that lie inside the WARC: the manifest without `warc`."""
    return canonical({key: value for key, value in manifest.document.items() if key != "warc"})


def parse_manifest(data: bytes) -> Manifest:
    """The manifest of exactly these bytes.

    Raises ManifestError: a rule of canonical JSON with the offset, else the rule and the field that broke.
    """
    if len(data) > MAX_MANIFEST:
        raise ManifestError(f"{len(data)} bytes exceed {MAX_MANIFEST}", rule="manifest-size")
    try:
        document: Any = parse(data)
    except CanonicalError as error:
        raise ManifestError(error.detail, rule=error.rule, offset=error.offset) from error
    _refuse(document, FINAL)
    return Manifest(document)


def _refuse(document: Any, shape: Any) -> None:
    require(document, shape, ManifestError, rule="manifest-shape")
    for broken, field, what in _disagreements(document):
        if broken:
            raise ManifestError(f"{field}: {what}", rule="manifest-consistency", field=field)


def _disagreements(document: dict[str, Any]) -> Iterator[tuple[bool, str, str]]:
    times, target = document["times"], document["target"]
    yield document["v"] != 1, "v", "this version is not known"
    complete = document["outcome"] == "complete"
    yield complete == bool(document["reasons"]), "reasons", "complete captures have none, all others some"
    yield target["requested"] != document["request"]["url"], "target.requested", "not the URL asked for"
    yield times["ended"] < times["started"], "times.ended", "before the start"
    if "warc" in document:
        folder = document["warc"]["key"].split("/")[:-1]
        yield document["capture"]["id"] not in folder, "warc.key", "outside the capture's folder"
