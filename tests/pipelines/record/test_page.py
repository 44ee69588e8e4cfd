"""A page through a real Chromium, compared with the server's own log."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evidence.reasons import Reason
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.page import PageRecord
from storage.settings import Settings
from tests.pipelines.record.pages import (
    EXACT,
    LOSSES,
    RECORDER,
    Record,
    a_folder,
    as_told,
    exact_only,
    exchanges_of,
    facts_of,
    page_of,
    recording,
    records_of,
)
from tests.site import Site, names
from tests.site.served_log import ServedExchange

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def site_is_found_and_trusted(site: Site, monkeypatch: pytest.MonkeyPatch):
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder():
    with a_folder() as made:
        yield made


@pytest.fixture(scope="module")
def post(site: Site):
    """The test post through its short link: the record, its folder, what the server logged."""
    with pytest.MonkeyPatch.context() as patch, a_folder() as made:
        for name, value in site.environment().items():
            patch.setenv(name, value)
        mark = site.log.mark()
        record = page_of(site.url("/p/1"), made)
        yield record, made, site.log.since(mark)


def codes(record: PageRecord) -> list[str]:
    return [reason.code for reason in record.reasons]


def pictures(folder: Path) -> dict[str, tuple[int, int]]:
    """Width and height of each screenshot in the WARC."""
    return {
        record.uri.rpartition("screenshot-")[2]: struct.unpack(">II", record.body[16:24])
        for record in records_of(folder)
        if record.headers["Content-Type"] == "image/png"
    }


def processes_with(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if text in command:
                found.append(int(entry.name))
    return found


# What a page sends and receives ---------------------------------------------------------------


def matches(served: ServedExchange, request: Record, response: Record | None) -> bool:
    if response is not None and not EXACT:
        return as_told(served, request, response)
    if response is None or served.request_head != request.head or served.request_body != request.body:
        return False
    body = served.body_bytes()
    whole = "WARC-Truncated" not in response.headers
    return served.response_head == response.head and (
        response.body == body if whole else body.startswith(response.body)
    )


def test_every_exchange_is_recorded_byte_for_byte_as_the_server_logged_it(post):
    record, folder, served = post
    left = exchanges_of(folder)
    lacking = []
    for one in served:
        match = next((pair for pair in left if matches(one, *pair)), None)
        if match is None:
            lacking.append(f"{one.method} {one.url} {one.status}")
        else:
            left.remove(match)
    assert not lacking
    assert not left
    assert record.exchanges == len(served) > 20
    assert {one.method for one in served} == {"GET", "POST", "HEAD", "OPTIONS"}
    assert {one.status for one in served} >= {200, 206, 302, 404}
    assert [one.why for one in record.missing if EXACT or not one.why.startswith(LOSSES)] == []
    assert record.reasons == []
    assert record.failed is None


def test_only_what_the_browser_stopped_is_cut_short(post):
    _, folder, _ = post
    cut = [r.uri for _, r in exchanges_of(folder) if r and "WARC-Truncated" in r.headers]
    assert [uri for uri in cut if "/api/drip" in uri]
    # The player stops reading its file when it has enough; how far it comes depends on the machine.
    lost = {one.url for one in post[0].missing}  # a redirect's body, over DevTools
    assert [uri for uri in cut if "/api/drip" not in uri and "/media/" not in uri and uri not in lost] == []


def test_each_record_has_the_servers_address_and_what_tls_settled_on(post, site):
    _, folder, served = post
    ciphers = {one.cipher for one in served}
    for _, response in exchanges_of(folder):
        assert response is not None
        assert response.headers["WARC-IP-Address"] == "127.0.0.1"
        assert response.headers.get("WARC-Cipher-Suite") in (ciphers if EXACT else {*ciphers, None})
    (facts,) = facts_of(
        folder, site.url("/api/comments?page=1&sort=%E6%96%B0%E7%9D%80&q=%E6%98%9F+cat&empty=")
    )
    layer = "h1-bytes" if EXACT else "cdp-decoded"
    assert (facts["tls"], facts["protocol"], facts["layer"]) == ("tls/1.3", "http/1.1", layer)
    assert (facts["ip"], facts["port"], facts["dns"]) == ("127.0.0.1", site.port, ["127.0.0.1"])


def test_the_certificates_are_kept_as_the_server_sent_them(post, site):
    _, folder, _ = post
    chains = [
        r for r in records_of(folder) if r.headers["Content-Type"] == "application/pem-certificate-chain"
    ]
    hosts = {record.uri.split("/")[2].partition(":")[0] for record in chains}
    assert hosts == {names.VIDEOS, names.CDN, names.OTHER}
    for record in chains:
        pems = record.body.decode("ascii").split("-----END CERTIFICATE-----\n")[:-1]
        sent = tuple(ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n") for pem in pems)
        assert sent[: len(site.chain)] == site.chain
        assert len(sent) == len(site.chain) + (
            not EXACT
        )  # DevTools tells the chain as verified, root and all


@exact_only
def test_what_the_browser_asks_on_its_own_account_is_counted_and_kept_out(post):
    record, folder, _ = post
    own = record.browser["own_requests"]
    assert own["count"] >= len(own["urls"]) > 0
    recorded = {request.uri for request, _ in exchanges_of(folder)}
    assert not recorded & set(own["urls"])
    assert {uri.split("/")[2].partition(":")[0] for uri in recorded} == {names.VIDEOS, names.CDN, names.OTHER}


def test_screenshots_dom_and_browser_are_in_the_warc(post):
    record, folder, _ = post
    made = {r.uri.rpartition(":")[2]: r for r in records_of(folder) if r.type == "resource"}
    assert {name for name in made if not name.startswith("script-")} == {
        *("screenshot-viewport.png", "screenshot-full.png", "dom.html", "browser.json")
    }
    assert made["screenshot-viewport.png"].body.startswith(b"\x89PNG")
    sizes = pictures(folder)
    assert sizes["viewport.png"] == (1280, 800)
    assert sizes["full.png"][0] == 1280
    assert sizes["full.png"][1] > 800
    assert record.browser["screenshot_clipped"] is False
    assert "読み込み完了" in made["dom.html"].body.decode("utf-8")
    assert record.browser["version"].split(".")[0].isdigit()
    assert ("--log-net-log=" in record.browser["command_line"]) is EXACT
    assert record.browser["recorder"] == {"name": RECORDER.name, "why": ""}


def test_the_facts_of_the_page_are_read_where_they_are_displayed(post, site):
    record, _, _ = post
    assert record.status == 200
    assert record.final_url == site.url("/post/1")
    assert record.redirects == [{"url": site.url("/p/1"), "status": 302}]
    assert record.title.startswith("【AI動画】")
    facts = record.displayed["facts"]
    assert facts["uploader"] == {"value": "星屑ラボ", "where": "json-ld[0].author.name"}
    assert facts["likes"]["value"] == "1893"
    assert record.video_hints[0] == site.url("/media/one.mp4", names.CDN)
    assert "ready" in record.text
    assert record.server_dates[0]["url"] == site.url("/p/1")
    assert record.server_dates[0]["date"].endswith("GMT")


@exact_only
def test_exchanges_that_the_recorder_loses_are_listed_and_a_reason(site, folder, monkeypatch):
    handlers = dict(Assembler.HANDLERS)
    start, send = handlers["URL_REQUEST_START_JOB"], handlers["HTTP_TRANSACTION_SEND_REQUEST_HEADERS"]
    style, like = site.url("/assets/site.css"), site.url("/api/like")
    begun = []

    def without_the_second_style_sheet(assembler, event):
        if event.params.get("url") == style:
            begun.append(event.source)
        if event.source not in begun[1:]:
            start(assembler, event)

    def without_the_likes_sending(assembler, event):
        if assembler._hops[event.source].url != like:
            send(assembler, event)

    handlers["URL_REQUEST_START_JOB"] = without_the_second_style_sheet
    handlers["HTTP_TRANSACTION_SEND_REQUEST_HEADERS"] = lambda assembler, event: (
        without_the_likes_sending(assembler, event) if event.source in assembler._hops else None
    )
    monkeypatch.setattr(Assembler, "HANDLERS", handlers)
    record = page_of(site.url("/post/1"), folder)
    assert len(begun) == 2
    assert {one.url: one.why for one in record.missing} == {
        style: "GET: the browser reported 2 answers, the recording has 1",
        like: "POST: answered, and the recording does not have it",
    }
    assert [reason.code for reason in record.reasons] == ["exchange-missing"]
    assert record.reasons[0].detail.startswith("2 requests")


# Pages that go wrong --------------------------------------------------------------------------


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (names.UNKNOWN, "dns-failed"),
        (names.SELF_SIGNED, "tls-failed"),
        pytest.param(names.EXPIRED, "tls-failed", marks=SLOW),
        pytest.param(names.WRONG_NAME, "tls-failed", marks=SLOW),
        pytest.param(names.PRIVATE, "address-refused", marks=SLOW),
    ],
)
def test_a_page_that_cannot_be_reached_fails_with_its_reason(site, folder, host, code):
    record = page_of(site.url("/post/1", host), folder)
    assert record.failed is not None
    assert record.failed.code == code
    assert host in record.failed.detail
    assert exchanges_of(folder) == []


@SLOW
def test_a_closed_port_is_a_failed_connection(site, folder):
    record = page_of(site.closed_url, folder)
    assert record.failed is not None
    assert record.failed.code == "connection-failed"


@SLOW
def test_a_certificate_that_is_not_trusted_fails_when_the_authority_is_not_given(site, folder, monkeypatch):
    monkeypatch.delenv("AKASHI_EXTRA_CA")
    record = page_of(site.url("/post/2"), folder)
    assert record.failed is not None
    assert record.failed.code == "tls-failed"


def test_an_answer_that_refuses_fails_and_is_kept(site, folder):
    record = page_of(site.url("/status/503"), folder)
    assert record.failed is not None
    assert record.failed.code == "http-5xx"
    assert record.status == 503
    assert any(r.head.startswith(b"HTTP/1.1 503") for _, r in exchanges_of(folder) if r)
    assert "viewport.png" in pictures(folder)


def test_a_page_that_is_gone_falls_short_and_its_tombstone_is_kept(site, folder):
    record = page_of(site.url("/post/removed"), folder)
    assert record.failed is None
    assert codes(record) == ["page-gone"]
    assert "削除" in record.title
    assert set(pictures(folder)) == {"viewport.png", "full.png"}


def test_a_redirect_to_a_private_address_is_refused_and_the_redirect_kept(site, folder):
    record = page_of(site.url("/to-private"), folder)
    assert record.failed is not None
    assert record.failed.code == "address-refused"
    assert record.redirects == [{"url": site.url("/to-private"), "status": 302}]
    assert [request.uri for request, _ in exchanges_of(folder)] == [site.url("/to-private")]


def test_a_page_that_is_never_quiet_is_recorded_up_to_its_time(site, folder):
    mark = site.log.mark()
    record = page_of(site.url("/post/endless"), folder, page_timeout=2.0)
    assert codes(record) == ["page-unsettled"]
    assert "full.png" in pictures(folder)
    served = site.log.since(mark)
    assert record.exchanges == len(served) > 10
    assert all(any(matches(one, *pair) for pair in exchanges_of(folder)) for one in served)


def test_a_page_that_never_answers_is_a_timeout(site, folder):
    record = page_of(site.url("/post/slow?delay=9"), folder, page_timeout=1.0)
    assert record.failed is not None
    assert record.failed.code == "timeout"
    ((request, response),) = exchanges_of(folder)
    assert request.uri == site.url("/post/slow?delay=9")
    assert response is None


def test_a_page_beyond_its_budget_of_bytes_is_closed(site, folder):
    record = page_of(site.url("/post/1"), folder, page_max_bytes=100_000)
    assert "budget-spent" in codes(record)
    assert record.bytes > 100_000
    assert "full.png" in pictures(folder)


def test_a_page_without_content_says_so(site, folder):
    record = page_of(site.url("/post/empty"), folder)
    assert codes(record) == ["empty-page"]


@SLOW
def test_a_page_taller_than_a_screenshot_is_clipped_and_says_so(site, folder):
    record = page_of(site.url("/post/huge"), folder)
    assert pictures(folder)["full.png"] == (1280, 16384)
    assert record.browser["screenshot_clipped"] is True
    assert record.reasons == []
    assert record.exchanges > 200


def test_a_video_file_as_the_page_does_not_hang(site, folder):
    began = time.monotonic()
    record = page_of(site.url("/media/one.mp4"), folder, page_timeout=20.0)
    assert time.monotonic() - began < 15
    assert record.failed is None
    assert record.status == 200
    assert record.video_hints == [site.url("/media/one.mp4")]


def test_a_document_that_is_cut_short_is_looked_at_all_the_same(site, folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as client:
                client.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n"
                client.sendall(head + b"<p>half a page")

        threading.Thread(target=serve, daemon=True).start()
        record = page_of(f"http://{names.VIDEOS}:{listener.getsockname()[1]}/", folder)
    assert record.reasons == [Reason("page-unsettled", "the document was cut short")]
    assert record.text == "half a page"
    ((_, response), *_) = exchanges_of(folder)
    assert response is not None
    assert response.body == b"<p>half a page"
    assert response.headers["WARC-Truncated"] == "disconnect"
    assert response.headers["WARC-IP-Address"] == "127.0.0.1"


# Ends -----------------------------------------------------------------------------------------


def test_a_cancelled_recording_keeps_what_it_has_and_leaves_no_process(site, folder):
    async def cancelled() -> None:
        mark = site.log.mark()
        task = asyncio.ensure_future(
            recording(site.url("/post/endless"), folder, Settings(page_timeout=60.0))
        )
        while site.log.mark() < mark + 12:  # noqa: ASYNC110  # the server's log has no event to wait for
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert len(exchanges_of(folder)) >= 11
    assert processes_with(str(folder)) == []


def test_the_browser_dies_with_us(site, folder):
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.pipelines.record.pages import recording; from storage.settings import Settings\n"
        "asyncio.run(recording(sys.argv[1], Path(sys.argv[2]), Settings(page_timeout=60.0)))\n"
    )
    mark = site.log.mark()
    command = [sys.executable, "-c", code, site.url("/post/endless"), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + 30
        while site.log.mark() < mark + 12 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(processes_with(str(folder))) > 1
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while processes_with(str(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(str(folder)) == []
    assert len(exchanges_of(folder)) >= (8 if EXACT else 1)  # DevTools' heads come a moment later


def test_a_full_disk_ends_the_recording_and_the_browser(site, folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipelines.record.sink.WarcSink.write_exchange", full)
    began = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        page_of(site.url("/post/1"), folder)
    assert time.monotonic() - began < 20
    assert processes_with(str(folder)) == []


def test_a_missing_chromium_is_one_line_with_the_next_step(site, folder, monkeypatch):
    monkeypatch.setattr("pipelines.record.chromium.shutil.which", lambda _: None)
    monkeypatch.delenv("AKASHI_EXTRA_CA")
    record = page_of(site.url("/post/2"), folder)
    assert record.failed == Reason(
        "browser-failed", "Chromium is not installed: apt-get install chromium, or run make setup"
    )
