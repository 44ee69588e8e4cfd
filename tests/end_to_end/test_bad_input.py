"""The table of design §8: one clear line with the next step, the documented exit, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from console.main import COMMANDS
from tests.site import Site, names

CASES = [
    # path, exit, outcome, first reason
    ("/post/removed", 3, "partial", "page-gone"),
    ("/post/gone", 3, "partial", "page-gone"),
    ("/post/removed200", 3, "partial", "page-gone"),
    ("/post/novideo", 3, "partial", "no-video"),
    ("/post/empty", 3, "partial", "empty-page"),
    ("/post/videorefused", 3, "partial", "video-refused"),
    ("/post/videocut", 3, "partial", "video-cut"),
    ("/post/toolarge?bytes=9000000", 3, "partial", "video-too-large"),
    ("/post/endless", 3, "partial", "page-unsettled"),
    ("/status/401", 4, "failed", "http-401"),
    ("/status/403", 4, "failed", "http-403"),
    ("/status/429", 4, "failed", "http-429"),
    ("/status/503", 4, "failed", "http-5xx"),
    (names.SELF_SIGNED, 4, "failed", "tls-failed"),
    (names.EXPIRED, 4, "failed", "tls-failed"),
    (names.WRONG_NAME, 4, "failed", "tls-failed"),
    (names.UNKNOWN, 4, "failed", "dns-failed"),
    ("closed port", 4, "failed", "connection-failed"),
    ("/private/post/3", 6, None, "robots-disallowed"),
]


def url_of(site: Site, case: str) -> str:
    if case == "closed port":
        return site.closed_url
    return site.url(case) if case.startswith("/") else site.url("/post/2", case)


@pytest.fixture(scope="module")
def told(site, archive):
    """All cases in one command: every URL is tried, whatever became of those before it."""
    urls = [url_of(site, case[0]) for case in CASES]
    done = archive.run(
        "akashi", "capture", "--json", "--allow-private", "--max-bytes", "4000000", "--from", "-",
        stdin="\n".join(urls), AKASHI_PAGE_TIMEOUT="8", timeout=170,
    )  # fmt: skip
    return urls, [json.loads(line) for line in done.stdout.splitlines()], done


def test_several_urls_are_all_tried_told_in_their_order_and_the_worst_exit_counts(told):
    urls, objects, done = told
    assert [told["url"] for told in objects] == urls
    assert done.returncode == 4


def test_json_is_silent_but_for_json(told):
    assert told[2].stderr == ""


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[0].strip("/") for case in CASES])
def test_what_is_not_as_hoped_ends_with_a_named_reason_and_is_kept(told, number):
    _, code, outcome, reason = CASES[number]
    result = told[1][number]
    assert result["outcome"] == outcome
    assert result["reasons"][0]["code"] == reason
    if code == 6:
        assert result["capture"] is None
        assert result["next"]
    else:
        assert result["warc"]
        assert isinstance(result["entry"], int)


@pytest.mark.parametrize(("case", "code"), [("/post/novideo", 3), ("/status/403", 4), ("/private/post/3", 6)])
def test_the_exit_code_of_one_url_is_the_documented_one(site, archive, case, code):
    done = archive.run("akashi", "capture", "--allow-private", url_of(site, case))
    assert done.returncode == code
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_robots_txt_is_lifted_only_by_a_named_person_with_a_reason(site, archive):
    nameless = archive.run(
        "akashi", "capture", "--override-robots", "court order", site.url("/private/post/3")
    )
    assert nameless.returncode == 2
    assert "--operator" in nameless.stderr
    lifted = archive.capture(
        site.url("/private/post/3"),
        options=("--override-robots", "court order 12/2026", "--operator", "A. Sato"),
    )
    manifest = archive.objects("akashi", "show", lifted["capture"])[0]["manifest"]
    assert manifest["request"]["override"] == {"operator": "A. Sato", "reason": "court order 12/2026"}
    assert manifest["policy"]["robots"]["decision"] == "disallowed"


def test_a_huge_page_is_captured(site, archive, tmp_path):
    result = archive.capture(site.url("/post/huge"), options=("--no-video",))
    folder = archive.files(result["capture"], tmp_path)
    assert (folder / "screenshots" / "full.png").stat().st_size > 10_000


def path_with(folder: Path, *names: str) -> str:
    """A PATH of one folder, where the children's user can walk, that holds only these programs."""
    folder.mkdir(mode=0o755)
    for name in names:
        found = next((p for d in os.environ["PATH"].split(":") if (p := Path(d) / name).exists()), None)
        if found:
            (folder / name).symlink_to(found)
    return str(folder)


COMMON = (
    "setpriv",
    "prlimit",
    "certutil",
    "sh",
    "env",
    "expr",
    "uname",
    "cat",
    "grep",
    "ls",
    "basename",
    "dirname",
    "free",
)


def test_a_missing_browser_says_what_to_do(site, own_archive):
    path = path_with(own_archive.home.parent / "bin", *COMMON, "ffmpeg", "ffprobe")
    result = own_archive.capture(site.url("/post/2"), code=4, PATH=path)
    assert result["reasons"][0]["code"] == "browser-failed"
    assert "make setup" in result["reasons"][0]["detail"]


def test_a_missing_ffmpeg_leaves_a_partial_capture_that_says_what_to_do(site, own_archive):
    path = path_with(own_archive.home.parent / "bin", *COMMON, "chromium")
    result = own_archive.capture(site.url("/post/hls"), code=3, PATH=path)
    assert {reason["code"] for reason in result["reasons"]} == {"inspect-failed", "derivative-failed"}
    assert all("make setup" in reason["detail"] for reason in result["reasons"])
    assert [medium["role"] for medium in result["media"]] == ["assembled"]


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
    for name in COMMANDS:
        done = archive.run("akashi", name, "--help")
        assert done.returncode == 0
        assert "akashi " in done.stdout


def test_version_is_told(archive):
    done = archive.run("akashi", "--version")
    assert done.stdout.startswith("akashi 0.")


def test_a_full_disk_closes_the_capture_and_the_next_one_goes_on(site, own_archive):
    spool = own_archive.home / "spool"
    spool.mkdir(parents=True)
    own_archive.home.chmod(0o711)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=711", "tmpfs", spool], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        result = own_archive.capture(site.url("/post/big?mb=20"), code=4)
        assert result["reasons"][0]["code"] == "disk-full"
        own_archive.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
        audited = own_archive.run("akashi", "audit")
        assert audited.returncode == 0, audited.stdout
    finally:
        subprocess.run(["umount", "-l", spool], check=True)
