"""robots.txt (RFC 9309) for one URL: obeyed, or lifted by a named person with a reason; always recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from protego import Protego

from evidence.digests import digest_bytes
from pipelines.record.exchange import Exchange

PRODUCT: Final = "Akashi"
"""The product token that a site names to address us."""
MAX_BYTES: Final = 500 * 1024
"""RFC 9309 §2.5: a crawler must parse at least 500 KiB; what lies beyond is ignored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What fetching robots.txt gave: a status and a body, or `error` when no answer arrived."""

    status: int
    body: bytes
    exchanges: Sequence[Exchange] = ()
    """Every hop of it, as recorded."""
    error: str = ""


Fetch = Callable[[str], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the URL may be fetched, and why, as the manifest holds it."""

    allowed: bool
    code: str
    """`allowed`, `disallowed`, `unreachable`, `absent` or `no-answer`."""
    facts: dict[str, Any]
    exchanges: Sequence[Exchange]


async def decide(url: str, fetch: Fetch) -> Decision:
    """Ask the host's robots.txt.

    2xx: its rules count. 4xx: there are none (RFC 9309 §2.3.1.3). 5xx: all is disallowed
    (§2.3.1.4). No answer at all (DNS, TLS, connection): the page itself will fail the same
    way and be recorded doing so, so it is left to.
    """
    parts = urlsplit(url)
    robots_url = f"{parts.scheme}://{parts.netloc}/robots.txt"
    answer = await fetch(robots_url)
    facts: dict[str, Any] = {"url": robots_url, "status": answer.status, "sha256": "", "size": 0}
    if answer.error:
        return Decision(
            True, "no-answer", {**facts, "decision": "no-answer", "detail": answer.error}, answer.exchanges
        )
    digests = digest_bytes(answer.body)
    facts.update(sha256=digests.sha256, size=digests.size)
    if answer.status >= 500:  # noqa: PLR2004 - HTTP's own classes
        code, allowed = "unreachable", False
    elif answer.status >= 400:  # noqa: PLR2004
        code, allowed = "absent", True
    else:
        rules = Protego.parse(answer.body[:MAX_BYTES].decode("utf-8", "replace"))
        allowed = bool(rules.can_fetch(url, PRODUCT))
        code = "allowed" if allowed else "disallowed"
    return Decision(allowed, code, {**facts, "decision": code, "detail": ""}, answer.exchanges)
