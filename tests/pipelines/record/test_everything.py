"""The everything page through a real Chromium: what was recorded beside what the servers logged."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.bufferedreaders import BufferedReader
from warcio.checker import Checker

from evidence.warc_check import read_warc
from pipelines.record.page import PageRecord
from tests.pipelines.record.pages import (
    Record,
    a_folder,
    exact_only,
    exchanges_of,
    facts_of,
    frames_of,
    page_of,
    records_of,
)
from tests.site import Site
from tests.site.everything import everything_url
from tests.site.served_log import ServedExchange

pytestmark = exact_only  # what the fallback makes of the page: test_cdp.py
Pair = tuple[Record, Record | None]
RUNS = 10


@dataclass
class Run:
    """One recording of the page and what the site logged meanwhile."""

    record: PageRecord
    folder: Path
    served: list[ServedExchange]
    pairs: list[Pair]
    lacking: list[str] = field(default_factory=list)
    """What was served and not recorded exactly so."""
    left: list[str] = field(default_factory=list)
    """What was recorded and never served."""

    def compare(self) -> None:
        """Fill `lacking` and `left`."""
        left = list(self.pairs)
        for one in self.served:
            match = next((pair for pair in left if recorded_so(one, *pair)), None)
            if match is None:
                near = [r and (r.headers.get("WARC-Truncated"), r.body) for q, r in left if q.uri == one.url]
                self.lacking.append(f"{one.method} {one.url} {one.status}, but {near!r:.300}")
            else:
                left.remove(match)
        self.left = [
            f"{request.head[:80]!r} {response and response.head[:40]!r}" for request, response in left
        ]


def may_be_cut(served: ServedExchange) -> bool:
    """Whether the browser may have had enough of it: given up, played by a player, nobody left to read it."""
    return any(part in served.target for part in ("given-up", "one.mp4", "on=pagehide", "socket/refused"))


def recorded_so(served: ServedExchange, request: Record, response: Record | None) -> bool:
    """Whether the pair is what was served, byte for byte; where the answer was cut, all that came of it."""
    if (served.request_head, served.request_body) != (request.head, request.body):
        return False
    if response is None:
        return served.status == 0 or "given-up" in served.target
    if served.response_head != response.head:
        return False
    if served.status == 101:
        return response.body == b""
    if "WARC-Truncated" not in response.headers:
        return served.completed and served.body_bytes() == response.body
    return (not served.completed or may_be_cut(served)) and served.body_bytes().startswith(response.body)


def run_everything(site: Site, folder: Path) -> Run:
    """Record the page once."""
    mark = site.log.mark()
    record = page_of(everything_url(site), folder)
    run = Run(record, folder, site.log.since(mark, wait=30), exchanges_of(folder))
    run.compare()
    return run


def is_facts(record: Record) -> bool:
    return record.type == "metadata" and record.headers["Content-Type"] == "application/json"


@pytest.fixture(autouse=True, scope="module")
def site_is_found_and_trusted(site: Site):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in site.environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def run(site: Site, site_is_found_and_trusted: None):
    with a_folder() as made:
        yield run_everything(site, made)


def test_the_page_comes_through(run):
    assert run.record.failed is None
    assert "ready" in run.record.text


def test_all_that_was_served_is_recorded_and_nothing_else(run):
    assert run.lacking == []
    assert run.left == []
    assert len(run.served) > 150


def test_what_crosses_a_websocket_is_kept_byte_for_byte(run):
    served = {one.target: one for one in run.served if one.status == 101}
    assert len(served) == 3
    by_response = {r.headers["WARC-Record-ID"]: q.uri for q, r in run.pairs if r}
    for record, client, server in frames_of(run.folder):
        one = served.pop("/" + by_response[record.headers["WARC-Concurrent-To"]].split("/", 3)[3])
        assert client == one.frames_in
        assert one.frames_out.startswith(server)
        if "left-open" not in one.target:
            assert server == one.frames_out
            assert "WARC-Truncated" not in record.headers
    assert served == {}


def test_what_is_not_in_the_record_is_listed_and_nothing_was_lost(run):
    assert run.record.reasons == []
    listed = {one.url.split("/", 3)[3]: one.why for one in run.record.missing}
    assert {url for url in listed if "given-up" not in url} == {  # which may be given up before it is sent
        "nobody", "nowhere", "everything/api/beacon?on=pagehide", "everything/api/landed?from=302",
        "everything/text/made-up", "everything/text/rewritten",
    }  # fmt: skip
    assert listed["everything/text/made-up"].startswith("the page's service worker answered")


def test_answers_before_the_answer_are_kept_beside_it(run):
    (facts,) = facts_of(run.folder, next(one.url for one in run.served if one.target.endswith("/odd/hints")))
    assert facts["interim"][0].startswith("HTTP/1.1 103 Early Hints\r\nLink: ")


def test_each_exchange_says_who_answered_over_what(run):
    stated = [json.loads(record.body) for record in records_of(run.folder) if is_facts(record)]
    assert len(stated) == len(run.served)
    for one in run.served:
        told = [facts for facts in stated if facts["url"] == one.url]
        assert told, one.url
        for facts in told:
            assert (facts["ip"], facts["dns"], facts["port"]) == ("127.0.0.1", ["127.0.0.1"], one.port)
            assert (facts["tls"], facts["cipher"], facts["layer"]) == ("tls/1.3", one.cipher, "h1-bytes")
            assert len(facts["chain"]) == 2
            assert facts["body"]["state"] in {"as-received", "truncated", "absent"}


def test_the_file_is_sound_for_warcio_for_fastwarc_and_for_our_own_reading(run, monkeypatch):
    path = run.folder / "page.warc.gz"
    # warcio 1.8.1 sets an attribute that Brotli 1.2's decompressor does not take, and stops; without Brotli it goes on.
    monkeypatch.delitem(BufferedReader.DECOMPRESSORS, "br", raising=False)
    assert Checker(Namespace(inputs=[str(path)], verbose=False)).process_all() == 0
    with path.open("rb") as stream:
        assert all(one.verify_block_digest() for one in FastIterator(stream, parse_http=False))
    with path.open("rb") as stream:
        assert sum(1 for _ in read_warc(stream)) == len(records_of(run.folder))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_of_ten_runs_record_all_that_was_served(site):
    for _ in range(RUNS):
        with a_folder() as made:
            run = run_everything(site, made)
            assert "ready" in run.record.text
            assert (run.lacking, run.left) == ([], [])
            assert [one.code for one in run.record.reasons] == []
