"""The manifest's declaration, v 1: every key, its type, its meaning; evidence/manifest.py uses it.

Frozen: a key may be added as one that may lack ("name?"), none changes its meaning or leaves. Text
that is not known is empty, a number that is not known is null. All sizes are bytes, all units are
in the name.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from evidence.entry import CODE
from evidence.shape import (
    DIGESTS,
    Count,
    Hex32,
    Key,
    OrNull,
    Scalar,
    Sha256,
    Sha256OrEmpty,
    Sha512,
    Slug,
    Text,
    Ulid,
    Utc,
    matching,
    one_of,
)

WarcFacts: TypeAlias = dict[str, Any]
"""A document of the shape WARC."""

_FREE: Final = {"*": object}
_RECORD: Final = matching("a WARC record id like <urn:uuid:…>", r"(?s:<urn:uuid:.*>)")
_UTC_OR_EMPTY: Final = Scalar(str, "a UTC time, or empty", lambda value: not value or value.endswith("Z"))

# Who answers for the capture, and how far the name can be trusted (`asserted`: as given).
_METHOD: Final = one_of("asserted", "oidc", "ssh-key")
OPERATOR: Final = {"name": Text, "os_user": Text, "host": Text, "method": _METHOD}

REQUEST: Final = {  # what was asked, digested into `capture.started` before the first fetch
    "url": Text,
    "requested_at": Utc,
    "operator": OPERATOR,
    "override": OrNull({"reason": Text, "operator": Text}),  # who lifted robots.txt for this URL, and why
    "options": _FREE,
    "found_by": OrNull(  # `crawl`: whose WARC holds the exchanges that led here
        {"spider": Text, "query": str, "rank": Count, "time": str, "crawl?": {"id": Ulid, "warc": Key}}
    ),
    "case": str,
    "note": str,
    "title": str,
    "salt": Hex32,
}

# What robots.txt said; `sha256` of its body, empty when none arrived.
_ANSWER: Final = {"url": str, "status": Count, "sha256": Sha256OrEmpty, "size": Count}
_ROBOTS: Final = {"decision": Slug, **_ANSWER, "detail": str}

_TARGET: Final = {  # the post: as asked, as arrived at, as displayed
    "requested": Text,
    "redirects": [{"url": str, "status": Count, "location": str}],
    "final": str,
    "status": OrNull(Count),
    "canonical": str,
    "platform": str,
    "title": str,
    "displayed": {"*": {"value": object, "read_from": str}},
}

_TIMES: Final = {
    "started": Utc,
    "ended": Utc,
    "elapsed_us": OrNull(Count),  # by the monotonic clock, null after a restart
    "server_dates": [{"url": str, "date": str, "skew_ms": int}],  # how far ahead of the local clock
}

CLOCK: Final = {  # evidence/clock.py
    "source": one_of("adjtimex", "unknown"),
    "synchronised": OrNull(bool),
    "estimated_error_us": OrNull(Count),
    "maximum_error_us": OrNull(Count),
    "read_at": Utc,
    "zone": Text,
    "offset": Text,
    "monotonic_us": Count,  # since boot
}

_SOFTWARE: Final = {"akashi": Text, "python": Text, "packages": {"*": str}, "lock_sha256": Sha256OrEmpty}
_MACHINE: Final = {"os": str, "kernel": str, "arch": str, "host": str, "boot_id": str}
_SETTINGS: Final = {"config": _FREE, "config_sha256": Sha256}  # the effective ones; of their canonical form

_HOST: Final = {  # peers as `ip:port`, TLS as `tls/1.3 TLS_AES_128_GCM_SHA256`
    "dns": [str],
    "peers": [str],
    "tls?": [str],
    "chain_sha256?": [Sha256],
}
_NETWORK: Final = {
    "hosts": {"*": _HOST},
    "refused": [{"host": str, "port": Count, "why": str}],  # by the one door
    "hosts_override": {"*": str},
    "extra_ca_sha256": Sha256OrEmpty,
}

_FILE: Final = {
    "name": Text,
    "role": Slug,
    "type": str,
    "size": Count,
    "sha256": Sha256,
    "sha512?": Sha512,
    "record": OrNull(_RECORD),  # that holds it
    "layer?": str,
    "derived_from?": [str],
    "how?": str,
}
_MEDIUM: Final = {
    "name": Text,
    "role": one_of("original", "assembled", "derivative"),
    "type": str,
    "bytes": Count,
    "sha256": Sha256,
    "records": [_RECORD],  # an original is byte-equal to their payloads in order
    "how": str,
    "format_id?": str,
    "probe?": _FREE,
}

_COUNTS: Final = {"exchanges": {"*": Count}, "layers": {"*": Count}, "bodies": {"*": Count}}
_MISSING: Final = {"client": str, "url": str, "why": str}  # what happened and was not recorded

SEALED: Final = {  # as it lies inside the WARC
    "v": int,
    # `attempt_of`: the attempt that it follows; `started_entry`: ledger index of its `capture.started`
    "capture": {"id": Ulid, "attempt_of": OrNull(Ulid), "started_entry": Count},
    "request": REQUEST,
    "policy": {"robots": OrNull(_ROBOTS), "allow_private": bool, "client_emulation": bool},
    "target": _TARGET,
    "times": _TIMES,
    "steps": [{"name": Slug, "started": Utc, "ended": _UTC_OR_EMPTY, "outcome": Slug, "detail": str}],
    "clock": CLOCK,
    "environment": {**_SOFTWARE, **_MACHINE, **_SETTINGS},
    "network": _NETWORK,
    "browser": OrNull(_FREE),
    "video": OrNull(_FREE),
    "files": [_FILE],
    "media": [_MEDIUM],
    "completeness": {**_COUNTS, "missing": [_MISSING]},
    "outcome": one_of("complete", "partial", "failed"),
    "reasons": [{"code": CODE, "detail": str}],
    "salt": Hex32,
}

WARC: Final = {"key": Key, "records": Count, **DIGESTS}

FINAL: Final = {**SEALED, "warc": WARC}  # as it lies in the store
