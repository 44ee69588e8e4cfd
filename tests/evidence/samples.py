"""Fixed keys, times and facts of one small, whole capture: what tests tamper with and vectors freeze."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any, Final

from evidence.note import SigningKey

ORIGIN: Final = "akashi.invalid/5f2c61d0"
LOG_KEY: Final = SigningKey.from_seed(ORIGIN, bytes(range(32)))
COLLECTOR: Final = SigningKey.from_seed(f"{ORIGIN}/collector", bytes(range(32, 64)))
TIME: Final = "2026-11-23T08:13:00.123Z"
LATER: Final = "2026-11-23T08:13:09.456Z"
MOMENT: Final = datetime(2026, 11, 23, 8, 13, 0, 123000, UTC)
CAPTURE: Final = "01KAR5Q8Z41X7JQ9D2N6V0H3GT"
FOLDER: Final = f"captures/2026/11/23/{CAPTURE}/"

REQUEST: Final[dict[str, Any]] = {
    "case": "K-17",
    "found_by": {"spider": "feeds", "query": "https://feed.example/rss", "rank": 2, "time": TIME},
    "note": "",
    "operator": {"name": "Aiko", "os_user": "aiko", "host": "desk", "method": "asserted"},
    "options": {"no_video": False},
    "override": None,
    "requested_at": TIME,
    "salt": "00112233445566778899aabbccddeeff",
    "title": "短い動画",
    "url": "https://video.example/watch?v=1",
}

CRAWL_REQUEST: Final[dict[str, Any]] = {
    "v": 1,
    "spider": "feeds",
    "arguments": {"url": "https://feed.example/rss"},
    "requested_at": TIME,
    "operator": REQUEST["operator"],
    "options": {"allow_private": False},
    "case": "K-17",
    "note": "",
    "salt": "ffeeddccbbaa99887766554433221100",
}

SEALED: Final[dict[str, Any]] = {
    "v": 1,
    "capture": {"id": CAPTURE, "attempt_of": None, "started_entry": 2},
    "request": REQUEST,
    "policy": {
        "robots": {
            "decision": "allowed",
            "url": "https://video.example/robots.txt",
            "status": 200,
            "sha256": "a" * 64,
            "size": 26,
            "detail": "",
        },
        "allow_private": False,
        "client_emulation": False,
    },
    "target": {
        "requested": "https://video.example/watch?v=1",
        "redirects": [{"url": "https://video.example/watch?v=1", "status": 302, "location": "/w/1"}],
        "final": "https://video.example/w/1",
        "status": 200,
        "canonical": "https://video.example/w/1",
        "platform": "video.example",
        "title": "短い動画 \N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}1",
        "displayed": {"uploader": {"value": 'the "uploader"', "read_from": "meta[name=author]"}},
    },
    "times": {
        "started": TIME,
        "ended": LATER,
        "elapsed_us": 9333000,
        "server_dates": [
            {"url": "https://video.example/w/1", "date": "Mon, 23 Nov 2026 08:13:01 GMT", "skew_ms": -120}
        ],
    },
    "steps": [
        {"name": "page", "started": TIME, "ended": LATER, "outcome": "done", "detail": "3 exchanges"},
        {"name": "preserve", "started": LATER, "ended": "", "outcome": "done", "detail": ""},
    ],
    "clock": {
        "source": "adjtimex",
        "synchronised": True,
        "estimated_error_us": 120,
        "maximum_error_us": 9500,
        "read_at": TIME,
        "zone": "JST",
        "offset": "+09:00",
        "monotonic_us": 812345678,
    },
    "environment": {
        "akashi": "0.1.0",
        "python": "3.11.7",
        "packages": {"warcio": "1.8.1"},
        "lock_sha256": "b" * 64,
        "os": "Debian GNU/Linux 12",
        "kernel": "6.1.0",
        "arch": "x86_64",
        "host": "desk",
        "boot_id": "",
        "config": {"timeout": "300.0"},
        "config_sha256": "c" * 64,
    },
    "network": {
        "hosts": {"video.example": {"dns": ["192.0.2.7"], "peers": ["192.0.2.7:443"]}},
        "refused": [],
        "hosts_override": {},
        "extra_ca_sha256": "",
    },
    "browser": {"product": "Chromium/156"},
    "video": None,
    "files": [],
    "media": [],
    "completeness": {"exchanges": {"chromium": 1}, "layers": {"h1-bytes": 1}, "bodies": {}, "missing": []},
    "outcome": "complete",
    "reasons": [],
    "salt": "ffeeddccbbaa99887766554433221100",
}


def sealed_facts() -> dict[str, Any]:
    """A copy of SEALED to change."""
    return copy.deepcopy(SEALED)
