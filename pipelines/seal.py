"""The manifest of a capture, put together from what its steps learned (docs/formats/manifest.md)."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evidence.canonical import canonical, plain, utc
from evidence.clock import clock_block
from evidence.digests import digest_bytes
from evidence.manifest import seal
from pipelines.capture import Capture, process_id
from pipelines.runtime import Runtime
from storage.resolver import hosts_from
from storage.settings import Settings

_MISSING_MAX: Final = 10_000
_LOCK: Final = Path(__file__).resolve().parents[1] / "requirements.lock"


def sealed_manifest(capture: Capture, runtime: Runtime, index: list[dict[str, Any]]) -> bytes:
    """The sealed form's bytes. `index` is the WARC's index so far. Raises ManifestError."""
    facts = capture.facts
    now = datetime.now(UTC)
    page = facts.get("page", {})
    document: dict[str, Any] = {
        "browser": page.get("browser"),
        "capture": {
            "attempt_of": facts.get("attempt_of") or None,
            "id": capture.id,
            "started_entry": facts["started_entry"],
        },
        "clock": clock_block(now),
        "completeness": _completeness(facts, index),
        "environment": environment(runtime.settings),
        "files": [*_files(index, capture.id), *facts.get("video_files", [])],
        "media": facts.get("media", []),
        "network": network(facts),
        "outcome": str(capture.outcome),
        "policy": {
            "allow_private": runtime.options.allow_private,
            "client_emulation": runtime.settings.client_emulation,
            "robots": facts.get("robots"),
        },
        "reasons": [reason.as_json() for reason in capture.reasons],
        "request": facts["request"],
        "salt": secrets.token_hex(16),
        "steps": capture.steps,
        "target": _target(capture, page),
        "times": {
            "elapsed_us": _elapsed(facts),
            "ended": utc(now),
            "server_dates": page.get("server_dates", []),
            "started": utc(capture.started),
        },
        "v": 1,
        "video": facts.get("video"),
    }
    return seal(plain(document))  # type: ignore[arg-type]  # seal itself checks the shape, key by key


def _target(capture: Capture, page: Mapping[str, Any]) -> dict[str, Any]:
    final = page.get("final") or ""
    info = capture.facts.get("video", {}).get("info", {})
    displayed = dict(page.get("displayed", {}))
    return {
        "canonical": page.get("canonical") or "",
        "displayed": displayed,
        "final": final,
        "platform": (urlsplit(final or capture.candidate.url).hostname or "").removeprefix("www."),
        "redirects": page.get("redirects", []),
        "requested": capture.candidate.url,
        "status": page.get("status"),
        "title": page.get("title") or info.get("title") or "",
    }


def _completeness(facts: Mapping[str, Any], index: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by what the index says of each request and response, and all that is missing."""
    requests = [line for line in index if line["type"] == "request"]
    responses = [line for line in index if line["type"] == "response"]
    missing = [*facts.get("page", {}).get("missing", []), *facts.get("video", {}).get("missing", [])]
    if more := len(missing) - _MISSING_MAX:
        missing[_MISSING_MAX:] = [{"client": "", "url": "", "why": f"{more} more"}] if more > 0 else []
    return {
        "bodies": dict(Counter(line.get("state", "unknown") for line in responses)),
        "exchanges": dict(Counter(line.get("client", "unknown") for line in requests)),
        "layers": dict(Counter(line.get("layer", "unknown") for line in responses)),
        "missing": missing,
    }


def _files(index: list[dict[str, Any]], capture_id: str) -> list[dict[str, Any]]:
    """What we made ourselves and put into the WARC: screenshots, DOM, logs."""
    prefix = f"urn:akashi:{capture_id}:"
    return [
        {
            "name": line["uri"].removeprefix(prefix),
            "record": line["id"],
            "role": "conversion" if line["type"] == "conversion" else "resource",
            "sha256": line["block"],
            "size": line["size"],
            "type": line.get("mime", ""),
        }
        for line in index
        if line["type"] in {"resource", "conversion"} and line["uri"].startswith(prefix)
    ]


def network(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Hosts reached and refused, as far as `facts` tells, and what replaced the system's names and trust."""
    extra = os.environ.get("AKASHI_EXTRA_CA", "")
    override = {
        host: ",".join(addresses)
        for host, addresses in hosts_from(os.environ.get("AKASHI_HOSTS", "")).items()
    }
    return {
        "extra_ca_sha256": digest_bytes(Path(extra).read_bytes()).sha256 if extra else "",
        "hosts": facts.get("hosts", {}),
        "hosts_override": override,
        "refused": facts.get("refused", []),
    }


def _elapsed(facts: Mapping[str, Any]) -> int | None:
    """Microseconds since the start by the monotonic clock; None when another process began it."""
    begun: int = facts["monotonic_start_ns"]
    return (time.monotonic_ns() - begun) // 1000 if facts.get("process") == process_id() else None


def environment(settings: Settings) -> dict[str, Any]:
    """Software and machine; nothing in it is secret."""
    config = {f.name: plain(getattr(settings, f.name)) for f in fields(Settings) if f.name != "home"}
    return {
        **_software(),
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "config": config,
        "config_sha256": digest_bytes(canonical(config)).sha256,
    }


@cache
def _software() -> dict[str, Any]:
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    packages = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return {
        "akashi": version("akashi"),
        "arch": platform.machine(),
        "host": platform.node(),
        "kernel": f"{platform.system()} {platform.release()}",
        "lock_sha256": digest_bytes(_LOCK.read_bytes()).sha256 if _LOCK.exists() else "",
        "os": release.get("PRETTY_NAME", platform.system()),
        "packages": dict(sorted(packages.items())),
        "python": sys.version.split()[0],
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""
