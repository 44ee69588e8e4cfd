"""Must show 1 for Scrapy: a crawl's WARC against what the server logged byte for byte, and how a crawl ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Archive, Recorded, read_exchanges, read_records
from tests.site import Site

SPIDER = str(ROOT / "tests/end_to_end/wire_spider.py")
FAST = (
    *("-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0", "-s", "AUTOTHROTTLE_ENABLED=0"),
    *("-s", "CONCURRENT_REQUESTS_PER_DOMAIN=4", "-s", "DOWNLOAD_MAXSIZE=1000000"),
    *("-s", "DOWNLOAD_TIMEOUT=60", "-s", "RETRY_TIMES=1"),
)


@dataclass
class Crawled:
    """One crawl: its WARC, what the server logged meanwhile, what the spider was told, its two entries."""

    warc: Path
    served: list
    told: dict[str, dict]
    started: dict
    ended: dict
    log: str

    @property
    def recorded(self) -> list[Recorded]:
        return read_exchanges(self.warc)

    def document(self, name: str) -> Any:
        uri = f"urn:akashi:{self.ended['subject']}:{name}"
        (block,) = [b for h, b in read_records(self.warc, "resource") if h["WARC-Target-URI"] == uri]
        return json.loads(block)

    def facts(self, path: str) -> list[dict]:
        """The network facts of a path's exchanges."""
        found = []
        for headers, block in read_records(self.warc, "metadata"):
            if path in headers["WARC-Target-URI"] and headers["Content-Type"] == "application/json":
                found.append(json.loads(block))
        return found


def crawl_of(archive: Archive, served: list, folder: Path, done) -> Crawled:
    entries = archive.entries()
    ended = [entry for entry in entries if entry["type"] == "crawl.ended"][-1]
    copy = archive.run("akashi", "store", "copy", "--to", str(folder))
    assert copy.returncode == 0, copy.stderr
    (item,) = ended["body"]["objects"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {f"{line['method']} {line['url'].partition('/wire/')[2]}": line for line in lines}
    return Crawled(folder / item["key"], served, told, entries[ended["body"]["started"]], ended, done.stderr)


def crawl(site: Site, archive: Archive, folder: Path) -> Crawled:
    mark = site.log.mark()
    done = archive.run(
        *("scrapy", "runspider", SPIDER, "-a", f"base={site.url('')}", "-a", f"more={site.closed_url}"), *FAST
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return crawl_of(archive, site.log.since(mark), folder, done)


@pytest.fixture(scope="module")
def crawled(site: Site, archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    return crawl(site, archive, tmp_path_factory.mktemp("crawl") / "copy")


def differences(crawled: Crawled) -> list[str]:
    """Served exchanges that no recorded one equals, and recorded ones that nobody served."""
    left, wrong = crawled.recorded, []
    for exchange in crawled.served:
        same = [
            r
            for r in left
            if (r.request_head, r.request_body) == (exchange.request_head, exchange.request_body)
            and (r.response_head == exchange.response_head or "/wire/late" in exchange.url)
            and (
                r.response_body == exchange.body_bytes()
                or ("WARC-Truncated" in r.headers and exchange.body_bytes().startswith(r.response_body))
                or not r.response_head
            )
        ]
        if same:
            left.remove(same[0])
        else:
            wrong.append(f"{exchange.method} {exchange.url} {exchange.response_head!r}")
    return wrong + [f"nobody served {r.method} {r.url}" for r in left]


def test_every_exchange_is_in_the_crawls_warc_as_the_server_logged_it(crawled: Crawled) -> None:
    assert len(crawled.served) >= 18
    wrong = differences(crawled)
    assert not wrong, "\n".join(wrong)
    assert crawled.ended["body"]["exchanges"] == len(crawled.served)
    paths = [e.url.partition(str(e.port))[2].partition("?")[0] for e in crawled.served]
    assert paths[0] == "/robots.txt"
    assert {"/wire/hop", "/wire/hop/2"} <= set(paths)
    assert paths.count("/wire/500") == 2  # asked for again
    assert {e.method for e in crawled.served} == {"GET", "HEAD", "POST"}
    by_connection = [e.connection for e in crawled.served]
    assert len(set(by_connection)) < len(by_connection)  # several on one connection


def test_scrapy_itself_sees_what_it_saw_before(crawled: Crawled) -> None:
    told = crawled.told
    assert told["GET headers"]["status"] == 200
    assert told["GET gzip-chunks"]["size"] > 5000  # decoded, as ever
    assert told["HEAD gzip"] == {**told["HEAD gzip"], "status": 200, "size": 0}
    assert told["GET 500"]["error"] == told["GET nowhere"]["error"] == "HttpError"
    assert told["GET cut"]["error"] == "ResponseDataLossError"
    assert told["GET large"]["error"] == told["GET large-chunks"]["error"] == "DownloadCancelledError"
    assert told["GET late?delay=5"]["error"] == told["GET drip?delay=10"]["error"] == "DownloadTimeoutError"


@pytest.mark.parametrize(
    ("path", "word", "why"),
    [
        ("/wire/cut", "disconnect", "disconnect: the connection ended after 1234 of"),
        ("/wire/large", "length", "DOWNLOAD_MAXSIZE"),
        ("/wire/large-chunks", "length", "length: DownloadCancelledError"),
        ("/wire/drip?delay=10", "time", "time: DownloadTimeoutError"),
    ],
)
def test_what_ended_early_is_kept_and_says_why(crawled: Crawled, path: str, word: str, why: str) -> None:
    cut = [r for r in crawled.recorded if r.url.endswith(path)]
    assert cut
    assert {r.headers.get("WARC-Truncated") for r in cut} == {word}
    for facts in crawled.facts(path):
        if facts["url"].endswith(path):
            assert facts["body"]["state"] == "truncated"
            assert facts["body"]["why"].startswith(why.partition("DOWNLOAD_MAXSIZE")[0])


def test_an_answer_that_never_came_and_a_host_that_was_never_reached_are_told_apart(crawled: Crawled) -> None:
    late = [r for r in crawled.recorded if "/wire/late" in r.url]
    assert late
    assert not any(r.response_head for r in late)
    assert all(f["error"].startswith("time: DownloadTimeoutError") for f in crawled.facts("/wire/late"))
    missing = crawled.document("missing.json")
    assert {(m["client"], m["url"].rpartition(":")[0]) for m in missing} == {
        ("scrapy", "https://closed.example.test")
    }
    assert any("DownloadConnectionRefusedError" in m["why"] for m in missing)


def test_each_exchange_has_its_address_and_its_tls_facts(crawled: Crawled, site: Site) -> None:
    for recorded in crawled.recorded:
        if recorded.response_head:
            assert recorded.headers["WARC-IP-Address"] == "127.0.0.1"
            assert recorded.headers["WARC-Protocol"] == "http/1.1,tls/1.3"
            assert recorded.headers["WARC-Cipher-Suite"].startswith("TLS_AES_")
    (fact, *_) = crawled.facts("/wire/headers")
    assert (fact["ip"], fact["port"], fact["dns"]) == ("127.0.0.1", site.port, ["127.0.0.1"])
    assert (fact["client"], fact["layer"]) == ("scrapy", "h1-bytes")
    assert len(fact["chain"]) == len(site.chain)


@pytest.mark.parametrize(
    "checker", [["warcio", "check"], ["fastwarc", "check", "-p"]], ids=["warcio", "fastwarc"]
)
def test_strangers_tools_find_it_sound(crawled: Crawled, checker: list[str]) -> None:
    program = Path(sys.executable).parent / checker[0]
    done = subprocess.run([program, *checker[1:], crawled.warc], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_audit_finds_nothing_and_counts_the_crawl(crawled: Crawled, archive: Archive) -> None:
    (*_, summary) = archive.objects("akashi", "audit")
    assert summary["findings"] == 0
    assert summary["crawls"] >= 1
    assert crawled.started["type"] == "crawl.started"
    assert crawled.ended["body"]["outcome"] == "finished"
    assert crawled.document("crawl.json")["arguments"]["base"].startswith("https://")
    assert not list((archive.home / "spool").iterdir())


@pytest.mark.slow
def test_a_capture_names_the_crawl_that_found_it(site: Site, own_archive: Archive, tmp_path: Path) -> None:
    mark = site.log.mark()
    done = own_archive.run(
        *("scrapy", "crawl", "feeds", "-a", f"url={site.url('/feed.xml')}", "-a", "limit=1"), *FAST,
        *("-s", "AKASHI_NO_VIDEO=1"),
    )  # fmt: skip
    crawled = crawl_of(own_archive, site.log.since(mark), tmp_path / "copy", done)
    (row,) = own_archive.objects("akashi", "list")
    found_by = own_archive.objects("akashi", "show", row["capture"])[0]["manifest"]["request"]["found_by"]
    (item,) = crawled.ended["body"]["objects"]
    assert found_by["crawl"] == {"id": crawled.ended["subject"], "warc": item["key"]}
    of_the_crawl = {r.url for r in crawled.recorded}
    assert found_by["query"] in of_the_crawl
    assert crawled.ended["body"]["candidates"] == 1
    robots = [r for r in crawled.recorded if r.url.endswith("/robots.txt")]
    assert len(robots) == 2  # the spider's, and the admission's
    capture = next(warc for warc in (tmp_path / "copy" / "captures").rglob("*.warc.gz"))
    assert read_exchanges(capture)[0].request_head in {r.request_head for r in robots}
    assert own_archive.run("akashi", "audit").returncode == 0


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(signal.SIGINT, "stopped"), pytest.param(signal.SIGKILL, "interrupted", marks=pytest.mark.slow)],
)
def test_a_crawl_that_is_ended_from_outside_still_has_its_warc(
    site: Site, archive: Archive, tmp_path: Path, number: int, outcome: str
) -> None:
    mark = site.log.mark()
    process = archive.start(
        *("scrapy", "runspider", SPIDER, "-a", f"base={site.url('')}", "-a", "paths=gzip drip?delay=8"),
        *FAST,
    )  # fmt: skip
    for _ in range(600):
        if any("/wire/drip" in e.url for e in site.log._exchanges[mark:]):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, number)
    _, log = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        archive.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
    done = subprocess.CompletedProcess([], 0, "", log)
    crawled = crawl_of(archive, site.log.since(mark), tmp_path / "copy", done)
    assert crawled.ended["body"]["outcome"] == outcome
    assert any(r.url.endswith("/wire/gzip") and r.response_head for r in crawled.recorded)
    assert archive.run("akashi", "audit").returncode == 0
    assert not list((archive.home / "spool").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_recorded_is_all_that_was_served_in_ten_crawls_of_ten(
    site: Site, own_archive: Archive, tmp_path: Path
) -> None:
    served = recorded = 0
    for number in range(10):
        crawled = crawl(site, own_archive, tmp_path / str(number))
        wrong = differences(crawled)
        assert not wrong, "\n".join(wrong)
        served += len(crawled.served)
        recorded += len(crawled.recorded)
    assert served == recorded >= 180


@pytest.mark.slow
def test_a_crawl_that_cannot_be_entered_fetches_nothing(site: Site, own_archive: Archive) -> None:
    nowhere = {
        "AKASHI_STORE_ENDPOINT": f"http://127.0.0.1:{site.closed_url.split(':')[2].split('/')[0]}",
        "AKASHI_STORE_ACCESS_KEY": "none",
        "AKASHI_STORE_SECRET_KEY": "none",
    }
    mark = site.log.mark()
    done = own_archive.run(
        *("scrapy", "runspider", SPIDER, "-a", f"base={site.url('')}", "-a", "paths=gzip"), *FAST, **nowhere
    )
    assert site.log.since(mark) == []
    assert "store" in done.stderr
    assert json.loads(done.stdout)["error"] == "IgnoreRequest"
    assert "Spider closed" in done.stderr
