"""The canary: before the first page of a process, a page of ours is recorded and compared with what was served.

Chromium's makers warn that its network log may change. Whether what we read from it is still what crossed the
wire, byte for byte, is therefore tried on this machine, through the very code that records a capture; a good
result counts for this Chromium, this recorder and this kernel:

    <home>/canary.json   {"binary":"/usr/lib/chromium/chromium","checked":"2026-…Z","chromium":"<sha256>","difference":"",
                          "executable":"/usr/bin/chromium","kernel":"…","recorder":"<sha256>","stat":[…]}
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final, cast

from playwright.async_api import Error as PlaywrightError
from warcio.archiveiterator import ArchiveIterator

from evidence.canonical import utc
from evidence.digests import digest_file
from evidence.errors import CaptureFailedError, UsageError
from pipelines.capture import lock_folder
from pipelines.guard import Resolver, Tunnel
from pipelines.record.canary_site import NAME, PATHS, CanarySite, Said
from pipelines.record.chromium import find_chromium, run_chromium
from pipelines.record.page import Recording
from pipelines.record.sink import WarcSink
from pipelines.record.tap import EXACT, Recorder
from storage.home import Home
from storage.settings import Settings

_SECONDS: Final = 60.0
NEXT: Final = (
    'page_recorder = "cdp" records pages less exactly; a Chromium that Akashi was tried with, exactly'
)


async def choose_recorder(settings: Settings) -> Recorder:
    """The recorder for this process's pages. Raises UsageError when none that is allowed can be trusted."""
    legal = settings.store_profile == "legal"
    if settings.page_recorder == "cdp":
        if legal:
            raise UsageError(
                "the legal profile records pages exactly, or not at all", next='page_recorder = "netlog"'
            )
        return Recorder("cdp")
    told = read_canary(settings.home)
    if told is None or told["difference"] or not holds(told, settings):
        try:
            told = await _run(settings)
        except CaptureFailedError as error:
            if _means_no_browser(error, settings):  # the capture says so itself
                return EXACT
            told = {"difference": f"the canary could not be recorded: {error.detail}"}
    if not told["difference"]:
        return EXACT
    if legal or settings.page_recorder == "netlog":
        raise UsageError(f"Chromium's network log cannot be trusted here: {told['difference']}", next=NEXT)
    return Recorder("cdp", str(told["difference"]))


def read_canary(home: Home) -> dict[str, Any] | None:
    """The last result, whatever it is about; None when there is none that can be read."""
    try:
        told = json.loads(_file(home).read_text("utf-8"))
        return told if told.keys() >= {"difference", "checked", "executable", "binary", "stat"} else None
    except (OSError, ValueError, AttributeError):
        return None


def holds(told: dict[str, Any], settings: Settings) -> bool:
    """Whether a result is about the Chromium, the recorder and the kernel that would record now."""
    try:
        executable = find_chromium(named=settings.browser)
    except CaptureFailedError:
        executable = Path(told["executable"])  # Playwright's own
    try:
        about = _about(executable, Path(told["binary"]), told)
        return (about | {"stat": told["stat"]}).items() <= told.items()
    except OSError:
        return False


def _means_no_browser(error: CaptureFailedError, settings: Settings) -> bool:
    try:
        find_chromium(named=settings.browser)
    except CaptureFailedError as none:
        return none.detail == error.detail  # else Playwright's own was there, and failed
    return False


def _about(executable: Path, binary: Path, known: dict[str, Any]) -> dict[str, Any]:
    """What a result is about; a program whose inode nobody touched since (`known`) is not read again."""
    stat = [
        [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        for found in (executable.stat(), binary.stat())
    ]
    digest = known.get("chromium") if stat == known.get("stat") else None
    sources = sorted(Path(__file__).parent.glob("*.py"))
    recorder = hashlib.sha256(version("playwright").encode())
    for source in sources:
        recorder.update(source.read_bytes())
    kernel = os.uname()
    return {
        "binary": str(binary),
        "chromium": digest or digest_file(executable).sha256 + digest_file(binary).sha256,
        "executable": str(executable),
        "kernel": f"{kernel.sysname} {kernel.release} {kernel.version} {kernel.machine}",
        "recorder": recorder.hexdigest(),
        "stat": stat,
    }


async def _run(settings: Settings) -> dict[str, Any]:
    """Record, compare, remember. Raises CaptureFailedError when no browser ran, UsageError, OSError."""
    folder = Path(tempfile.mkdtemp(prefix="canary-", dir=settings.home.make().spool))
    with cast("IO[str]", lock_folder(folder)):  # what lies there unlocked goes with the next start
        try:
            site = CanarySite(folder)
            async with site, _door(site, folder) as tunnel:
                browser, why = await _record(site, tunnel, folder, settings)
            difference = why or compare(site, folder / "canary.warc.gz")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    about = await asyncio.to_thread(_about, Path(browser["executable"]), Path(browser["binary"]), {})
    told = {**about, "checked": utc(datetime.now(UTC)), "difference": difference}
    _file(settings.home).write_text(json.dumps(told, sort_keys=True), "utf-8")
    return told


def _door(site: CanarySite, folder: Path) -> Tunnel:
    """A way to the canary's port, and to nothing else."""
    resolver = Resolver({NAME: ("127.0.0.1",)}, allow_private=True)
    return Tunnel(resolver, log=folder / "connections.jsonl", only=(NAME, site.port))


async def _record(
    site: CanarySite, tunnel: Tunnel, folder: Path, settings: Settings
) -> tuple[dict[str, Any], str]:
    """Record the canary's page as a capture would; how the browser ran, and why it cannot be compared."""
    url, why = f"https://{NAME}:{site.port}/", ""
    sink = WarcSink(folder / "canary.warc.gz", spool=folder, capture_id="canary", warcinfo={})
    recording = Recording(url, sink, tunnel, EXACT)
    try:
        async with run_chromium(
            workdir=folder / "work",
            port=tunnel.port,
            settings=settings,
            make_tap=recording.make_tap,
            authority=site.root,
        ) as browser:
            recording.facts |= browser.facts
            page = browser.context.pages[0]
            async with asyncio.timeout(_SECONDS):
                await page.goto(url, timeout=0)
                await page.wait_for_function("document.title === 'done'", timeout=0)
    except (PlaywrightError, TimeoutError) as error:
        why = f"the canary's page did not come to its end: {str(error).partition(chr(10))[0]}"
    finally:
        await asyncio.shield(asyncio.to_thread(recording.flush))
        sink.close()
    return recording.facts, recording.untrusted or why


def compare(site: CanarySite, warc: Path) -> str:
    """The first difference between what was served and what stands in the WARC; empty when there is none."""
    recorded = Counter(_recorded(warc))
    for said in site.said:
        if recorded[said] > 0:
            recorded[said] -= 1
            continue
        near = next((one for one in recorded.elements() if one.what == said.what), None)
        if near is None:
            return f"{said.what} was served and is not recorded"
        fields = [name for name in Said._fields if getattr(near, name) != getattr(said, name)]
        return f"{said.what}: {', '.join(fields).replace('_', ' ')} recorded otherwise than served"
    left = next(recorded.elements(), None)
    if left is not None:
        return f"{left.what} is recorded and was never served"
    lacking = PATHS - {said.what.partition(" ")[2] for said in site.said}
    return f"{min(lacking)} was never asked for" if lacking else ""


def _recorded(warc: Path) -> list[Said]:
    heads: dict[str, tuple[bytes, bytes, str]] = {}
    found = []
    with warc.open("rb") as stream:
        for record in ArchiveIterator(stream, no_record_parse=True):  # a response stands before its request
            head, end, body = record.raw_stream.read().partition(b"\r\n\r\n")
            header = record.rec_headers.get_header
            if record.rec_type == "response":
                heads[header("WARC-Record-ID")] = (head + end, body, header("WARC-Cipher-Suite", ""))
            elif record.rec_type == "request":
                answer = heads.get(header("WARC-Concurrent-To"), (b"", b"", ""))
                found.append(Said(head + end, body, *answer))
    return found


def _file(home: Home) -> Path:
    return home.root / "canary.json"
