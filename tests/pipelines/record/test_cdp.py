"""The fallback recorder: less exact, and it says of everything what it could not have."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evidence.reasons import Reason
from pipelines.record.cdp_heads import request_head, response_head, without_codings
from pipelines.record.tap import Recorder
from tests.pipelines.record.pages import a_folder, exchanges_of, facts_of, page_of
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


def test_heads_are_rendered_from_what_devtools_tells():
    request = {"url": "https://a.test/v?id=7", "method": "GET", "headers": {"accept": "*/*"}}
    h2 = {"headers": {":authority": "a.test", ":path": "/v?id=7", "accept": "text/html"}}
    assert request_head(request, {}) == b"GET /v?id=7 HTTP/1.1\r\nHost: a.test\r\naccept: */*\r\n\r\n"
    assert request_head(request, h2) == b"GET /v?id=7 HTTP/1.1\r\nHost: a.test\r\naccept: text/html\r\n\r\n"
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
