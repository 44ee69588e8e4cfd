"""The manifest's declaration, v 1: every key, its type, its meaning; evidence/manifest.py uses it.

Frozen: a key may be added as one that may lack ("name?"), none changes its meaning or leaves. Text
that is not known is empty, a number that is not known is null. All sizes are bytes, all units are
in the name.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from evidence.entry import CODE
from evidence.shape import (
    ANY,
    DIGESTS,
    Bool,
    Count,
    Hex32,
    Int,
    Key,
    OrNull,
    Scalar,
    Sha256,
    Sha256OrEmpty,
    Sha512,
    Shape,
    Slug,
    Str,
    Text,
    Ulid,
    Utc,
    matching,
    one_of,
)

WarcFacts: TypeAlias = dict[str, Any]
"""A document of the shape WARC."""

_RECORD: Final = matching("a WARC record id like <urn:uuid:…>", r"(?s:<urn:uuid:.*>)")

REQUEST: Final[Shape] = {  # what was asked, digested into `capture.started` before the first fetch
    "url": Text,
    "requested_at": Utc,
    "operator": {  # who answers for the capture, and how far the name can be trusted
        "name": Text,
        "os_user": Text,
        "host": Text,
        "method": one_of("asserted", "oidc", "ssh-key"),
    },
    "override": OrNull({"reason": Text, "operator": Text}),  # who lifted robots.txt for this URL, and why
    "options": {"*": ANY},
    "found_by": OrNull({"spider": Text, "query": Str, "rank": Count, "time": Str}),
    "case": Str,
    "note": Str,
    "title": Str,
    "salt": Hex32,
}

CLOCK: Final[Shape] = {  # evidence/clock.py
    "source": one_of("adjtimex", "unknown"),
    "synchronised": OrNull(Bool),
    "estimated_error_us": OrNull(Count),
    "maximum_error_us": OrNull(Count),
    "read_at": Utc,
    "zone": Text,
    "offset": Text,
    "monotonic_us": Count,  # since boot
}

WARC: Final[Shape] = {"key": Key, "records": Count, **DIGESTS}

SEALED: Final[Shape] = {  # as it lies inside the WARC
    "v": Int,
    "capture": {
        "id": Ulid,
        "attempt_of": OrNull(Ulid),  # the attempt that it follows
        "started_entry": Count,  # ledger index of its `capture.started`
    },
    "request": REQUEST,
    "policy": {  # what the capture was allowed to do
        "robots": OrNull(
            {
                "decision": Slug,
                "url": Str,
                "status": Count,
                "sha256": Sha256OrEmpty,  # of its body, empty when none arrived
                "size": Count,
                "detail": Str,
            }
        ),
        "allow_private": Bool,
        "client_emulation": Bool,
    },
    "target": {  # the post: as asked, as arrived at, as displayed
        "requested": Text,
        "redirects": [{"url": Str, "status": Count, "location": Str}],
        "final": Str,
        "status": OrNull(Count),
        "canonical": Str,
        "platform": Str,
        "title": Str,
        "displayed": {"*": {"value": ANY, "read_from": Str}},
    },
    "times": {
        "started": Utc,
        "ended": Utc,
        "elapsed_us": OrNull(Count),  # by the monotonic clock, null after a restart
        "server_dates": [{"url": Str, "date": Str, "skew_ms": Int}],  # how far ahead of the local clock
    },
    "steps": [
        {
            "name": Slug,
            "started": Utc,
            "ended": Scalar(str, "a UTC time, or empty", lambda value: not value or value.endswith("Z")),
            "outcome": Slug,
            "detail": Str,
        }
    ],
    "clock": CLOCK,
    "environment": {
        "akashi": Text,
        "python": Text,
        "packages": {"*": Str},
        "lock_sha256": Sha256OrEmpty,
        "os": Str,
        "kernel": Str,
        "arch": Str,
        "host": Str,
        "boot_id": Str,
        "config": {"*": ANY},  # effective settings
        "config_sha256": Sha256,  # of their canonical form
    },
    "network": {
        "hosts": {  # DNS answers, peers as `ip:port`, TLS as `tls/1.3 TLS_AES_128_GCM_SHA256`
            "*": {"dns": [Str], "peers": [Str], "tls?": [Str], "chain_sha256?": [Sha256]}
        },
        "refused": [{"host": Str, "port": Count, "why": Str}],  # by the one door
        "hosts_override": {"*": Str},
        "extra_ca_sha256": Sha256OrEmpty,
    },
    "browser": OrNull({"*": ANY}),
    "video": OrNull({"*": ANY}),
    "files": [
        {
            "name": Text,
            "role": Slug,
            "type": Str,
            "size": Count,
            "sha256": Sha256,
            "sha512?": Sha512,
            "record": OrNull(_RECORD),  # that holds it
            "layer?": Str,
            "derived_from?": [Str],
            "how?": Str,
        }
    ],
    "media": [
        {
            "name": Text,
            "role": one_of("original", "assembled", "derivative"),
            "type": Str,
            "bytes": Count,
            "sha256": Sha256,
            "records": [_RECORD],  # an original is byte-equal to their payloads in order
            "how": Str,
            "format_id?": Str,
            "probe?": {"*": ANY},
        }
    ],
    "completeness": {  # exchanges by client, by layer and by state of the body; what was not recorded
        "exchanges": {"*": Count},
        "layers": {"*": Count},
        "bodies": {"*": Count},
        "missing": [{"client": Str, "url": Str, "why": Str}],
    },
    "outcome": one_of("complete", "partial", "failed"),
    "reasons": [{"code": CODE, "detail": Str}],
    "salt": Hex32,
}

FINAL: Final[Shape] = {**SEALED, "warc": WARC}  # as it lies in the store
