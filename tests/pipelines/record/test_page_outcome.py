"""Which reason a page's trouble has, and what is listed as missing."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from evidence.reasons import CODES, Reason
from pipelines.guard import Failed, Refused, Tunnel
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.page_outcome import Place, failure_of, gaps_of, unreached
from pipelines.record.page_visit import Seen

PAGE = "https://a.test/post"
NOTHING: dict[Place, Reason] = {}


def a_door(*, refused: tuple[Refused, ...] = (), failures: tuple[Failed, ...] = ()) -> dict[Place, Reason]:
    """What a tunnel with these lists knows (the tunnel itself is faked: only its lists are read)."""
    return unreached(cast("Tunnel", SimpleNamespace(refused=list(refused), failures=list(failures))))


def an_assembler(**facts: Any) -> Assembler:
    """What the log told (the assembler itself is faked: only its lists are read)."""
    empty: dict[str, Any] = {"unsent": [], "lost": [], "untold": [], "cached": Counter(), "document": [PAGE]}
    return cast("Assembler", SimpleNamespace(**{**empty, **facts}))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("ERR_CERT_AUTHORITY_INVALID", "tls-failed"),
        ("ERR_CERT_COMMON_NAME_INVALID", "tls-failed"),
        ("ERR_CERTIFICATE_TRANSPARENCY_REQUIRED", "tls-failed"),
        ("ERR_SSL_PROTOCOL_ERROR", "tls-failed"),
        ("ERR_NAME_NOT_RESOLVED", "dns-failed"),
        ("ERR_TIMED_OUT", "timeout"),
        ("ERR_CONNECTION_TIMED_OUT", "timeout"),
        ("ERR_CONNECTION_RESET", "connection-failed"),
        ("ERR_EMPTY_RESPONSE", "connection-failed"),
        ("ERR_HTTP2_PROTOCOL_ERROR", "connection-failed"),
        ("ERR_SOCKS_CONNECTION_FAILED", "connection-failed"),
    ],
)
def test_what_the_browser_says_becomes_a_reason_of_the_closed_list(error, code):
    reason = failure_of(PAGE, 0, f"Page.goto: net::{error} at {PAGE}", NOTHING)
    assert reason is not None
    assert (reason.code, reason.detail) == (code, f"a.test: {error}")
    assert reason.code in CODES


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, None), (401, "http-401"), (403, "http-403"), (404, None), (410, None), (418, "http-4xx"),
     (429, "http-429"), (500, "http-5xx"), (599, "http-5xx")],
)  # fmt: skip
def test_a_status_decides_whatever_else_the_browser_says(status, code):
    reason = failure_of(PAGE, status, "net::ERR_HTTP_RESPONSE_CODE_FAILURE", NOTHING)
    assert (reason.code if reason else None) == code


def test_redirects_without_end_are_a_failure():
    reason = failure_of(PAGE, 302, "net::ERR_TOO_MANY_REDIRECTS", NOTHING)
    assert reason is not None
    assert reason.code == "connection-failed"


def test_the_tunnel_knows_better_than_the_browser_why_a_host_was_not_reached():
    error = "net::ERR_SOCKS_CONNECTION_FAILED"
    door = a_door(refused=(Refused("a.test", 443, "10.0.0.1 is private"),))
    refused = failure_of(PAGE, 0, error, door)
    door = a_door(failures=(Failed("A.test", 443, "dns-failed", "no such name"),))
    unknown = failure_of(PAGE, 0, error, door)
    elsewhere = failure_of("https://b.test/", 0, error, door)
    assert [one.code for one in (refused, unknown, elsewhere) if one] == [
        "address-refused",
        "dns-failed",
        "connection-failed",
    ]


def seen(*answered: str, asked: tuple[str, ...] = (), by_worker: tuple[str, ...] = ()) -> Seen:
    """What Playwright told: requests with an answer, without one, and those that a service worker answered."""
    known = Counter(("GET", url) for url in answered)
    told = known + Counter(("GET", url) for url in asked)
    told.update({("GET", url): 0 for url in by_worker})
    return Seen(asked=told, answered=known)


def recorded(*urls: str) -> Counter[tuple[str, str]]:
    return Counter(("GET", url) for url in urls)


def test_a_reported_answer_that_the_log_lacks_is_missing_and_a_reason():
    assembler = an_assembler(cached=recorded("https://a.test/cached"))
    reported = seen(PAGE, "https://a.test/cached", "https://a.test/lost")
    missing, reasons = gaps_of(assembler, reported, recorded(PAGE), NOTHING)
    assert [one.url for one in missing] == ["https://a.test/lost"]
    assert [one.code for one in reasons] == ["exchange-missing"]


def test_the_second_of_two_like_requests_is_missed_too():
    missing, reasons = gaps_of(an_assembler(), seen(PAGE, PAGE), recorded(PAGE), NOTHING)
    assert [one.why for one in missing] == ["GET: the browser reported 2 answers, the recording has 1"]
    assert [one.code for one in reasons] == ["exchange-missing"]
    other = Counter({("POST", PAGE): 1, **recorded(PAGE)})
    assert gaps_of(an_assembler(), seen(PAGE, PAGE), other, NOTHING)[1] != []


def test_what_the_log_itself_shows_to_lack_is_a_reason_even_if_nobody_reported_it():
    assembler = an_assembler(lost=[("POST", "https://a.test/from-a-worker")])
    missing, reasons = gaps_of(assembler, seen(PAGE), recorded(PAGE), NOTHING)
    assert [one.url for one in missing] == ["https://a.test/from-a-worker"]
    assert [one.code for one in reasons] == ["exchange-missing"]


def test_what_was_lost_stays_a_gap_although_a_service_worker_answered_the_same_url():
    lost = "https://a.test/both"
    missing, reasons = gaps_of(
        an_assembler(lost=[("GET", lost)]), seen(PAGE, by_worker=(lost,)), recorded(PAGE), NOTHING
    )
    assert [one.why for one in missing] == ["GET: answered, and the recording does not have it"]
    assert [one.code for one in reasons] == ["exchange-missing"]


def test_what_a_service_worker_answered_or_the_browser_gave_up_is_listed_and_no_gap():
    reported = seen(PAGE, asked=("https://a.test/given-up",), by_worker=("https://a.test/made-up",))
    missing, reasons = gaps_of(an_assembler(), reported, recorded(PAGE), NOTHING)
    assert {one.url: one.why for one in missing} == {
        "https://a.test/given-up": "GET: given up by the browser, nothing of it was recorded",
        "https://a.test/made-up": "the page's service worker answered: nothing crossed the network",
    }
    assert reasons == []


def test_a_request_that_was_never_sent_is_missing_with_its_cause_but_no_gap_in_the_recording():
    url = "https://dead.test/x.js"
    assembler = an_assembler(unsent=[(url, "ERR_SOCKS_CONNECTION_FAILED")])
    door = a_door(failures=(Failed("dead.test", 443, "dns-failed", "no such name"),))
    missing, reasons = gaps_of(assembler, seen(PAGE, asked=(url,)), recorded(PAGE), door)
    assert [(one.url, one.why) for one in missing] == [
        (url, "nothing was sent: dns-failed, dead.test: no such name")
    ]
    assert reasons == []


def test_a_refused_sub_resource_is_missing_and_a_reason_and_the_page_itself_is_not():
    url = "https://10.0.0.1/x.png"
    assembler = an_assembler(unsent=[(url, "ERR_SOCKS_CONNECTION_FAILED")])
    door = a_door(refused=(Refused("10.0.0.1", 443, "10.0.0.1 is private"),))
    missing, reasons = gaps_of(assembler, seen(asked=(url,)), recorded(PAGE), door)
    assert [one.why for one in missing] == [
        "nothing was sent: address-refused, 10.0.0.1: 10.0.0.1 is private"
    ]
    assert [one.code for one in reasons] == ["resource-refused"]
    itself = an_assembler(unsent=assembler.unsent, document=[url])
    _, reasons = gaps_of(itself, seen(asked=(url,)), recorded(PAGE), door)
    assert reasons == []


def test_what_a_tap_could_not_have_is_missing_with_every_reason_and_no_gap_in_itself():
    untold = [(PAGE, "no body"), (PAGE, "no body"), (PAGE, "no head"), ("wss://a.test/", "no frames")]
    missing, reasons = gaps_of(an_assembler(untold=untold), Seen(), Counter(), NOTHING)
    assert [(one.url, one.why) for one in missing] == [
        (PAGE, "no body; no head"),
        ("wss://a.test/", "no frames"),
    ]
    assert reasons == []
