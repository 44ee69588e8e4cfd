"""What became of a page: which named reason its failure has, and what happened but was not recorded.

A SOCKS door tells Chromium little (`ERR_SOCKS_CONNECTION_FAILED`), so the tunnel's own lists say why.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from evidence.reasons import Reason
from pipelines.guard import Tunnel
from pipelines.record.exchange import Asked, Missing
from pipelines.record.page_visit import Seen
from pipelines.record.tap import Gathered

_CODES: Final = (
    (r"ERR_(CERT|SSL|BAD_SSL|TLS|ECH)_|ERR_(CT|CERTIFICATE|INSECURE)", "tls-failed"),
    (r"ERR_NAME_|ERR_DNS_|ERR_ICANN", "dns-failed"),
    (r"ERR_(CONNECTION_)?TIMED_OUT|no answer", "timeout"),
)
_STATUS: Final = {401: "http-401", 403: "http-403", 429: "http-429"}
GONE: Final = (404, 410)
"""No failures: the page is gone, and its tombstone is worth keeping."""
PORTS: Final = {"http": 80, "https": 443}

Place = tuple[str, int]
"""Host in lower case and port."""


def unreached(tunnel: Tunnel) -> dict[Place, Reason]:
    """What the tunnel knows of hosts that it did not reach."""
    failed = {
        (host.lower(), port): Reason(code, f"{host}: {why}") for host, port, code, why in tunnel.failures
    }
    refused = {
        (host.lower(), port): Reason("address-refused", f"{host}: {why}")
        for host, port, why in tunnel.refused
    }
    return failed | refused


def failure_of(document: str, status: int, error: str, door: dict[Place, Reason]) -> Reason | None:
    """Why the page failed, or None when it did not.

    `document` is the last URL that its document was asked for, `status` what that answered (0: nothing),
    `error` why it did not come, `door` what `unreached` gives.
    """
    if status and not (error and status // 100 == 3):  # noqa: PLR2004  # RFC 9110 §15.4: a redirect that leads nowhere
        if status < 400 or status in GONE:  # noqa: PLR2004  # RFC 9110 §15
            return None
        code = _STATUS.get(status, "http-5xx" if status >= 500 else "http-4xx")  # noqa: PLR2004
        return Reason(code, f"{document} answered {status}")
    if not error:
        return None
    place = _place(document)
    if place in door:
        return door[place]
    named = re.search(r"net::(ERR_\w+)", error)
    name = named[1] if named else error
    code = next((code for pattern, code in _CODES if re.match(pattern, name)), "connection-failed")
    return Reason(code, f"{place[0]}: {name}")


def gaps_of(
    assembler: Gathered, reported: Seen, recorded: Counter[Asked], door: dict[Place, Reason]
) -> tuple[list[Missing], list[Reason]]:
    """What happened but is not in the WARC, each URL once; and which of it makes a capture less than complete.

    That are refusals, and gaps in the recording itself: what the browser `reported` as answered more often
    than the tap has it. (What workers ask, what is prefetched, and preflights are told to the tap alone.)
    """
    refused, lacking = [], [url for _, url in assembler.lost]
    missing = {
        url: f"{method}: answered, and the recording does not have it" for method, url in assembler.lost
    }
    seen, unsent = {url for _, url in recorded}, Counter(url for url, _ in assembler.unsent)
    for url, error in assembler.unsent:
        if url in seen or url in missing:
            continue
        cause = door.get(_place(url))
        missing[url] = (
            f"nothing was sent: {cause.code}, {cause.detail}" if cause else f"nothing was sent: net::{error}"
        )
        if cause and cause.code == "address-refused" and url not in assembler.document[-1:]:
            refused.append(url)
    for (method, url), asked in reported.asked.items():
        answered = reported.answered[method, url]
        found = recorded[method, url] + assembler.cached[method, url] + unsent[url]
        if answered > found and url not in missing:
            missing[url] = f"{method}: the browser reported {answered} answers, the recording has {found}"
            lacking.append(url)
        elif asked > found:
            missing.setdefault(url, f"{method}: given up by the browser, nothing of it was recorded")
        elif not found:
            missing.setdefault(url, "the page's service worker answered: nothing crossed the network")
    for url, why in dict.fromkeys(assembler.untold):
        missing[url] = f"{missing[url]}; {why}" if url in missing else why
    reasons = [
        Reason(code, f"{len(urls)} requests, the first {urls[0]}")
        for code, urls in (("resource-refused", refused), ("exchange-missing", lacking))
        if urls
    ]
    return [Missing(url, why) for url, why in missing.items()], reasons


def _place(url: str) -> Place:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
