"""The table of design §8: one clear line with the next step, the documented exit, nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.site import names

CASES = [
    # path, options, exit, outcome, first reason
    ("/post/removed", (), 3, "partial", "page-gone"),
    ("/post/gone", (), 3, "partial", "page-gone"),
    ("/post/removed200", (), 3, "partial", "page-gone"),
    ("/post/novideo", (), 3, "partial", "no-video"),
    ("/post/empty", (), 3, "partial", "empty-page"),
    ("/post/videorefused", (), 3, "partial", "video-refused"),
    ("/post/videocut", (), 3, "partial", "video-cut"),
    ("/post/toolarge?bytes=9000000", ("--max-bytes", "1000000"), 3, "partial", "video-too-large"),
    ("/post/2", ("--no-video",), 3, "partial", "no-video-requested"),
    ("/status/401", (), 4, "failed", "http-401"),
    ("/status/403", (), 4, "failed", "http-403"),
    ("/status/429", (), 4, "failed", "http-429"),
    ("/status/503", (), 4, "failed", "http-5xx"),
]


@pytest.mark.parametrize(
    ("path", "options", "code", "outcome", "reason"), CASES, ids=[case[0].strip("/") for case in CASES]
)
def test_a_page_that_is_not_as_hoped_ends_with_a_named_reason(
    site, archive, path, options, code, outcome, reason
):
    result = archive.capture(site.url(path), options=options, code=code)
    assert result["outcome"] == outcome
    assert result["reasons"][0]["code"] == reason
    assert result["warc"]
    assert isinstance(result["entry"], int)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (names.SELF_SIGNED, "tls-failed"),
        (names.EXPIRED, "tls-failed"),
        (names.WRONG_NAME, "tls-failed"),
        (names.UNKNOWN, "dns-failed"),
    ],
)
def test_a_host_that_fails_is_a_failed_capture_with_its_reason(site, archive, host, reason):
    result = archive.capture(site.url("/post/2", host), code=4)
    assert result["outcome"] == "failed"
    assert result["reasons"][0]["code"] == reason


def test_a_closed_port_is_connection_failed(site, archive):
    result = archive.capture(site.closed_url, code=4)
    assert result["reasons"][0]["code"] == "connection-failed"


@pytest.mark.parametrize("url", ["not a url", "ftp://example.test/x", "http://", "javascript:alert(1)"])
def test_a_malformed_url_is_usage_and_nothing_is_fetched(archive, url):
    done = archive.run("akashi", "capture", url)
    assert done.returncode == 2
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data/", "http://[::1]/"],
)
def test_an_address_that_is_not_public_is_refused_before_the_start(archive, url):
    done = archive.run("akashi", "capture", "--json", url)
    (result,) = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 6
    assert result["capture"] is None
    assert result["reasons"][0]["code"] == "address-refused"


def test_robots_txt_is_obeyed_and_lifted_only_by_a_named_person_with_a_reason(site, archive):
    refused = archive.capture(site.url("/private/post/3"), code=6)
    assert refused["reasons"][0]["code"] == "robots-disallowed"
    assert refused["capture"] is None
    nameless = archive.run(
        "akashi", "capture", "--override-robots", "court order", site.url("/private/post/3")
    )
    assert nameless.returncode == 2
    lifted = archive.capture(
        site.url("/private/post/3"),
        options=("--override-robots", "court order 12/2026", "--operator", "A. Sato"),
    )
    manifest = archive.objects("akashi", "show", lifted["capture"])[0]["manifest"]
    assert manifest["request"]["override"] == {"operator": "A. Sato", "reason": "court order 12/2026"}
    assert manifest["policy"]["robots"]["decision"] == "disallowed"


def test_several_urls_are_all_tried_in_order_and_the_worst_exit_counts(site, archive):
    urls = [site.url("/post/novideo"), site.url("/private/post/3"), site.url("/status/403")]
    done = archive.run("akashi", "capture", "--json", "--allow-private", "--from", "-", stdin="\n".join(urls))
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["url"] for o in objects] == urls
    assert [o["outcome"] for o in objects] == ["partial", None, "failed"]
    assert done.returncode == 4


def test_json_is_silent_but_for_json(site, archive):
    done = archive.run("akashi", "capture", "--json", "--allow-private", "--no-video", site.url("/post/2"))
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_page_that_never_settles_is_kept_as_far_as_it_came(site, archive):
    result = archive.capture(site.url("/post/endless"), code=3, AKASHI_PAGE_TIMEOUT="6")
    assert result["reasons"][0]["code"] == "page-unsettled"


def test_a_huge_page_is_captured(site, archive, tmp_path):
    result = archive.capture(site.url("/post/huge"), options=("--no-video",))
    folder = archive.files(result["capture"], tmp_path)
    assert (folder / "screenshots" / "full.png").stat().st_size > 10_000


def test_a_missing_browser_says_what_to_do(site, own_archive, tmp_path):
    only_python = tmp_path / "bin"
    only_python.mkdir()
    for name in ("ffmpeg", "ffprobe", "setpriv", "prlimit", "certutil", "sh", "env"):
        found = next((p for d in os.environ["PATH"].split(":") if (p := Path(d) / name).exists()), None)
        if found:
            (only_python / name).symlink_to(found)
    result = own_archive.capture(site.url("/post/2"), code=4, PATH=str(only_python))
    assert result["reasons"][0]["code"] == "browser-failed"
    assert "make setup" in result["reasons"][0]["detail"]


def test_a_bad_setting_is_one_line_and_exit_2(archive):
    done = archive.run("akashi", "capture", "https://example.com/", AKASHI_TIMEOUT="soon")
    assert done.returncode == 2
    assert "AKASHI_TIMEOUT" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_store_that_cannot_be_reached_is_exit_5_and_starts_nothing(site, own_archive):
    done = own_archive.run(
        "akashi", "capture", "--json", "--allow-private", site.url("/post/2"),
        AKASHI_STORE_ENDPOINT="http://127.0.0.1:9", AKASHI_STORE_ACCESS_KEY="a", AKASHI_STORE_SECRET_KEY="b",
    )  # fmt: skip
    assert done.returncode == 5
    (result,) = (json.loads(line) for line in done.stdout.splitlines())
    assert result["error"] == "store-unavailable"
    assert result["next"]


def test_help_of_every_command_has_an_example(archive):
    for name in ("capture", "list", "show", "get", "audit", "store", "backup", "restore", "doctor"):
        done = archive.run("akashi", name, "--help")
        assert done.returncode == 0
        assert "akashi " in done.stdout


def test_version_is_told(archive):
    done = archive.run("akashi", "--version")
    assert done.stdout.startswith("akashi 0.")
