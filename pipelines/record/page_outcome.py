"""What became of a page: which named reason its failure has, and what happened but was not recorded.

A SOCKS door tells Chromium little (`ERR_SOCKS_CONNECTION_FAILED`), so the tunnel's own lists say why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from evidence.reasons import Reason
from pipelines.guard import Tunnel
from pipelines.record.exchange import Missing
from pipelines.record.netlog_exchanges import Assembler

_WEBSOCKET: Final = "WebSocket frames are not recorded yet"
_NET_ERROR: Final = re.compile(r"net::(ERR_\w+)")
_CODES: Final = (
    (r"ERR_(CERT|SSL|BAD_SSL|TLS|ECH)_|ERR_(CT|CERTIFICATE|INSECURE)", "tls-failed"),
    (r"ERR_NAME_|ERR_DNS_|ERR_ICANN", "dns-failed"),
    (r"ERR_(CONNECTION_)?TIMED_OUT", "timeout"),
)
_STATUS: Final = {401: "http-401", 403: "http-403", 429: "http-429"}
_GONE: Final = (404, 410)
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Door:
    """What the tunnel knows of hosts that were not reached, by (host, port)."""

    refused: dict[tuple[str, int], str]
    failed: dict[tuple[str, int], tuple[str, str]]
    """(code, why)."""

    @classmethod
    def of(cls, tunnel: Tunnel) -> Door:
        """The tunnel's lists, as they stand."""
        return cls(
            {(host.lower(), port): why for host, port, why in tunnel.refused},
            {(host.lower(), port): (code, why) for host, port, code, why in tunnel.failures},
        )


def failure_of(document: str, status: int, error: str, *, timed_out: bool, door: Door) -> Reason | None:
    """Why the page failed, or None when it did not.

    `document` is the last URL that its document was asked for, `status` what that answered (0: nothing),
    `error` what the browser said.
    """
    if status and not (error and status // 100 == 3):  # noqa: PLR2004  # RFC 9110 §15.4: a redirect that leads nowhere
        return _failure_of_status(document, status)
    place = _place(document)
    if place in door.refused:
        return Reason("address-refused", f"{place[0]}: {door.refused[place]}")
    if place in door.failed and (error or timed_out):
        code, why = door.failed[place]
        return Reason(code, f"{place[0]}: {why}")
    if timed_out:
        return Reason("timeout", f"no answer from {place[0]}")
    if not error:
        return None
    named = _NET_ERROR.search(error)
    name = named[1] if named else ""
    code = next((code for pattern, code in _CODES if re.match(pattern, name)), "connection-failed")
    return Reason(code, f"{place[0]}: {name or error}")


def shortcoming_of(document: str, status: int) -> Reason | None:
    """404 and 410 are no failure: the page is gone, and its tombstone is worth keeping."""
    return Reason("page-gone", f"{document} answered {status}") if status in _GONE else None


def missing_of(
    assembler: Assembler, reported: Iterable[str], recorded: set[str], door: Door
) -> list[Missing]:
    """What happened but is not in the WARC, each once: nothing sent, WebSockets, and what the log lacks."""
    missing: dict[str, str] = {}
    for url, error in assembler.unsent:
        if url not in recorded:
            missing.setdefault(url, _why_unsent(url, error, door))
    for url in assembler.websockets:
        missing.setdefault(url, _WEBSOCKET)
    known = recorded | assembler.cached | missing.keys()
    for url in reported:
        if url not in known:
            missing.setdefault(url, "the browser reported the request, its network log does not have it")
    return [Missing(url, why) for url, why in missing.items()]


def reasons_of(
    missing: Iterable[Missing], reported: Iterable[str], assembler: Assembler, door: Door
) -> list[Reason]:
    """Which of the missing make a capture less than complete: refusals, and gaps in the recording itself."""
    unsent = {url for url, _ in assembler.unsent}
    document = assembler.document[-1] if assembler.document else ""
    refused = [one.url for one in missing if one.url in unsent and _place(one.url) in door.refused]
    refused = [url for url in refused if url != document]
    asked = set(reported)
    lacking = [one.url for one in missing if one.url not in unsent and one.url in asked]
    reasons = []
    if refused:
        reasons.append(
            Reason("resource-refused", f"{len(refused)} of the page's requests, the first {refused[0]}")
        )
    if lacking:
        reasons.append(Reason("exchange-missing", f"{len(lacking)} requests, the first {lacking[0]}"))
    if assembler.websockets:
        reasons.append(Reason("exchange-missing", f"{_WEBSOCKET}: {assembler.websockets[0]}"))
    return reasons


def _failure_of_status(document: str, status: int) -> Reason | None:
    if status < 400 or status in _GONE:  # noqa: PLR2004  # RFC 9110 §15
        return None
    code = _STATUS.get(status, "http-5xx" if status >= 500 else "http-4xx")  # noqa: PLR2004
    return Reason(code, f"{document} answered {status}")


def _why_unsent(url: str, error: str, door: Door) -> str:
    place = _place(url)
    if place in door.refused:
        return f"nothing was sent: refused, {door.refused[place]}"
    if place in door.failed:
        return f"nothing was sent: {': '.join(door.failed[place])}"
    return f"nothing was sent: net::{error}"


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return (parts.hostname or "").lower(), port or _PORTS.get(parts.scheme, 0)
