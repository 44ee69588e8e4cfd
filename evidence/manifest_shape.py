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
    Shape,
    Slug,
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
    "options": {"*": object},
    "found_by": OrNull({"spider": Text, "query": str, "rank": Count, "time": str}),
    "case": str,
    "note": str,
    "title": str,
    "salt": Hex32,
}

CLOCK: Final[Shape] = {  # evidence/clock.py
    "source": one_of("adjtimex", "unknown"),
    "synchronised": OrNull(bool),
    "estimated_error_us": OrNull(Count),
    "maximum_error_us": OrNull(Count),
    "read_at": Utc,
    "zone": Text,
    "offset": Text,
    "monotonic_us": Count,  # since boot
}

WARC: Final[Shape] = {"key": Key, "records": Count, **DIGESTS}

SEALED: Final[Shape] = {  # as it lies inside the WARC
    "v": int,
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
                "url": str,
                "status": Count,
                "sha256": Sha256OrEmpty,  # of its body, empty when none arrived
                "size": Count,
                "detail": str,
            }
        ),
        "allow_private": bool,
        "client_emulation": bool,
    },
    "target": {  # the post: as asked, as arrived at, as displayed
        "requested": Text,
        "redirects": [{"url": str, "status": Count, "location": str}],
        "final": str,
        "status": OrNull(Count),
        "canonical": str,
        "platform": str,
        "title": str,
        "displayed": {"*": {"value": object, "read_from": str}},
    },
    "times": {
        "started": Utc,
        "ended": Utc,
        "elapsed_us": OrNull(Count),  # by the monotonic clock, null after a restart
        "server_dates": [{"url": str, "date": str, "skew_ms": int}],  # how far ahead of the local clock
    },
    "steps": [
        {
            "name": Slug,
            "started": Utc,
            "ended": Scalar(str, "a UTC time, or empty", lambda value: not value or value.endswith("Z")),
            "outcome": Slug,
            "detail": str,
        }
    ],
    "clock": CLOCK,
    "environment": {
        "akashi": Text,
        "python": Text,
        "packages": {"*": str},
        "lock_sha256": Sha256OrEmpty,
        "os": str,
        "kernel": str,
        "arch": str,
        "host": str,
        "boot_id": str,
        "config": {"*": object},  # effective settings
        "config_sha256": Sha256,  # of their canonical form
    },
    "network": {
        "hosts": {  # DNS answers, peers as `ip:port`, TLS as `tls/1.3 TLS_AES_128_GCM_SHA256`
            "*": {"dns": [str], "peers": [str], "tls?": [str], "chain_sha256?": [Sha256]}
        },
        "refused": [{"host": str, "port": Count, "why": str}],  # by the one door
        "hosts_override": {"*": str},
        "extra_ca_sha256": Sha256OrEmpty,
    },
    "browser": OrNull({"*": object}),
    "video": OrNull({"*": object}),
    "files": [
        {
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
    ],
    "media": [
        {
            "name": Text,
            "role": one_of("original", "assembled", "derivative"),
            "type": str,
            "bytes": Count,
            "sha256": Sha256,
            "records": [_RECORD],  # an original is byte-equal to their payloads in order
            "how": str,
            "format_id?": str,
            "probe?": {"*": object},
        }
    ],
    "completeness": {  # exchanges by client, by layer and by state of the body; what was not recorded
        "exchanges": {"*": Count},
        "layers": {"*": Count},
        "bodies": {"*": Count},
        "missing": [{"client": str, "url": str, "why": str}],
    },
    "outcome": one_of("complete", "partial", "failed"),
    "reasons": [{"code": CODE, "detail": str}],
    "salt": Hex32,
}

FINAL: Final[Shape] = {**SEALED, "warc": WARC}  # as it lies in the store
