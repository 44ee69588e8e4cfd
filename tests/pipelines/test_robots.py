"""robots.txt: what each answer means (RFC 9309)."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from pipelines.robots import Answer, decide


def decided(status: int, body: bytes = b"", error: str = "", url: str = "https://a.test/private/1?x=1"):
    async def fetch(asked: str) -> Answer:
        assert asked == "https://a.test/robots.txt"
        return Answer(status, body, (), error)

    return asyncio.run(decide(url, fetch))


@pytest.mark.parametrize(
    ("status", "body", "allowed", "code"),
    [
        (200, b"User-agent: *\nDisallow: /private/\n", False, "disallowed"),
        (200, b"User-agent: Akashi\nAllow: /\nUser-agent: *\nDisallow: /\n", True, "allowed"),
        (200, b"User-agent: akashi\nDisallow: /\n", False, "disallowed"),
        (200, b"\xff\xfe not text \x00", True, "allowed"),
        (404, b"", True, "absent"),
        (403, b"", True, "absent"),
        (503, b"", False, "unreachable"),
    ],
)
def test_each_answer_means_what_the_standard_says(status, body, allowed, code):
    decision = decided(status, body)
    assert (decision.allowed, decision.code) == (allowed, code)


def test_no_answer_at_all_leaves_the_page_itself_to_fail_and_be_recorded():
    decision = decided(0, error="DNS")
    assert decision.allowed
    assert decision.facts["decision"] == "no-answer"


def test_the_bytes_that_decided_are_named_by_their_digest():
    body = b"User-agent: *\n"
    assert decided(200, body).facts["sha256"] == hashlib.sha256(body).hexdigest()
