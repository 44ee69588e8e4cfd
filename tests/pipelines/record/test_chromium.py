"""Starting and ending Chromium: what it is told, its sandbox, the authorities it trusts."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from evidence.errors import UsageError
from pipelines.record import chromium
from pipelines.record.chromium import BrowserFailedError, arguments, find_chromium, trust
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


@pytest.fixture
def without_sandbox(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Chromium, faked as on a kernel that refuses its sandbox."""
    script = folder / "chromium"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--no-sandbox*) exec chromium "$@";; esac\n'
        'echo "[FATAL:zygote_host_impl_linux.cc] No usable sandbox!" >&2; exit 133\n',
        "utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setattr(chromium, "find_chromium", lambda _: script)


def test_the_door_is_the_only_way_out_and_everything_is_logged():
    told = arguments(Path("/x/log"), 4321, Settings())
    assert "--proxy-server=socks5://127.0.0.1:4321" in told
    assert "--proxy-bypass-list=<-loopback>" in told
    assert "--disable-quic" in told
    assert "--net-log-capture-mode=Everything" in told
    assert not [one for one in told if "ignore-certificate" in one or "user-agent" in one]


def test_the_sandbox_is_used_where_it_can_be(post, folder):
    record = page_of(post, folder, sandbox="on")
    assert record.browser["sandbox"] == {"on": True, "note": ""}
    assert "--no-sandbox" not in record.browser["command_line"]


def test_a_sandbox_that_is_refused_is_reported_and_remembered_under_auto(post, folder, without_sandbox):
    record = page_of(post, folder, sandbox="auto")
    assert record.failed is None
    assert record.browser["sandbox"]["on"] is False
    assert "No usable sandbox" in record.browser["sandbox"]["note"]
    assert "No usable sandbox" in chromium._sandbox_refused


def test_a_sandbox_that_is_refused_fails_under_on(post, folder, without_sandbox):
    record = page_of(post, folder, sandbox="on")
    assert record.failed is not None
    assert record.failed.code == "browser-failed"
    assert "No usable sandbox" in record.failed.detail
    assert "\n" not in record.failed.detail


def test_the_browser_runs_without_our_rights_and_without_our_environment(post, folder, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-seen")
    seen: list[tuple[int, bytes]] = []
    plain = chromium._Launcher.end

    def look(launcher: chromium._Launcher) -> Coroutine[Any, Any, None]:
        pid = int((launcher._ours / "pid").read_text("ascii"))
        seen.append((Path(f"/proc/{pid}").stat().st_uid, Path(f"/proc/{pid}/environ").read_bytes()))
        return plain(launcher)

    monkeypatch.setattr(chromium._Launcher, "end", look)
    page_of(post, folder)
    ((owner, environment),) = seen
    assert owner != 0
    assert owner == (folder / "work" / "page").stat().st_uid
    assert b"never-to-be-seen" not in environment
    assert f"HOME={folder}/work/page".encode() in environment


def test_no_chromium_is_one_line_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda _: None)
    with pytest.raises(BrowserFailedError, match=r"^Chromium is not installed: apt-get install chromium"):
        find_chromium()


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
