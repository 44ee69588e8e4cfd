"""Outcomes, and the one closed list of reasons why a capture is less than complete.

Documented for operators in docs/cli.md (a test compares the two). A reason is
`{code, detail}`; its code decides the outcome and, before anything started, the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What became of one attempt."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


REFUSALS: Final = {
    "address-refused": "the host is, or resolves to, an address that is not public",
    "robots-disallowed": "the site's robots.txt disallows the URL",
    "robots-unreachable": "robots.txt could not be fetched (5xx or no answer), so nothing was assumed",
    "out-of-scope": "the candidate is outside the crawl's scope",
    "already-captured": "a crawl found a URL that is captured already",
    "over-budget": "the crawl's budget is spent",
    "no-video-hint": "the candidate names no video",
}
FAILURES: Final = {
    "address-refused": REFUSALS["address-refused"],
    "dns-failed": "the host's name could not be resolved",
    "connection-failed": "the host could not be reached, or closed the connection",
    "tls-failed": "the host's certificate did not verify, or TLS failed",
    "http-401": "the page asks for a login",
    "http-403": "the page is forbidden to us",
    "http-429": "the host asks us to slow down",
    "http-5xx": "the host answered with a server error",
    "http-4xx": "the host answered with another client error",
    "timeout": "the page did not arrive within the time allowed",
    "browser-failed": "Chromium could not be started, or died",
    "interrupted": "the process was stopped or killed",
    "disk-full": "the local disk has no room left",
    "step-failed": "a step ended with an error that has no name of its own",
}
SHORTCOMINGS: Final = {
    "page-gone": "the page is gone (404, 410) or says that the post was removed",
    "empty-page": "the page arrived without any content",
    "page-unsettled": "the page never became quiet; it was recorded up to the time allowed",
    "challenge-unsolved": "the site asks for a proof of being human, which is never given",
    "consent-remains": "a consent dialog that no rule removes covers the page",
    "no-video": "no video was found on the page",
    "no-video-requested": "the video was left out by --no-video",
    "video-refused": "the host refused the video",
    "video-too-large": "the video exceeds the size allowed",
    "video-cut": "the video's download ended before its end",
    "video-failed": "the downloader ended with an error",
    "video-challenge": "the host wants a bot challenge solved first, which is never done",
    "video-live": "the video is live: it has no end, and what is there now is no original",
    "video-extra-failed": "subtitles or a thumbnail that the site names did not come",
    "video-not-recorded": "a video file cannot be tied to recorded exchanges",
    "exchange-missing": "a request that the browser reported was not recorded",
    "recorder-fallback": "the exact recorder could not be trusted here; the page was recorded less exactly",
    "resource-refused": "a sub-resource leads to an address that is not public",
    "screenshot-failed": "a screenshot could not be taken",
    "inspect-failed": "a file could not be inspected",
    "derivative-failed": "the playable copy could not be made",
    "budget-spent": "the bytes or the time allowed for the page were spent",
}
CODES: Final = frozenset(REFUSALS) | frozenset(FAILURES) | frozenset(SHORTCOMINGS)


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why something is less than complete: a code from the closed list, and a sentence of detail."""

    code: str
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse a code outside the closed list, so that no reason is ever improvised."""
        if self.code not in CODES:
            raise ValueError(f"unknown reason code {self.code!r}")

    def as_json(self) -> dict[str, str]:
        """`{code, detail}`, as printed and as written into the manifest."""
        return {"code": self.code, "detail": self.detail}


def outcome_of(reasons: tuple[Reason, ...], *, failed: bool) -> Outcome:
    """The outcome that the reasons amount to: failed rules, then partial, then complete."""
    if failed:
        return Outcome.FAILED
    return Outcome.PARTIAL if reasons else Outcome.COMPLETE
