"""What crosses between `record_video` and its child: the job, and each exchange as one JSON event.

    {"event":"exchange","number":4,"exchange":{"client":"yt-dlp","url":"https://…","method":"GET",
     "started":"…+00:00","layer":"h1-bytes","error":"","request_head":"<base64>","response_head":"<base64>",
     "network":{"ip":"93.184.215.14","port":443,"chain":["<base64 of DER>",…],…},"request_body":null,
     "note":"<32 hex>.note",
     "response_body":{"size":5,"data":"aGVsbG8=","path":null,"state":"as-received","block_sha256":"…",…}}}

The names are those of pipelines/record/exchange.py and of `SpooledBody`. The child is where fetched bytes
are parsed, so the parent believes it no further than it must: a spool file is a plain file of that form
in the child's spool folder, a digest is one, a size is a number, and text is such as UTF-8 can hold.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.spool import SpooledBody

CLIENT: Final = "yt-dlp"
_NAME: Final = re.compile(r"[0-9a-f]{32}\.(?:body|note)")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Job:
    """One video to fetch: one JSON object on the child's stdin."""

    url: str
    hints: list[str]
    """Where else on the page a video may be, if the page's own URL gives none."""
    folder: str
    """Ours alone: files go to its `files`, bodies on their way to the WARC to its `spool`."""
    proxy: str
    """`socks5h://127.0.0.1:<port>`."""
    connections: str
    """The tunnel's log."""
    ca_file: str
    """PEM of every authority to trust, or empty for yt-dlp's own choice."""
    max_bytes: int
    """Of all bodies that one file takes, and of any one body."""
    client_emulation: bool
    """Whether it may pass for a browser, and make ids up."""
    node: str
    """Path of the JavaScript runtime for players' own code."""
    at_once: int
    """Segments fetched at a time."""
    timeout: float
    """Seconds without a byte after which a connection is given up."""


def encode(event: dict[str, Any]) -> str:
    """One event as a line of JSON: bytes in base64, a path by its name, an exchange by its fields."""
    return json.dumps(event, default=_plain) + "\n"


def decode_exchange(facts: dict[str, Any], spool: Path) -> Exchange:
    """The exchange that an event tells of; its spooled body lies in `spool`.

    Raises ValueError, KeyError, TypeError, OverflowError.
    """
    network = facts["network"]
    texts = [network[name] for name in ("ip", "protocol", "tls", "cipher")]
    "".join([facts["url"], facts["method"], facts["error"], *texts, *network["dns"]]).encode("utf-8")
    urlsplit(facts["url"])
    if facts["frames"] is not None:
        raise ValueError("no WebSocket is spoken here")
    chain = tuple(map(base64.b64decode, network["chain"]))
    known = {
        "client": CLIENT,
        "started": datetime.fromisoformat(facts["started"]).astimezone(UTC),
        "request_head": base64.b64decode(facts["request_head"]),
        "interim": tuple(map(base64.b64decode, facts["interim"])),
        "trailers": base64.b64decode(facts["trailers"]),
        "response_head": base64.b64decode(facts["response_head"]),
        "request_body": _body(facts["request_body"], spool) if facts["request_body"] else None,
        "response_body": _body(facts["response_body"], spool),
        "note": _path(facts["note"], spool),
        "layer": Layer(facts["layer"]),
        "network": Network(**{**network, "chain": chain, "dns": tuple(network["dns"])}),
    }
    return Exchange(**{**facts, **known})


def _body(facts: dict[str, Any], spool: Path) -> Body:
    data = facts["data"]
    known = {
        "size": count(facts["size"]),
        "path": _path(facts["path"], spool),
        "data": None if data is None else base64.b64decode(data),
        "state": BodyState(facts["state"]),
        "why": str(facts["why"]),
    }
    if "head" not in facts:
        return Body(**{**facts, **known})
    digests = [facts["block_sha256"], facts["payload_sha256"], facts["content_sha256"] or "0" * 64]
    if not all(map(_DIGEST.fullmatch, digests)):
        raise ValueError(f"{digests!r} are no digests")
    content_size = count(facts["content_size"])
    return SpooledBody(
        **{**facts, **known, "head": base64.b64decode(facts["head"]), "content_size": content_size}
    )


def count(value: object) -> int:
    """The value, if it is a whole number from 0. Raises ValueError."""
    if type(value) is not int or value < 0:  # True is an int as well
        raise ValueError(f"{value!r} is no number of things")
    return value


def _path(name: str | None, spool: Path) -> Path | None:
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no spool file")
    return spool / name if name else None


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Path():
            return value.name
        case datetime():
            return value.isoformat()
        case Exchange():
            return asdict(value)
    raise TypeError(f"{value!r} does not travel")
