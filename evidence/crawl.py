"""What a crawl says of itself: canonical JSON inside its WARC, the resource `urn:akashi:<id>:crawl.json`.

    {"candidates":12,"crawl":{"id":"01KAR…","started_entry":3},"environment":{…},"exchanges":19,
     "missing":[…],"network":{…},"outcome":"finished","reason":"finished","request":{…},
     "times":{"ended":"…","started":"…"},"v":1}                          (one line, no spaces)

Its `request` is digested into `crawl.started` before the first fetch. Like the manifest, it is frozen: a
key may be added as one that may lack. What was asked stands here and not in the ledger, for the ledger
can never forget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from evidence.canonical import canonical, parse
from evidence.digests import Digests, digest_bytes
from evidence.entry import CRAWL_OUTCOMES, Entry
from evidence.errors import CanonicalError, ManifestError
from evidence.manifest_shape import COMPLETENESS, REQUEST, SEALED
from evidence.shape import Count, Hex32, Text, Ulid, Utc, one_of, require

NAME: Final = "crawl.json"
_REQUEST: Final = {
    "spider": Text,
    "arguments": {"*": str},  # as given to the spider
    "requested_at": Utc,
    "operator": REQUEST["operator"],
    "options": {"*": object},
    "case": str,
    "note": str,
    "salt": Hex32,
}
_CRAWL: Final = {
    "v": int,
    "crawl": {"id": Ulid, "started_entry": Count},
    "request": _REQUEST,
    "times": {"started": Utc, "ended": Utc},
    "outcome": one_of(*CRAWL_OUTCOMES),
    "reason": Text,  # Scrapy's word for why it ended
    "exchanges": Count,  # in this WARC
    "candidates": Count,  # that it yielded, refused ones too
    "missing": COMPLETENESS["missing"],
    "environment": SEALED["environment"],
    "network": SEALED["network"],
}


def crawl_request_digests(request: Mapping[str, Any]) -> Digests:
    """The digests that `crawl.started` holds. Raises ManifestError for a request that is not one."""
    require(request, _REQUEST, ManifestError, rule="crawl-shape", path="request")
    return digest_bytes(canonical(request))


def encode_crawl(document: Mapping[str, Any]) -> bytes:
    """The document's bytes. Raises ManifestError (rule, field) or CanonicalError."""
    require(document, _CRAWL, ManifestError, rule="crawl-shape")
    return canonical(document)


def crawl_against_entries(data: bytes, started: Entry | None, ended: Entry) -> Iterator[tuple[str, str]]:
    """Fields in which the document and its entries differ, and how. Raises ManifestError for no document."""
    try:
        document: Any = parse(data)
    except CanonicalError as error:
        raise ManifestError(error.detail, rule=error.rule, offset=error.offset) from error
    require(document, _CRAWL, ManifestError, rule="crawl-shape")
    facts = {
        "crawl.id": (document["crawl"]["id"], ended.subject),
        "crawl.started_entry": (document["crawl"]["started_entry"], ended.body["started"]),
        **{name: (document[name], ended.body[name]) for name in ("outcome", "exchanges", "candidates")},
    }
    if started is not None:
        facts["request"] = (digest_bytes(canonical(document["request"])).as_json(), started.body["request"])
    for field, (said, logged) in facts.items():
        if said != logged:
            yield field, f"{said!r}, but the ledger has {logged!r}"
