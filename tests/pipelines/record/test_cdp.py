"""The fallback recorder: less exact, and it says of everything what it could not have."""

from __future__ import annotations

import threading
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.checker import Checker

from evidence.reasons import Reason
from evidence.warc_check import read_warc
from pipelines.record import cdp
from pipelines.record.cdp import CdpTap
from pipelines.record.cdp_exchanges import BODY_MAX, CdpAssembler
from pipelines.record.cdp_heads import request_head, response_head, without_codings
from pipelines.record.exchange import BodyState, Exchange
from pipelines.record.spool import BodySpool
from pipelines.record.tap import Recorder
from tests.pipelines.record.pages import a_folder, exchanges_of, facts_of, page_of, records_of
from tests.site import Site
from tests.site.everything import everything_url

CDP = Recorder("cdp")


@pytest.fixture(autouse=True)
def site_is_found_and_trusted(site: Site, monkeypatch: pytest.MonkeyPatch):
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder():
    with a_folder() as made:
        yield made


def test_a_page_that_fell_back_says_so_in_its_reasons_its_browser_and_its_records(site, folder):
    record = page_of(site.url("/post/removed"), folder, Recorder("cdp", "POST /post: recorded otherwise"))
    assert Reason("recorder-fallback", "POST /post: recorded otherwise") in record.reasons
    assert record.browser["recorder"] == {"name": "cdp", "why": "POST /post: recorded otherwise"}
    (facts, *_) = facts_of(folder, site.url("/post/removed"))
    assert facts["layer"] == "cdp-decoded"
    assert facts["tls"] == "tls/1.3"
    assert facts["ip"] == "127.0.0.1"


@pytest.mark.slow
def test_of_the_everything_page_nothing_that_was_served_is_silently_gone(site, folder):
    mark = site.log.mark()
    record = page_of(everything_url(site), folder, CDP)
    served = Counter((one.method, one.url) for one in site.log.since(mark, wait=30))
    recorded = Counter(
        (request.head.split(b" ")[0].decode(), without_user(request.uri))
        for request, _ in exchanges_of(folder)
    )
    listed = {one.url.replace("wss:", "https:"): one.why for one in record.missing}
    assert record.failed is None
    assert len(recorded) > 100
    assert [key for key in served if not recorded[key] and key[1] not in listed] == []
    assert [key for key in recorded if not served[key]] == []
    repeated = ("/odd/tired", "/auth/", "/web/service.js", "?for=service", "/broken/")
    fewer = [url for (method, url), count in served.items() if recorded[method, url] < count]
    assert [url for url in fewer if url not in listed and not any(part in url for part in repeated)] == []
    assert any("DevTools tells once" in why for why in listed.values())
    path = folder / "page.warc.gz"
    with path.open("rb") as stream:
        assert all(one.verify_block_digest() for one in FastIterator(stream, parse_http=False))
    with path.open("rb") as stream:
        assert all(
            one.verify_payload_digest() for one in FastIterator(stream, parse_http=True) if one.is_http
        )
    with path.open("rb") as stream:
        assert sum(1 for _ in read_warc(stream)) == len(records_of(folder))
    assert Checker(Namespace(inputs=[str(path)], verbose=False)).process_all() == 0


def without_user(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}/{path}"


def test_a_body_whose_coding_was_undone_is_stated_so_and_its_head_no_longer_names_it(site, folder: Path):
    page_of(site.url("/post/1"), folder, CDP)
    pairs = [pair for pair in exchanges_of(folder) if pair[0].uri == site.url("/assets/site.css")]
    response = pairs[0][1]
    assert response is not None
    assert b"\r\nX-Orig-Content-Encoding: gzip\r\n" in response.head
    assert b"\r\nContent-Encoding:" not in response.head
    (facts, *_) = facts_of(folder, site.url("/assets/site.css"))
    assert facts["body"]["state"] == "decoded"
    assert facts["body"]["why"].startswith("the browser undid gzip")


def test_what_the_fallback_loses_although_the_browser_reported_it_is_a_gap(site, folder, monkeypatch):
    handlers = dict(CdpAssembler.HANDLERS)
    begin, style = handlers["Network.requestWillBeSent"], site.url("/assets/site.css")
    handlers["Network.requestWillBeSent"] = lambda own, session, told: (
        None if told["request"]["url"] == style else begin(own, session, told)
    )
    monkeypatch.setattr(CdpAssembler, "HANDLERS", handlers)
    record = page_of(site.url("/post/novideo"), folder, CDP)
    assert [reason.code for reason in record.reasons] == ["exchange-missing"]
    assert style in {one.url for one in record.missing}


def test_an_upload_larger_than_the_browser_is_asked_to_repeat_is_named_as_missing(site, folder, monkeypatch):
    assert cdp._POST_MAX == 256 << 10
    monkeypatch.setattr(cdp, "_POST_MAX", 99_999)  # the page sends 100,000 bytes
    record = page_of(site.url("/bounds/page"), folder, CDP, page_timeout=1)
    large = [one.why for one in record.missing if one.url == site.url("/bounds/echo")]
    assert large == ["the browser told no bytes of a file or a large body that was sent"]


# The assembler alone: events in any order ------------------------------------------------------

URL = "https://a.test/x"


class Told:
    """An assembler that is told things; what it handed on, and what it asked."""

    def __init__(self, folder: Path) -> None:
        self.exchanges: list[Exchange] = []
        self.asked: list[tuple[str, Any]] = []
        self.assembler = CdpAssembler(
            spool=lambda head, path=None: BodySpool(path or folder / f"{uuid4().hex}.body", head),
            emit=self.exchanges.append,
            peer=lambda _: None,
        )
        self.assembler.ask = lambda _session, method, then, **_params: self.asked.append((method, then))

    def of(self, method: str, session: str = "s", **params: Any) -> Told:
        self.assembler.feed(session, f"Network.{method}", {"requestId": "1", **params})
        return self

    def begun(self, url: str = URL, **more: Any) -> Told:
        request = {"url": url, "method": "GET", "headers": {}}
        return self.of("requestWillBeSent", request=request, wallTime=1.7e9, type="Fetch", **more)

    def answered(self, status: int = 200, **more: Any) -> Told:
        response = {"status": status, "statusText": "", "headers": {}, **more}
        return self.of("responseReceived", response=response, hasExtraInfo=True)

    def sent(self) -> Told:
        return self.of("requestWillBeSentExtraInfo", headers={"accept": "real"})

    def received(self, status: int = 200, **headers: str) -> Told:
        return self.of("responseReceivedExtraInfo", headers=headers, statusCode=status)


@pytest.fixture
def told(folder: Path) -> Told:
    return Told(folder)


def test_an_exchange_waits_for_the_heads_that_were_announced(told):
    told.begun().answered().of("loadingFinished")
    assert told.exchanges == []
    told.sent().received(server="real")
    (exchange,) = told.exchanges
    assert b"accept: real" in exchange.request_head
    assert exchange.response_head == b"HTTP/1.1 200 \r\nserver: real\r\n\r\n"
    assert not told.assembler.under_way


def test_each_hop_of_a_redirect_has_its_own_heads_and_says_what_it_lacks(told):
    hop = {"status": 302, "statusText": "Found", "headers": {"content-length": "5"}}
    told.begun().sent().received(302, **{"content-length": "5"})
    told.begun(URL + "/2", redirectResponse=hop, redirectHasExtraInfo=True)
    told.sent().received(200).answered().of("loadingFinished")
    assert [one.url for one in told.exchanges] == [URL, URL + "/2"]
    assert told.exchanges[0].response_body.state is BodyState.ABSENT
    assert told.assembler.untold == [(URL, "a redirect's body is not kept by the browser")]


def test_a_body_too_large_to_be_asked_for_is_not_and_says_so(told):
    told.begun().answered().sent().received()
    for _, reply in told.asked:  # each asks to stream it
        reply({"error": {"message": "too late"}})
    told.of("dataReceived", dataLength=BODY_MAX + 1).of("loadingFinished")
    (exchange,) = told.exchanges
    assert exchange.response_body.state is BodyState.ABSENT
    assert exchange.response_body.why.startswith(f"length: {BODY_MAX + 1} bytes")
    assert {method for method, _ in told.asked} == {"Network.streamResourceContent"}


def test_a_script_whose_head_is_never_told_keeps_its_body_and_says_so(told):
    told.begun().of("dataReceived", dataLength=3).of("loadingFinished")
    told.asked[-1][1]({"result": {"body": "abc", "base64Encoded": False}})
    told.assembler.close("the visit was over")
    (exchange,) = told.exchanges
    assert (exchange.response_head, exchange.response_body.path.read_bytes()) == (b"", b"abc")
    assert "no head" in told.assembler.untold[0][1]


def test_what_was_under_way_at_the_end_is_cut_short_and_handed_on(told):
    told.begun().sent().answered().received()
    told.asked[0][1]({"result": {"bufferedData": "YWI="}})
    told.of("dataReceived", dataLength=2, data="Y2Q=")
    told.assembler.close("time: the time allowed was over")
    (exchange,) = told.exchanges
    assert exchange.response_body.path.read_bytes() == b"abcd"
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.response_body.why == "time: the time allowed was over"


@pytest.mark.parametrize(
    ("field", "value", "undone"),
    [("Content-Encoding", "gzip", "gzip"), ("Transfer-Encoding", "chunked", "chunked")],
)
def test_a_body_cut_short_whose_coding_was_undone_says_both_and_its_head_no_longer_names_it(
    told, field, value, undone
):
    told.begun().sent().answered().received(**{field: value})
    told.asked[0][1]({"result": {"bufferedData": "YWI="}})
    told.assembler.close("time: the time allowed was over")
    (exchange,) = told.exchanges
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.response_body.why == f"time: the time allowed was over; the browser undid {undone}"
    assert exchange.response_head == f"HTTP/1.1 200 \r\nX-Orig-{field}: {value}\r\n\r\n".encode()


def test_a_body_cut_short_as_it_came_keeps_its_head(told):
    told.begun().sent().answered().received(**{"Content-Length": "9"})
    told.asked[0][1]({"result": {"bufferedData": "YWI="}})
    told.assembler.close("time: the time allowed was over")
    (exchange,) = told.exchanges
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.response_head == b"HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n"


def a_tap_with_one_open(told: Told) -> CdpTap:
    told.begun().sent().answered().received()
    return CdpTap(told.assembler)


@pytest.mark.parametrize("failure", [None, ValueError("not as it was"), KeyError("requestId")])
def test_what_came_before_the_devtools_broke_is_handed_on_and_the_failure_told(told, failure):
    tap = a_tap_with_one_open(told)
    tap.failure = failure
    if failure is None:
        tap.finish("disconnect: the visit was over")
    else:
        with pytest.raises(type(failure)):
            tap.finish("disconnect: the visit was over")
    assert [one.error for one in told.exchanges] == ["disconnect: the visit was over"]


def test_a_disk_that_failed_is_not_written_to_again(told):
    tap = a_tap_with_one_open(told)
    tap.failure = OSError("no space left")
    with pytest.raises(OSError, match="no space"):
        tap.finish("disconnect: the visit was over")
    assert told.exchanges == []


def test_nothing_is_closed_under_the_hands_of_a_thread_that_still_works(told, monkeypatch):
    monkeypatch.setattr(cdp, "_SETTLE_SECONDS", 0.1)
    tap, stop = a_tap_with_one_open(told), threading.Event()
    tap._thread = threading.Thread(target=stop.wait)
    tap._thread.start()
    try:
        with pytest.raises(ValueError, match="did not end"):
            tap.finish("disconnect: the visit was over")
    finally:
        stop.set()
        tap._thread.join()
    assert told.exchanges == []


def test_a_request_that_failed_unsent_is_no_exchange(told):
    told.begun().of("loadingFailed", errorText="net::ERR_FAILED", blockedReason="csp")
    told.assembler.close("")
    assert told.exchanges == []
    assert told.assembler.unsent == [(URL, "blocked by the browser: csp")]


def test_heads_are_rendered_from_what_devtools_tells():
    request = {"url": "https://a.test/v?id=7", "method": "GET", "headers": {"accept": "*/*"}}
    h2 = {"headers": {":authority": "a.test", ":path": "/v?id=7", "accept": "text/html"}}
    assert request_head(request, {}) == b"GET /v?id=7 HTTP/1.1\r\nHost: a.test\r\naccept: */*\r\n\r\n"
    assert request_head(request, h2) == b"GET /v?id=7 HTTP/1.1\r\nhost: a.test\r\naccept: text/html\r\n\r\n"
    answer = {"status": 200, "statusText": "OK", "headers": {"content-length": "3", "set-cookie": "a=1\nb=2"}}
    assert response_head(answer, {}) == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n"
    )
    assert without_codings(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nX-Orig-Content-Length: 3\r\n\r\n"
    )


def test_a_head_whose_text_the_browser_has_damaged_is_rendered_from_its_fields():
    answer = {"status": 200, "statusText": "OK", "headers": {"x": "y"}}
    text = "HTTP/1.1 200 Fine\r\nX:   y\r\n\r\n"
    kept = {"statusCode": 200, "headers": {"X": "y"}, "headersText": text}
    assert response_head(answer, kept) == text.encode()
    damaged = {"statusCode": 200, "headers": {"X": "caf\xe9"}, "headersText": text}
    assert response_head(answer, damaged) == b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\n\r\n"
