"""The everything page over HTTP/2, compared with what its server says it received and sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.record.page import PageRecord
from tests.pipelines.record.pages import Record, a_folder, exchanges_of, facts_of, frames_of, page_of
from tests.site.everything_h2 import SiteH2

Pair = tuple[Record, Record | None]
RUNS = 10


@dataclass
class Run:
    """One recording and what the server told of it."""

    record: PageRecord
    folder: Path
    origin: str
    served: list[dict[str, Any]]
    lacking: list[str]
    """What was served and not recorded exactly so."""
    left: list[Pair]
    """What was recorded and never served."""

    def facts(self, path: str) -> list[dict[str, Any]]:
        return facts_of(self.folder, self.origin + path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def recorded_so(served: dict[str, Any], request: Record, response: Record | None) -> bool:
    """Whether the pair is what was served: bodies by their digests, heads by what they begin with."""
    first, _, rest = request.head.partition(b"\r\n")
    host = rest.partition(b"\r\n")[0].lower()
    if (first, host, sha256(request.body)) != (
        f"{served['method']} {served['path']} HTTP/1.1".encode(),
        b"host: " + served["host"].encode(),
        served["sent"],
    ):
        return False
    if response is None:
        return served["status"] == 0
    truncated = "WARC-Truncated" in response.headers
    status = response.head.startswith(b"HTTP/1.1 %d" % served["status"])
    return status and sha256(response.body) == served["answered"] and truncated is served.get("cut", False)


def run_everything(folder: Path) -> Run:
    """Record the page once."""
    with pytest.MonkeyPatch.context() as patch, SiteH2() as site:
        for name, value in site.environment().items():
            patch.setenv(name, value)
        record = page_of(f"{site.origin}/", folder)
    left, lacking = exchanges_of(folder), []
    for one in site.served:
        match = next((pair for pair in left if recorded_so(one, *pair)), None)
        if match is None:
            near = [(q.head[:60], r and (r.head[:30], r.body[:30], r.headers.get("WARC-Truncated"))) for q, r in left
                    if one["path"] in q.uri]  # fmt: skip
            lacking.append(f"{one} but {near!r:.600}")
        else:
            left.remove(match)
    return Run(record, folder, site.origin, site.served, lacking, left)


@pytest.fixture(scope="module")
def run():
    with a_folder() as made:
        yield run_everything(made)


def test_all_that_was_served_is_recorded_and_nothing_else(run):
    assert "ready" in run.record.text
    assert run.lacking == []
    assert [request.head[:80] for request, _ in run.left] == []
    assert len(run.served) > 35
    assert [reason.code for reason in run.record.reasons] == []


def test_what_went_before_and_behind_an_answer_stands_in_its_facts(run):
    assert run.facts("/")[0]["interim"][0].startswith("HTTP/1.1 103 \r\nlink: </hinted>")
    assert run.facts("/trailers")[0]["trailers"] == "x-sum: 26\r\nx-more: two\r\n"


def test_a_websocket_over_http2_is_recorded_frame_by_frame(run):
    ((record, client, server),) = frames_of(run.folder)
    (served,) = [one for one in run.served if one["method"] == "CONNECT"]
    assert server.hex() == served["frames_out"]
    assert client.hex() == served["frames_in"]
    (facts,) = run.facts("/socket")
    assert facts["frames"]["record"] == record.headers["WARC-Record-ID"]
    assert "WARC-Truncated" not in record.headers


def test_a_request_that_was_sent_again_is_there_each_time(run):
    for path in ("/refused-once?n=1", "/goaway-before", "/one-one?x"):
        first, *_, last = [one["error"] for one in run.facts(path)]
        assert (bool(first), last) == (True, ""), path
    assert [one["protocol"] for one in run.facts("/one-one?x")] == ["h2", "http/1.1"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_of_ten_runs_record_all_that_was_served():
    for _ in range(RUNS):
        with a_folder() as made:
            run = run_everything(made)
            assert "ready" in run.record.text
            assert (run.lacking, run.left) == ([], [])
