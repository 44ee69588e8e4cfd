from __future__ import annotations

import gzip
import json
import random
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.record.cdxj import replay_rows
from pipelines.record.exchange import Body, BodyState
from pipelines.record.index import index_path
from pipelines.record.post_query import sent_query, with_query
from pipelines.record.sink import WarcSink
from pipelines.record.surt import surt
from tests.pipelines.record.test_sink import CAPTURE, NOW, exchange, open_sink
from tests.replay.servers import BIN

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=--Xabc"
URLS = {
    "https://www2.Example.org:443/a//b/../C/?z=1&a=%7E#top": "org,example)/a/c?a=~&z=1",
    "http://example.org": "org,example)/",
    "http://example.org?x=1": "org,example)/?x=1",
    "http://example.org/?": "org,example)/",
    "http://user:pw@Example.ORG:8080/A/B/?b=2&a=1&a=0&A": "org,example:8080)/a/b?a&a=0&a=1&b=2",
    "https://v.test:4321/c?sort=%E6%96%B0&q=%E6%98%9F+cat": "test,v:4321)/c?q=%e6%98%9f+cat&sort=%e6%96%b0",
    "http://a.test/%2525252541?%252541": "test,a)/a?a",
    "http://a.test/a/../../b/./c//d/": "test,a)/../b/c/d",
    "http://a.test/x?b=1&sid=0123456789abcdef0123456789abcdef&a=3": "test,a)/x?a=3&b=1",
    "http://日本.test/ü": "test,xn--wgv71a)/%c3%bc",
    "http://1.2.3.4:80/x": "4,3,2,1)/x",
    "http://[::1]:8080/x": "::1:8080)/x",
    "http://a.test/?a-b=1&a=2&a": "test,a)/?a&a=2&a-b=1",
    f"urn:akashi:{CAPTURE}:info.json": f"urn:akashi:{CAPTURE.lower()}:info.json",
    "no url, 星": "no%20url,%20%E6%98%9F",
}
BODIES = {
    (FORM, b"post=1&%E5%90%8D=%E3%81%AD&note=a+b%26c"): "post=1&名=ね&note=a b&c",
    (FORM, b"\xff\xfe\xfb"): "__wb_post_data=//77",
    (FORM, b"\xfb\xef\xbe"): "__wb_post_data=++++",
    (FORM, b""): "",
    ("application/json", b'{"a":[1,2.5,3.0,true,null],"b":{"c":"x y"},"e":""}'): (
        "a=1&a.2_=2.5&a.3_=3&a.4_=true&a.5_=null&c=x+y&e="
    ),
    ("application/json", b"no json"): "",
    ("application/json", b'{"a":1e999}'): "",
    ("application/json", b"[" * 100_000): "",
    ("text/plain;charset=UTF-8", b'{"seconds":3}'): "seconds=3",
    ("text/plain", b"hello"): "__wb_post_data=aGVsbG8=",
    ("", b"hello"): "__wb_post_data=aGVsbG8=",
    ("application/octet-stream", bytes(9000)): "__wb_post_data=" + "A" * (4096 - 15),
    (PARTS, b'----Xabc\r\nContent-Disposition: form-data; name="a"\r\n\r\n1 &\r\n2\r\n----Xabc--\r\n'): "a=1+%26%0D%0A2",
    ("multipart/form-data", b"x"): "__wb_post_data=eA==",
}  # fmt: skip


@pytest.mark.parametrize(("url", "key"), URLS.items())
def test_a_key_is_the_canonical_surt(url: str, key: str) -> None:
    assert surt(url) == key


@pytest.mark.parametrize(("sent", "query"), BODIES.items(), ids=range(len(BODIES)))
def test_what_was_sent_becomes_a_query(sent: tuple[str, bytes], query: str) -> None:
    assert sent_query(*sent)[0] == query


@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/?" + "cfid=" * 400_000 + "&cftoken=",
        "http://a.test/%" + "25" * 1_000_000,
        "http://" + "a." * 900_000 + "/" + "../" * 900_000,
    ],
    ids=["session", "escapes", "dots"],
)
def test_a_hostile_url_of_two_megabytes_costs_no_time(url: str) -> None:
    began = time.process_time()
    surt(url)
    assert time.process_time() - began < 5


@pytest.mark.slow
def test_keys_are_those_of_pywbs_canonicaliser() -> None:
    chance = random.Random(20261125)  # noqa: S311
    pieces = [
        *"aAbZ09-._~%/?&==;:@!$'()*+,[]|^`{}\"<>\\ ",
        "%41",
        "%2F",
        "%25",
        "%e6%98%9f",
        "星",
        "..",
        "./",
    ]
    pieces += ["//", "www.", "sid=", "jsessionid=0123456789abcdef0123456789abcdef", "&", "#x"]
    hosts = [
        "a.test",
        "WWW.a.test",
        "www12.b.c.example:8080",
        "x.test:443",
        "u:p@x.test",
        "日本.test",
        "a..test.",
    ]
    urls = [
        f"{chance.choice(['http', 'https'])}://{chance.choice(hosts)}/"
        + "".join(chance.choices(pieces, k=chance.randrange(25)))
        for _ in range(4000)
    ]
    code = "import json, sys, surt\nprint(json.dumps([surt.surt(url) for url in json.load(sys.stdin)]))"
    assert [surt(url) for url in urls] == asked(code, urls)


@pytest.mark.slow
def test_queries_are_those_of_pywb() -> None:
    code = """
import io, json, sys
from pywb.warcserver.inputrequest import MethodQueryCanonicalizer
print(json.dumps([
    MethodQueryCanonicalizer("POST", kind, len(body), io.BytesIO(body)).append_query("https://a.test/x?y=1")
    for kind, body in ((kind, bytes.fromhex(body)) for kind, body in json.load(sys.stdin))
]))"""
    cases = [(kind, body.hex()) for kind, body in BODIES]
    ours = [with_query("https://a.test/x?y=1", "POST", sent_query(*sent)[0]) for sent in BODIES]
    assert ours == asked(code, cases)


def asked(code: str, question: Any) -> Any:
    """What the environment of `tests/replay/setup` answers."""
    text = json.dumps(question)
    done = subprocess.run(
        [BIN / "python", "-c", code], input=text, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def rows(sink: WarcSink) -> dict[str, dict[str, Any]]:
    """The rows by key, alike with the sink's index and without; each leads to its record."""
    sink.close()
    with_index = replay_rows(sink.path)
    index_path(sink.path).unlink()
    assert replay_rows(sink.path) == with_index
    lines = "".join(map(str, with_index)).splitlines()
    assert lines == sorted(lines)
    parsed = {line.split(" ")[0]: json.loads(line.split(" ", 2)[2]) for line in lines}
    assert len(parsed) == len(lines)
    data = sink.path.read_bytes()
    for fields in parsed.values():
        record = gzip.decompress(data[int(fields["offset"]) :][: int(fields["length"])])
        assert f"WARC-Target-URI: {fields['url']}\r\n".encode() in record
        assert fields["digest"].encode() in record
        assert fields["filename"] == sink.path.name
    return parsed


def payload(sink: WarcSink, fields: dict[str, Any]) -> bytes:
    data = sink.path.read_bytes()[int(fields["offset"]) :][: int(fields["length"])]
    return gzip.decompress(data).split(b"\r\n\r\n", 2)[2].removesuffix(b"\r\n\r\n")


def head(status: str = "200 OK", kind: str = "text/html", *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *more, "", ""]).encode()


def part(start: int, end: int, size: int) -> bytes:
    return head("206 Partial Content", "video/mp4", f"Content-Range: bytes {start}-{end}/{size}")


def cut(body: bytes) -> Body:
    return Body(len(body), data=body, state=BodyState.TRUNCATED, why="disconnect: gone")


def test_a_get_is_filed_and_head_and_options_are_not(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    for method in ("HEAD", "OPTIONS", "GET", "CONNECT"):
        request = f"{method} /v?id=7 HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()
        sink.write_exchange(exchange(body=method.encode(), method=method, request_head=request))
    sink.write_resource("dom.html", "text/html; charset=utf-8", b"<p>")
    found = rows(sink)
    assert [*found] == ["test,a)/v?id=7", f"urn:akashi:{CAPTURE.lower()}:dom.html"]
    assert payload(sink, found["test,a)/v?id=7"]) == b"GET"
    assert found["test,a)/v?id=7"]["status"] == "200"
    assert found[f"urn:akashi:{CAPTURE.lower()}:dom.html"]["mime"] == "text/html"


def test_posts_are_told_apart_by_what_they_sent(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    sent = {"GET": b"", "a=1&b=x+y": b"a=1&b=x+y", "a=2": b"a=2"}
    for name, body in sent.items():
        method = "POST" if body else "GET"
        request = f"{method} /api HTTP/1.1\r\nContent-Type: {FORM}\r\nContent-Encoding: br\r\n\r\n".encode()
        more = {"url": "https://a.test/api", "method": method, "request_head": request}
        sink.write_exchange(exchange(body=name.encode(), request_body=Body(len(body), data=body), **more))
    found = rows(sink)
    assert {key: payload(sink, fields) for key, fields in found.items()} == {
        "test,a)/api": b"GET",
        "test,a)/api?__wb_method=post&a=1&b=x%20y": b"a=1&b=x+y",
        "test,a)/api?__wb_method=post&a=2": b"a=2",
    }
    posted = found["test,a)/api?__wb_method=post&a=1&b=x%20y"]
    assert (posted["method"], posted["requestBody"]) == ("POST", "a=1&b=x+y"), "as replayweb.page reads it"


LATER = NOW + timedelta(seconds=5)
BROWSER = {"client": "chromium"}


@pytest.mark.parametrize(
    "answers",
    {
        "the browser's page before yt-dlp's": [
            ({"head": head(), "body": b"tool"}), ({**BROWSER, "head": head(), "body": b"best", "started": LATER}),
        ],
        "the browser's page even if it failed": [
            ({"head": head(), "body": b"tool"}), ({**BROWSER, "head": head("403 No"), "body": b"best"}),
        ],
        "a whole body before a part": [
            ({**BROWSER, "head": part(0, 3, 9), "body": b"part"}),
            ({"head": head(kind="video/mp4"), "body": b"best", "started": LATER}),
        ],
        "a whole body before a cut one": [
            ({**BROWSER, "head": head(kind="video/mp4"), "body": cut(b"cut")}),
            ({"head": head(kind="video/mp4"), "body": b"best", "started": LATER}),
        ],
        "200 before a 206 that is the whole": [
            ({**BROWSER, "head": part(0, 8, 9), "body": b"bytes 0-8"}),
            ({"head": head(kind="video/mp4"), "body": b"best", "started": LATER}),
        ],
        "a 206 that is the whole before a part": [
            ({**BROWSER, "head": part(2, 8, 9), "body": b"bytes 2"}),
            ({**BROWSER, "head": part(0, 3, 4), "body": b"best", "started": LATER}),
        ],
        "of parts the one from the beginning": [
            ({**BROWSER, "head": part(5, 8, 9), "body": b"tail"}),
            ({**BROWSER, "head": part(0, 3, 9), "body": b"best", "started": LATER}),
        ],
        "of cut ones the longest": [
            ({**BROWSER, "head": head(kind="video/mp4"), "body": cut(b"be")}),
            ({**BROWSER, "head": head(kind="video/mp4"), "body": cut(b"best"), "started": LATER}),
        ],
        "anything before 304": [
            ({**BROWSER, "head": head("304 Not Modified"), "body": b""}),
            ({"head": head(), "body": cut(b"best"), "started": LATER}),
        ],
        "a success before an error": [
            ({**BROWSER, "head": head("429 Slow"), "body": b"429"}),
            ({**BROWSER, "head": head(), "body": b"best", "started": LATER}),
        ],
        "a redirect, which has no body that anyone reads": [
            ({"head": head(), "body": b"tool"}), ({**BROWSER, "head": head("302 Found"), "body": cut(b"best")}),
        ],
        "the first of equals": [
            ({**BROWSER, "head": head(kind="application/json"), "body": b"later", "started": LATER}),
            ({**BROWSER, "head": head(kind="application/json"), "body": b"best"}),
        ],
    }.items(),
    ids=lambda pair: pair[0],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_of_several_answers_the_best_is_filed(
    tmp_path: Path, answers: tuple[str, list[dict[str, Any]]], turned: bool
) -> None:
    sink = open_sink(tmp_path)
    for answer in reversed(answers[1]) if turned else answers[1]:
        sink.write_exchange(exchange(**answer))
    (fields,) = rows(sink).values()
    assert payload(sink, fields) == b"best"
