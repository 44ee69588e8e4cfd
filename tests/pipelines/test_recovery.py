"""What the next start does with folders that it cannot, or must not, believe."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evidence.errors import LedgerUnavailableError, StoreUnavailableError
from pipelines import recovery
from pipelines.candidate import Candidate
from pipelines.capture import Capture
from pipelines.options import CaptureOptions
from pipelines.page import open_sink
from pipelines.runtime import Runtime
from storage.home import Home
from storage.settings import Settings

NAME = "f" * 32
NOTE = {
    "client": "chromium", "url": "https://b.test/", "method": "GET", "started": "2026-11-23T00:00:00+00:00",
    "request_head": "GET / HTTP/1.1\r\n\r\n", "response_head": "", "ip": "", "layer": "h1-bytes",
}  # fmt: skip


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    settings = replace(Settings(), home=Home(tmp_path / "home"))
    settings.home.make()
    # Neither store nor ledger is asked for what is shown here.
    return Runtime(settings, None, None, None, None, options=CaptureOptions())  # type: ignore[arg-type]


def dead(runtime: Runtime, url: str) -> Capture:
    capture = Capture.begin(runtime.settings.home.spool, Candidate(url, rank=1))
    capture.release()
    return capture


def left_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{NAME}.note"
    note.write_text(json.dumps(NOTE) + "\n")
    return note


def test_what_the_video_child_left_is_its_own_whatever_its_note_says(runtime: Runtime) -> None:
    capture = dead(runtime, "https://a.test/")
    note = left_in(capture.work / "video" / "spool")
    asyncio.run(recovery._salvage(capture, runtime))
    sink = open_sink(capture, runtime)
    sink.close()
    assert not note.exists()
    text = (capture.folder / f"{sink.path.name}.index").read_text()
    assert '"yt-dlp"' in text
    assert '"chromium"' not in text


@pytest.mark.parametrize("where", ["video", "video/files", "video/spool"])
def test_through_a_link_of_the_video_child_nothing_is_salvaged_and_that_is_said(
    runtime: Runtime, tmp_path: Path, where: str
) -> None:
    capture = dead(runtime, "https://a.test/")
    theirs = left_in(tmp_path / "theirs" / "spool").parent
    link = capture.work / where
    link.parent.mkdir(parents=True)
    link.symlink_to(theirs if where == "video/spool" else theirs.parent)
    own = left_in(capture.folder)
    asyncio.run(recovery._salvage(capture, runtime))
    open_sink(capture, runtime).close()
    assert (theirs / f"{NAME}.note").exists()
    assert not own.exists()
    assert [reason.code for reason in capture.reasons] == ["interrupted", "video-failed"]


@pytest.mark.parametrize("error", [AttributeError, OverflowError, OSError, RecursionError])
def test_a_folder_that_cannot_be_finished_stays_and_the_others_are_closed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    first, second = (dead(runtime, url) for url in ("https://a.test/", "https://b.test/"))

    async def close(capture: Capture, _runtime: Runtime) -> bool:
        if capture.id == first.id:
            raise error("no")
        return True

    monkeypatch.setattr(recovery, "_close", close)
    closed = asyncio.run(recovery.recover(runtime))
    assert [capture.id for capture in closed] == [second.id]
    assert first.folder.exists()


@pytest.mark.parametrize("error", [StoreUnavailableError, LedgerUnavailableError])
def test_a_store_or_ledger_out_of_reach_ends_the_start(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    dead(runtime, "https://a.test/")

    async def close(_capture: Capture, _runtime: Runtime) -> bool:
        raise error("no", next="start it")

    monkeypatch.setattr(recovery, "_close", close)
    with pytest.raises(error):
        asyncio.run(recovery.recover(runtime))


@pytest.mark.parametrize("known", [{"started_entry": 3}, {"started_entry": 3, "preserved": {}}])
def test_of_a_capture_that_the_ledger_closed_only_the_folder_goes(
    runtime: Runtime, known: dict[str, Any]
) -> None:
    """It may have been erased since: neither its objects nor its title come back (store and catalogue are None)."""
    capture = dead(runtime, "https://a.test/")
    capture = Capture.reopen(capture.folder)
    capture.facts |= known
    capture.save()
    capture.release()
    entries = [
        SimpleNamespace(type=f"capture.{end}", index=at) for at, end in ((3, "started"), (4, "completed"))
    ]
    runtime.ledger = SimpleNamespace(entries_of=lambda _: entries)
    asyncio.run(recovery.recover(runtime))
    assert not capture.folder.exists()
