"""The network log on excerpts of real ones (Chromium 156), and on lines made for one rule each."""

from __future__ import annotations

import base64
import gzip
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from pipelines.guard import Connection
from pipelines.record import netlog_reader
from pipelines.record.exchange import Body, BodyState, Exchange, Layer, crossing
from pipelines.record.netlog import Constants, NetLogError
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.netlog_reader import NetLogReader
from pipelines.record.netlog_wire import DataFrames, render_head, take_head, unescape
from pipelines.record.spool import BodySpool

HERE = Path(__file__).parent


def a_peer(port: int) -> Connection | None:
    addresses = ("203.0.113.7", "203.0.113.8")
    return Connection(port, "a.test", 443, addresses[0], addresses, datetime.now(UTC)) if port else None


def an_assembler(folder: Path, found: list[Exchange]) -> Assembler:
    return Assembler(
        spool=lambda head, path=None: BodySpool(path or folder / f"{uuid4().hex}.body", head),
        emit=found.append,
        peer=a_peer,
    )


class Log:
    """A log that is fed line by line; `exchanges` is what came of it."""

    def __init__(self, folder: Path, constants: bytes | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.constants = Constants(
            constants or (HERE / "netlog_h1.json").read_bytes().split(b"\n")[0], Assembler.HANDLERS
        )
        self.types = {name: number for number, name in self.constants._names.items()}
        self.assembler = an_assembler(folder, self.exchanges)
        self.assembler.errors = self.constants.errors

    def line(self, line: bytes) -> None:
        event = self.constants.event(line)
        if event is not None:
            self.assembler.feed(event)

    def say(self, name: str, source: int, phase: int = 0, **params: object) -> None:
        body = {"params": params} if params else {}
        rest = {"phase": phase, "source": {"id": source, "start_time": "1", "type": 1}, "time": "5"}
        event = {**body, **rest, "type": self.types[name]}
        self.line(json.dumps(event, separators=(",", ":")).encode() + b",\n")

    def sends(self, source: int, data: bytes, name: str = "SSL_SOCKET_BYTES_SENT") -> None:
        self.say(name, source, byte_count=len(data), bytes=base64.b64encode(data).decode())

    def gets(self, source: int, data: bytes, name: str = "SSL_SOCKET_BYTES_RECEIVED") -> None:
        self.sends(source, data, name)

    def begins(
        self,
        request: int,
        url: str = "https://a.test/x",
        method: str = "GET",
        fields: str = "",
        **more: object,
    ) -> None:
        """A request bound to job `request`+1 on socket 7, which is opened with the first."""
        if 7 not in self.assembler._sockets:
            self.say("SOCKET_ALIVE", 7, 1)
            self.connects()
        self.say(
            "URL_REQUEST_START_JOB", request, 1,
            **{"initiator": "https://a.test", "method": method, "request_type": "other", "url": url, **more},
        )  # fmt: skip
        self.say(
            "HTTP_STREAM_REQUEST_BOUND_TO_JOB", request, source_dependency={"id": request + 1, "type": 17}
        )
        self.say("SOCKET_POOL_BOUND_TO_SOCKET", request + 1, source_dependency={"id": 7, "type": 10})
        self.say("HTTP_TRANSACTION_SEND_REQUEST_HEADERS", request, headers=[], line="")
        self.sends(7, f"{method} /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n".encode())

    def connects(self) -> None:
        self.say("TCP_CONNECT", 7, 2, local_address="127.0.0.1:50000", remote_address="127.0.0.1:1080")
        self.say("SSL_CONNECT", 7, 1)
        self.say("SSL_CONNECT", 7, 2, cipher_suite=4865, next_proto="http/1.1", version="TLS 1.3")

    def ends(self, request: int, error: int = 0) -> None:
        self.say("REQUEST_ALIVE", request, 2, **({"net_error": error} if error else {}))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.assembler.close("the test is over")


def read(name: str, folder: Path) -> Log:
    lines = (HERE / name).read_bytes().splitlines(keepends=True)
    log = Log(folder, lines[0])
    for line in lines[2:-2]:
        log.line(line)
    log.assembler.close("over")
    return log


def bytes_of(body: Body | None) -> bytes:
    assert body is not None
    return body.path.read_bytes() if body.path else body.data or b""


def body(exchange: Exchange) -> bytes:
    return bytes_of(exchange.response_body)


def test_an_upload_that_was_cut_says_so_and_counts_against_the_page(log):
    log.begins(20, method="POST", fields="Content-Length: 9\r\n")
    log.sends(7, b"half")
    log.gets(7, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    log.ends(20)
    (exchange,) = log.exchanges
    assert exchange.request_body is not None
    assert exchange.request_body.state is BodyState.TRUNCATED
    assert exchange.request_body.why == "disconnect: 4 of 9 bytes were sent"
    assert log.assembler.sent > 4


# Real logs ------------------------------------------------------------------------------------


def test_a_real_http1_log_gives_every_exchange_with_the_bytes_of_its_heads(tmp_path):
    log = read("netlog_h1.json", tmp_path)
    found = {(e.method, e.url.removeprefix("https://site.test:9444")): e for e in log.exchanges}
    assert set(found) == {
        ("GET", "/"), ("GET", "/img.png?a=1"), ("POST", "/post?x=1"), ("HEAD", "/head"), ("GET", "/gz"),
        ("GET", "/nope"), ("GET", "/redir"), ("POST", "/beacon"), ("GET", "/final"), ("GET", "/ws"),
    }  # fmt: skip
    post = found["POST", "/post?x=1"]
    assert post.request_head.startswith(b"POST /post?x=1 HTTP/1.1\r\nHost: site.test:9444\r\n")
    assert post.request_body is not None
    assert bytes_of(post.request_body) == "hello=あ".encode()
    redirect = found["GET", "/redir"]
    assert redirect.response_head.startswith(b"HTTP/1.1 302 Found\r\nlocation: /final\r\n")
    assert body(redirect) == b"moved body"
    assert body(found["GET", "/"]).startswith(b"144\r\n<title>")
    assert body(found["GET", "/"]).endswith(b"\r\n0\r\n\r\n")
    assert body(found["HEAD", "/head"]) == b""
    assert gzip.decompress(body(found["GET", "/gz"])).startswith(b'{"a":"xxx')
    assert all(e.layer is Layer.H1_BYTES and not e.error for e in log.exchanges)
    assert all(e.response_body.state is BodyState.AS_RECEIVED for e in log.exchanges)


def test_a_real_http2_log_gives_rendered_heads_and_the_bytes_of_the_bodies(tmp_path):
    log = read("netlog_h2.json", tmp_path)
    found = {(e.method, e.url.removeprefix("https://site.test:9443")): e for e in log.exchanges}
    assert set(found) == {
        ("GET", "/"),
        ("POST", "/post?x=1"),
        ("GET", "/gz"),
        ("GET", "/redir"),
        ("GET", "/final"),
    }
    page = found["GET", "/"]
    assert page.request_head.startswith(b"GET / HTTP/1.1\r\nhost: site.test:9443\r\nsec-ch-ua: ")
    assert page.response_head == (
        b"HTTP/1.1 200 \r\ncontent-type: text/html; charset=utf-8\r\nx-naive: caf\xe9 x\r\n"
        b"set-cookie: a=1\r\nset-cookie: b=2\r\ndate: Mon, 23 Nov 2026 08:38:37 GMT\r\n\r\n"
    )
    assert body(page).startswith(b"<title>t</title>")
    assert page.layer is Layer.H2_RENDERED
    assert found["POST", "/post?x=1"].request_body is not None
    assert bytes_of(found["POST", "/post?x=1"].request_body) == "hello=あ".encode()
    assert body(found["GET", "/redir"]) == b"moved body"


def test_the_connection_is_known_by_the_tunnel_and_by_tls(tmp_path):
    network = read("netlog_h1.json", tmp_path).exchanges[0].network
    assert (network.ip, network.port, network.dns) == ("203.0.113.7", 443, ("203.0.113.7", "203.0.113.8"))
    assert (network.protocol, network.tls, network.cipher) == (
        "http/1.1",
        "tls/1.3",
        "TLS_AES_256_GCM_SHA384",
    )
    assert [len(certificate) > 500 for certificate in network.chain] == [True, True]


def test_a_request_of_the_browsers_own_is_kept_out(tmp_path):
    assembler = read("netlog_h1.json", tmp_path).assembler
    assert {url.split("?")[0] for url in assembler.own} == {"https://accounts.google.com/ListAccounts"}
    assert assembler.unsent == []
    assert assembler.document == ["https://site.test:9444/"]


# One rule each --------------------------------------------------------------------------------


def test_a_redirect_to_another_origin_lives_on_when_its_first_life_ends(log):
    log.say("REQUEST_ALIVE", 10, 1)
    log.begins(10)
    log.gets(7, b"HTTP/1.1 302 Found\r\nLocation: //b.test\r\nContent-Length: 0\r\n\r\n")
    log.say("REQUEST_ALIVE", 10, 1)
    hop = {"initiator": "https://a.test", "method": "GET", "request_type": "other", "url": "https://b.test/"}
    log.say("URL_REQUEST_START_JOB", 10, 1, **hop)
    log.ends(10)
    log.say("HTTP_STREAM_REQUEST_BOUND_TO_JOB", 10, source_dependency={"id": 12, "type": 17})
    log.say("SOCKET_POOL_BOUND_TO_SOCKET", 12, source_dependency={"id": 7, "type": 10})
    log.say("HTTP_TRANSACTION_SEND_REQUEST_HEADERS", 10, headers=[], line="")
    log.sends(7, b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    log.ends(10)
    assert [(e.url, body(e)) for e in log.exchanges] == [
        ("https://a.test/x", b""),
        ("https://b.test/", b"ok"),
    ]


def test_a_request_sent_again_is_two_exchanges(log):
    log.begins(10)
    log.begins(10)
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    log.ends(10)
    log.assembler.close("over")
    first, second = log.exchanges
    assert first.response_head == b""
    assert first.response_body.state is BodyState.ABSENT
    assert first.error
    assert body(second) == b"ok"


def test_interim_answers_are_kept_beside_the_answer(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 20")
    log.gets(7, b"0 OK\r\nContent-Length: 2\r\n\r\nok")
    log.ends(10)
    (exchange,) = log.exchanges
    assert exchange.interim == (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",)
    assert exchange.response_head == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert body(exchange) == b"ok"


def test_a_websocket_is_an_exchange_and_the_frames_of_both_sides(log):
    log.begins(10, "wss://a.test/x")
    log.gets(7, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02ok\x88")
    log.ends(10, error=-173)
    log.sends(7, b"\x88\x80\x01\x02\x03\x04")
    assert log.exchanges == []
    log.gets(7, b"\x00")
    log.say("SOCKET_ALIVE", 7, 2)
    (exchange,) = log.exchanges
    assert (exchange.url, exchange.error) == ("https://a.test/x", "")
    assert exchange.frames is not None
    assert exchange.frames.state is BodyState.AS_RECEIVED
    lines = [json.loads(line) for line in bytes_of(exchange.frames).splitlines()]
    assert [(line["from"], line["opcode"], line["payload"]) for line in lines] == [
        ("server", 1, "b2s="), ("client", 8, ""), ("server", 8, ""),
    ]  # fmt: skip


def test_an_open_websocket_is_cut_short_where_the_log_ends(log):
    log.begins(10, "wss://a.test/x")
    log.gets(7, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hal")
    log.assembler.close("time: the time allowed was over")
    (exchange,) = log.exchanges
    assert exchange.frames is not None
    assert (exchange.frames.state, exchange.frames.why) == ("truncated", "time: the time allowed was over")
    assert json.loads(bytes_of(exchange.frames))["payload"] == "aGFs"


def test_an_answer_without_length_ends_with_its_connection(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 200 OK\r\n\r\nall of it")
    log.say("SOCKET_ALIVE", 7, 2)
    assert log.exchanges == []
    log.ends(10)
    (exchange,) = log.exchanges
    assert exchange.response_body.state is BodyState.AS_RECEIVED
    assert body(exchange) == b"all of it"


def test_an_answer_cut_short_is_truncated_and_says_why(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    log.ends(10, error=-3)
    (exchange,) = log.exchanges
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.response_body.why == "disconnect: the browser's request ended with ERR_ABORTED"
    assert body(exchange) == b"half"


def test_the_body_of_a_redirect_is_waited_for_until_it_is_whole(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 4\r\n\r\n")
    log.say(
        "URL_REQUEST_START_JOB",
        10,
        1,
        method="GET",
        url="https://a.test/y",
        request_type="other",
        initiator="x",
    )
    assert log.exchanges == []
    log.gets(7, b"gone")
    (exchange,) = log.exchanges
    assert body(exchange) == b"gone"
    assert exchange.response_body.state is BodyState.AS_RECEIVED


def test_what_is_open_when_the_log_ends_is_cut_short(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
    log.assembler.close("time: the time was over")
    (exchange,) = log.exchanges
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.response_body.why == "time: the time was over"


def test_not_modified_and_no_content_are_whole_without_a_body(log):
    for number, status in ((10, b"304 Not Modified\r\nContent-Length: 99"), (20, b"204 No Content")):
        log.begins(number)
        log.gets(7, b"HTTP/1.1 " + status + b"\r\n\r\n")
        log.ends(number)
    assert [e.response_body.state for e in log.exchanges] == [BodyState.AS_RECEIVED] * 2
    assert [body(e) for e in log.exchanges] == [b"", b""]


def test_an_answer_from_the_cache_is_no_exchange(log):
    log.say(
        "URL_REQUEST_START_JOB",
        10,
        1,
        method="GET",
        url="https://a.test/c#f",
        request_type="other",
        initiator="x",
    )
    log.say("URL_REQUEST_START_JOB", 10, 2)
    log.ends(10)
    assert log.assembler.cached == {("GET", "https://a.test/c"): 1}
    assert log.exchanges == []


def test_an_answer_whose_sending_the_log_does_not_show_is_lost_and_not_from_the_cache(log):
    hop = {"initiator": "x", "method": "GET", "request_type": "other", "url": "https://a.test/c"}
    log.say("URL_REQUEST_START_JOB", 10, 1, **hop)
    log.say("HTTP_STREAM_REQUEST_BOUND_TO_JOB", 10, source_dependency={"id": 11, "type": 17})
    log.say("URL_REQUEST_START_JOB", 10, 2)
    log.ends(10)
    assert log.assembler.lost == [("GET", "https://a.test/c")]
    assert not log.assembler.cached


def test_a_request_that_was_cancelled_before_it_was_sent_is_not_from_the_cache(log):
    hop = {"initiator": "x", "method": "GET", "request_type": "other", "url": "https://a.test/c"}
    log.say("URL_REQUEST_START_JOB", 10, 1, **hop)
    log.ends(10)
    assert log.assembler.unsent == [("https://a.test/c", "ERR_ABORTED")]
    assert not log.assembler.cached


def test_a_request_that_failed_before_it_was_sent_is_named_with_its_error(log):
    log.say(
        "URL_REQUEST_START_JOB",
        10,
        1,
        method="GET",
        url="https://a.test/c",
        request_type="other",
        initiator="x",
    )
    log.ends(10, error=-120)
    assert log.assembler.unsent == [("https://a.test/c", "ERR_SOCKS_CONNECTION_FAILED")]


def test_media_and_event_streams_are_received_but_not_awaited(log):
    log.begins(10)
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 900\r\n\r\n")
    assert log.assembler.awaited == 0
    log.gets(7, b"x" * 100)
    assert log.assembler.awaited == 0
    assert log.assembler.received > 100


def test_bytes_of_the_socks_handshake_and_of_tls_belong_to_no_exchange(log):
    log.say("SOCKET_ALIVE", 7, 1)
    log.sends(7, b"\x05\x01\x00", "SOCKET_BYTES_SENT")
    log.connects()
    log.begins(10)
    log.gets(7, b"\x17\x03\x03 ciphertext", "SOCKET_BYTES_RECEIVED")
    log.gets(7, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    log.ends(10)
    assert [body(e) for e in log.exchanges] == [b"ok"]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 10, 64, 4096])
def test_data_frames_are_found_however_the_bytes_are_cut(size):
    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload

    stream = b"".join(
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            frame(4, 0, 0, b"settings"),
            frame(0, 0, 1, b"one "),
            frame(0, 0x8, 3, b"\x02padded\0\0"),
            frame(0, 0x8, 5, b"\x03\0\0\0"),
            frame(1, 4, 3, b"headers"),
            frame(0, 0, 3, b""),
            frame(0, 0x9, 1, b"\x00two"),
            frame(0, 1, 0x80000003, b"!"),
        )
    )
    frames = DataFrames()
    found: dict[int, bytes] = {}
    for at in range(0, len(stream), size):
        for number, piece in frames.take(stream[at : at + size]):
            found[number] = found.get(number, b"") + piece
    assert found == {1: b"one two", 3: b"padded!"}


def test_the_content_of_a_frame_is_there_before_its_padding():
    frames = DataFrames()
    assert frames.take(b"\0\0\x06\0\x09\0\0\0\x01\x02who") == [(1, b"who")]
    assert frames.take(b"\0\0") == []
    assert frames.take(b"\0\0\x01\0\0\0\0\0\x03!") == [(3, b"!")]


def test_heads_are_found_however_the_bytes_are_cut():
    buffer, heads = bytearray(), []
    for byte in b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody":
        buffer.append(byte)
        heads.append(take_head(buffer))
    assert [head for head in heads if head] == [b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"]
    assert buffer == b"body"


def test_strings_with_non_ascii_bytes_come_back_as_bytes():
    assert unescape("%ESCAPED:\u200b x: caf%E9 100%25") == b"x: caf\xe9 100%"
    assert unescape("plain: 100%") == b"plain: 100%"


@pytest.mark.parametrize(
    ("url", "crossed"),
    [
        ("https://ali:s%40same@a.test:8/x?y@z#f", "https://a.test:8/x?y@z"),
        ("https://a.test/@name?", "https://a.test/@name?"),
        ("https://a.test?to=b@c", "https://a.test?to=b@c"),
        ("wss://ali@[::1]:9/", "wss://[::1]:9/"),
    ],
)
def test_a_url_crosses_the_wire_without_fragment_and_credentials(url, crossed):
    assert crossing(url) == crossed


def test_rendering_splits_joined_fields_and_keeps_their_order():
    head = render_head([":status: 200", "b: 1", "set-cookie: a=1\u0000b=2", "a: 2"])
    assert head == b"HTTP/1.1 200 \r\nb: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\na: 2\r\n\r\n"
    head = render_head([":method: POST", ":authority: a.test", ":scheme: https", ":path: /?q", "x: y"])
    assert head == b"POST /?q HTTP/1.1\r\nhost: a.test\r\nx: y\r\n\r\n"


def test_a_chromium_that_lacks_an_event_we_need_is_refused():
    constants = json.loads((HERE / "netlog_h1.json").read_bytes().split(b"\n")[0].rstrip(b",") + b"}")
    del constants["constants"]["logEventTypes"]["SSL_SOCKET_BYTES_RECEIVED"]
    with pytest.raises(NetLogError, match="SSL_SOCKET_BYTES_RECEIVED"):
        Constants(json.dumps(constants).encode()[:-1] + b",", Assembler.HANDLERS)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"params":{},"phase":1}', b"not json at all,\n"])
def test_a_line_that_is_no_event_is_refused(log, line):
    with pytest.raises(NetLogError):
        log.line(line)


# The FIFO -------------------------------------------------------------------------------------


def reader_of(tmp_path: Path, found: list[Exchange]) -> NetLogReader:
    return NetLogReader(tmp_path / "fifo", an_assembler(tmp_path, found))


def test_the_reader_follows_the_log_while_it_is_written_and_survives_a_torn_end(tmp_path):
    found: list[Exchange] = []
    reader = reader_of(tmp_path, found)
    lines = (HERE / "netlog_h1.json").read_bytes().splitlines(keepends=True)
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        for line in lines[:-6]:
            fifo.write(line)
        deadline = threading.Event()
        for _ in range(200):
            if len(found) > 5:
                break
            deadline.wait(0.02)
        assert len(found) > 5
        fifo.write(lines[-6][:40])
    reader.finish("disconnect: killed")
    assert reader.client["version"].startswith("156.")


def test_a_browser_that_never_opens_its_log_hangs_nobody(tmp_path):
    reader = reader_of(tmp_path, [])
    reader.finish("it did not start")
    assert reader.client == {}


def test_a_broken_log_ends_the_recording_and_not_the_browser(tmp_path):
    reader = reader_of(tmp_path, [])
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        fifo.write((HERE / "netlog_h1.json").read_bytes().split(b"\n")[0] + b'\n"events": [\nrubbish\n')
        fifo.write(os.urandom(1 << 20) * 3)  # more than the FIFO holds: the writer must not block for ever
    with pytest.raises(NetLogError, match="rubbish"):
        reader.finish("over")


def test_a_log_that_somebody_holds_open_ends_the_recording_with_what_came_until_then(tmp_path, monkeypatch):
    monkeypatch.setattr(netlog_reader, "_END_SECONDS", 0.3)
    found: list[Exchange] = []
    reader = reader_of(tmp_path, found)
    lines = (HERE / "netlog_h1.json").read_bytes().splitlines(keepends=True)
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(b"".join(lines[:-6]))
        with pytest.raises(NetLogError, match="did not end"):
            reader.finish("disconnect: the visit was over")
        told = len(found)
        assert told > 5
        fifo.write(b"".join(lines[2:-6]))  # the assembler is closed: nothing reaches it any more
    reader._thread.join(10)
    assert not reader._thread.is_alive()
    assert len(found) == told
    with pytest.raises(NetLogError, match="did not end"):
        raise reader.failure or AssertionError
