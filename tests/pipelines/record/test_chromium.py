"""Starting and ending Chromium: what it is told, its sandbox, the authorities it trusts."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from evidence.errors import CaptureFailedError, UsageError
from pipelines.record import chromium
from pipelines.record.chromium import arguments, find_chromium, trust
from storage.settings import Settings
from tests.pipelines.record.pages import a_folder, page_of
from tests.site import Site


@pytest.fixture
def folder():
    with a_folder() as made:
        yield made


@pytest.fixture
def post(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    return site.url("/post/novideo")


@pytest.fixture(autouse=True)
def nothing_is_remembered_of_the_sandbox(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chromium, "_sandbox_refused", "")


def a_chromium_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Chromium, faked: it does this in a shell."""
    script = folder / "chromium"
    script.write_text(f"#!/bin/sh\n{does}\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(chromium, "find_chromium", lambda *_: script)


REFUSED = 'echo "[FATAL:zygote_host_impl_linux.cc] No usable sandbox!" >&2; exit 133'


def test_the_door_is_the_only_way_out_and_the_tap_is_told():
    told = arguments(["--tap"], 4321, Settings())
    assert "--proxy-server=socks5://127.0.0.1:4321" in told
    assert "--proxy-bypass-list=<-loopback>" in told
    assert "--disable-quic" in told
    assert "--tap" in told
    assert not [one for one in told if "ignore-certificate" in one or "user-agent" in one]


def test_the_browser_runs_in_its_sandbox_without_our_rights_and_without_our_environment(
    post, folder, monkeypatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-seen")
    seen: list[tuple[int, bytes]] = []
    plain = chromium._Launcher.end

    def look(launcher: chromium._Launcher) -> Coroutine[Any, Any, None]:
        process = Path("/proc") / (launcher.ours / "pid").read_text("ascii").strip()
        if process.exists():  # one whose sandbox was refused has ended by itself
            seen.append((process.stat().st_uid, (process / "environ").read_bytes()))
        return plain(launcher)

    monkeypatch.setattr(chromium._Launcher, "end", look)
    record = page_of(post, folder, sandbox="auto")
    assert record.failed is None
    on = record.browser["sandbox"]["on"]
    assert on is ("--no-sandbox" not in record.browser["command_line"])
    assert (
        on or "sandbox" in record.browser["sandbox"]["note"].lower()
    )  # a kernel that refuses it: a container
    ((owner, environment),) = seen[-1:]
    assert owner != 0
    assert owner == (folder / "work" / "page").stat().st_uid
    assert b"never-to-be-seen" not in environment
    assert f"HOME={folder}/work/page".encode() in environment


def test_a_sandbox_that_is_refused_is_reported_and_remembered_under_auto(post, folder, monkeypatch):
    does = f'case "$*" in *--no-sandbox*) exec chromium "$@";; esac; {REFUSED}'
    a_chromium_that(does, folder, monkeypatch)
    record = page_of(post, folder, sandbox="auto")
    assert record.failed is None
    assert record.browser["sandbox"]["on"] is False
    assert "No usable sandbox" in record.browser["sandbox"]["note"]
    assert "No usable sandbox" in chromium._sandbox_refused


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        (REFUSED, "No usable sandbox!"),
        ("echo chatter >&2; echo 'x: error while loading libnss3.so' >&2; exit 127", "loading libnss3.so"),
        ("exit 3", "exitCode=3, signal=null"),
    ],
    ids=["sandbox", "library", "silent"],
)
def test_a_chromium_that_does_not_start_is_one_line_that_names_the_cause(folder, monkeypatch, does, cause):
    a_chromium_that(does, folder, monkeypatch)
    record = page_of("https://a.test/", folder, sandbox="on")
    assert record.failed is not None
    assert record.failed.code == "browser-failed"
    assert cause in record.failed.detail
    assert "--disable" not in record.failed.detail
    assert "chatter" not in record.failed.detail
    assert "\n" not in record.failed.detail


def test_the_legal_profile_runs_no_browser_without_its_sandbox(folder, monkeypatch):
    a_chromium_that(REFUSED, folder, monkeypatch)
    record = page_of("https://a.test/", folder, sandbox="auto", store_profile="legal")
    assert record.failed is not None
    assert "No usable sandbox!" in record.failed.detail


def test_no_chromium_is_one_line_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda _: None)
    with pytest.raises(CaptureFailedError, match=r"^Chromium is not installed$") as caught:
        find_chromium()
    assert caught.value.next.startswith("apt-get install chromium")


def test_a_browser_that_is_named_is_the_one_or_none(monkeypatch):
    assert find_chromium(named="true") == Path("/usr/bin/true")
    with pytest.raises(CaptureFailedError, match=r"^No-such-browser is not installed$"):
        find_chromium(named="no-such-browser")


def test_every_authority_of_a_file_is_trusted_and_only_its_owner_can_change_that(site, folder, tmp_path):
    both = tmp_path / "both.pem"
    other = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", "/dev/null", "-subj", "/CN=another", "-days", "2"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    both.write_bytes(b"Some words before.\n" + site.ca.read_bytes() + other)
    trust(folder, both)
    database = folder / ".pki" / "nssdb"
    listed = subprocess.run(
        ["certutil", "-d", f"sql:{database}", "-L"], capture_output=True, check=True, text=True
    ).stdout
    assert listed.count("C,,") == 2
    assert stat.S_IMODE(database.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_authority_that_cannot_be_read_is_a_usage_error(folder, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="AKASHI_EXTRA_CA"):
        trust(folder, path)
