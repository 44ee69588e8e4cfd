"""The canary: the network log is tried on this machine, and what cannot be trusted is not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from evidence.errors import RefusedError, UsageError
from pipelines.capture import Capture
from pipelines.record import canary, chromium
from pipelines.record.canary_site import NAME, CanarySite
from pipelines.record.netlog_draft import Draft
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.tap import Recorder
from storage.home import Home
from storage.settings import Settings
from tests.pipelines.record.pages import a_folder


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AKASHI_EXTRA_CA", raising=False)
    with a_folder() as folder:
        yield Home(folder)


def chosen(home: Home, **settings: str) -> Recorder:
    return asyncio.run(canary.choose_recorder(Settings(home=home, **settings)))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a canary writes down here when nothing differs."""
    with a_folder() as folder:
        assert chosen(Home(folder)) == Recorder("netlog")
        return (folder / "canary.json").read_bytes()


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Counts the canaries that were started, and starts none."""
    started: list[None] = []

    async def run(_: Settings) -> dict[str, str]:
        started.append(None)
        return {"difference": "told by the test"}

    monkeypatch.setattr(canary, "_run", run)
    return started


def without(monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """A Chromium whose log no longer means by `event` what it did."""
    handlers = {**Assembler.HANDLERS, event: lambda *_: None}
    monkeypatch.setattr(Assembler, "HANDLERS", handlers)


def test_a_network_log_that_is_exact_is_trusted_and_remembered(good):
    told = json.loads(good)
    assert told["difference"] == ""
    assert Path(told["binary"]).read_bytes()[:4] == b"\x7fELF"


def test_a_result_that_still_holds_costs_no_browser(home, good, never):
    (home.root / "canary.json").write_bytes(good)
    assert chosen(home) == Recorder("netlog")
    assert never == []


@pytest.mark.parametrize("about", ["chromium", "recorder", "kernel", "binary", "executable"])
def test_a_result_about_another_chromium_recorder_or_kernel_is_not_trusted(home, good, never, about):
    told = json.loads(good) | {about: "another", "stat": []}
    (home.root / "canary.json").write_text(json.dumps(told), "utf-8")
    assert chosen(home) == Recorder("cdp", "told by the test")
    assert len(never) == 1


def test_a_result_about_the_machines_chromium_says_nothing_of_one_that_was_chosen(home, good, never):
    (home.root / "canary.json").write_bytes(good)
    assert chosen(home, browser="true") == Recorder("cdp", "told by the test")
    assert len(never) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"difference":""}'])
def test_a_result_that_cannot_be_read_is_not_trusted(home, never, text):
    (home.root / "canary.json").write_text(text, "utf-8")
    assert chosen(home).name == "cdp"
    assert len(never) == 1


def test_a_program_that_was_only_touched_is_read_again_and_trusted(home, good, never):
    (home.root / "canary.json").write_text(json.dumps(json.loads(good) | {"stat": []}), "utf-8")
    assert chosen(home) == Recorder("netlog")
    assert never == []


def test_a_chromium_that_was_changed_in_place_is_not_trusted(home, good, never, monkeypatch):
    program = home.root / "chromium"
    program.write_bytes(b"one")
    told = json.loads(good) | canary._about(program, program, {})
    (home.root / "canary.json").write_text(json.dumps(told), "utf-8")
    monkeypatch.setattr(canary, "find_chromium", lambda **_: program)
    assert chosen(home) == Recorder("netlog")
    before = program.stat()
    program.write_bytes(b"two")
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert chosen(home).name == "cdp"
    assert len(never) == 1


def test_a_log_that_drops_the_post_body_is_noticed(home, monkeypatch):
    dropped = Draft.sent
    monkeypatch.setattr(Draft, "sent", lambda own, *told: None if own.request_head else dropped(own, *told))
    recorder = chosen(home)
    assert recorder.name == "cdp"
    assert recorder.why == "POST /post: request body recorded otherwise than served"


@pytest.mark.parametrize("settings", [{"page_recorder": "netlog"}, {"store_profile": "legal"}])
def test_where_the_exact_recorder_is_demanded_a_difference_refuses_in_one_line(home, never, settings):
    with pytest.raises(UsageError, match="cannot be trusted here: told by the test") as refused:
        chosen(home, **settings)
    assert 'page_recorder = "cdp"' in refused.value.next
    assert "\n" not in refused.value.detail
    assert refused.value.exit_code == 2


def a_browser_that_does_not_start(home: Home) -> str:
    script = home.root / "chromium"
    script.write_text("#!/bin/sh\nexit 3\n", "utf-8")
    script.chmod(0o755)
    return str(script)


def test_a_browser_that_did_not_start_this_time_makes_nothing_exact_and_is_not_remembered(home):
    recorder = chosen(home, browser=a_browser_that_does_not_start(home))
    assert recorder.name == "cdp"
    assert recorder.why.startswith("the canary could not be recorded: Chromium did not start")
    assert "\n" not in recorder.why
    assert not (home.root / "canary.json").exists()


def test_a_driver_that_died_makes_nothing_exact(home, monkeypatch):
    async def died(_: chromium._Launcher) -> None:
        raise Exception("Connection closed")  # noqa: TRY002  # as Playwright does

    monkeypatch.setattr(chromium._Launcher, "launch", died)
    assert "driver died" in chosen(home).why


@pytest.mark.parametrize("settings", [{"page_recorder": "netlog"}, {"store_profile": "legal"}])
def test_where_the_exact_recorder_is_demanded_one_that_could_not_be_tried_is_refused(home, settings):
    with pytest.raises(UsageError, match=r"cannot be trusted here: .*Chromium did not start"):
        chosen(home, browser=a_browser_that_does_not_start(home), **settings)


@pytest.mark.parametrize("settings", [{}, {"page_recorder": "netlog"}, {"store_profile": "legal"}])
def test_where_there_is_no_browser_the_capture_itself_says_so(home, settings):
    assert chosen(home, browser="no-such-browser", **settings) == Recorder("netlog")


def test_without_certutil_the_refusal_names_it_and_what_to_install(home, monkeypatch):
    found = chromium.shutil.which
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None if name == "certutil" else found(name))
    with pytest.raises(UsageError, match=r"^certutil is not installed$") as refused:
        chosen(home)
    assert refused.value.next == "apt-get install libnss3-tools"


def test_what_starts_beside_a_canary_leaves_its_folder_alone_and_takes_a_dead_ones(home, monkeypatch):
    seen: list[Path] = []
    record = canary._record

    def beside(*about: Any) -> Coroutine[Any, Any, Any]:
        (folder,) = home.spool.iterdir()
        assert Capture.reopen(folder) is None
        seen.extend(home.spool.glob("canary-*/root.pem"))
        return record(*about)

    monkeypatch.setattr(canary, "_record", beside)
    assert chosen(home) == Recorder("netlog")
    assert len(seen) == 1
    assert list(home.spool.iterdir()) == []
    dead = home.spool / "canary-dead"
    dead.mkdir()
    assert Capture.reopen(dead) is None
    assert not dead.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "event",
    [
        "SSL_SOCKET_BYTES_SENT",
        "SSL_SOCKET_BYTES_RECEIVED",
        "SSL_CONNECT",
        "HTTP_TRANSACTION_SEND_REQUEST_HEADERS",
    ],
)
def test_a_log_that_lost_any_of_its_meaning_is_noticed(home, monkeypatch, event):
    without(monkeypatch, event)
    assert chosen(home).why


def test_the_legal_profile_takes_no_less_exact_recorder(home):
    with pytest.raises(UsageError, match="exactly, or not at all"):
        chosen(home, page_recorder="cdp", store_profile="legal")


def test_the_door_of_the_canary_leads_to_its_own_port_only(home):
    async def asked() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            site = CanarySite(home.root)
            async with site, canary._door(site, home.root) as tunnel:
                assert tunnel._addresses(NAME, site.port) == ("127.0.0.1",)
                for host, port in (
                    (NAME, other.getsockname()[1]),
                    ("127.0.0.1", site.port),
                    ("localhost", site.port),
                    ("example.com", 443),
                    ("169.254.169.254", 80),
                ):
                    with pytest.raises(RefusedError, match="leads to"):
                        tunnel._addresses(host, port)

    asyncio.run(asked())
