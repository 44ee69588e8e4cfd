"""Must show 5: kill -9 of any process at a random moment; readable files, and nothing lost that was received.

    AKASHI_KILLS=100 AKASHI_KILL_SEED=7 pytest -m slow tests/end_to_end/test_kill_anywhere.py

The server's log says what it handed to its socket. The media come at a pace that every client keeps up
with, so that what is under way in the kernel, in TLS and in Chromium's own queue of log events stays
small: that is all that may be missing, and it is measured and printed.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator

from evidence.warc_check import read_warc
from tests.end_to_end.conftest import Archive, Recorded, read_exchanges
from tests.end_to_end.test_killed import is_whole, wait_for
from tests.site.bounds import PIECE
from tests.site.served_log import ServedExchange

KILLS = int(os.environ.get("AKASHI_KILLS", "12"))
SEED = int(os.environ.get("AKASHI_KILL_SEED", "0")) or secrets.randbelow(10**6)
KINDS = {
    "page": (
        "/bounds/page",
        "page",
        "/bounds/drip",
        ("akashi", "browser", "gpu", "network", "renderer", "driver"),
    ),
    "mp4": ("/bounds/post/mp4", "video", "/bounds/paced.mp4", ("akashi", "yt-dlp")),
    "hls": ("/bounds/post/hls", "video", "/bounds/segment", ("akashi", "yt-dlp")),
}
"""Kind → path, step, what is asked for once it is busy, processes."""
PROCESSES = (
    ("", r"^(setpriv|prlimit|/bin/sh)\0"),
    ("yt-dlp", "ytdlp_child"),
    ("driver", "/driver/node"),
    ("gpu", "--type=gpu-process"),
    ("renderer", "--type=renderer"),
    ("network", "NetworkService"),
    ("", "--type="),
    ("browser", "--log-net-log"),
)
"""What a process is by its command line; the first that fits."""
LAST_BLOCK = {"page": 5 * PIECE, "mp4": 2 * PIECE, "hls": 2 * PIECE}
"""Bytes of one body that the server may have handed over and that nobody had recorded yet."""


@dataclass
class Kill:
    """One moment, and what it left."""

    kind: str
    process: str
    after: float
    marks: tuple[int, int]
    """Of the server's log, before and after."""


@pytest.mark.slow
@pytest.mark.timeout(300 + 90 * KILLS)
def test_killed_anywhere_the_files_are_readable_and_what_was_received_is_in_them(
    site, own_archive, capsys, tmp_path
):
    chance = random.Random(SEED)  # noqa: S311
    own_archive.capture(site.url("/post/novideo"), options=("--no-video",), code=3)  # the store is up now
    kills = []
    for number in range(KILLS):
        kills.append(one_kill(site, own_archive, chance))
        with capsys.disabled():
            print(f"\r{number + 1} {kills[-1].kind}/{kills[-1].process}", end=" ", flush=True)  # noqa: T201
    own_archive.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
    entries = is_whole(own_archive)
    warcs = {name(entry): warc for entry, warc in stored(own_archive, entries, tmp_path)}
    captures = [entry["subject"] for entry in entries if entry["type"] == "capture.started"]
    assert len(captures) == len(warcs) == KILLS + 2
    lost: list[tuple[int, Kill, ServedExchange]] = []
    for kill, capture in zip(kills, captures[1:-1], strict=True):
        readable(warcs[capture])
        served = [
            one
            for one in site.log.since(kill.marks[0])[: kill.marks[1] - kill.marks[0]]
            if "/bounds/" in one.target
        ]
        lost += [(n, kill, one) for n, one in losses(served, read_exchanges(warcs[capture]))]
    with capsys.disabled():
        print(f"\nseed {SEED}: {report(kills, lost)}")  # noqa: T201
    for count, kill, one in lost:
        assert count <= LAST_BLOCK[kill.kind], (kill, one.url, count)


def one_kill(site, archive: Archive, chance: random.Random) -> Kill:
    """Start a capture, wait, kill one process of it, wait for the end."""
    kind = chance.choice(sorted(KINDS))
    path, step, awaited, processes = KINDS[kind]
    victim, after = chance.choice(processes), chance.uniform(0.0, 3.0)
    busy = chance.random() < 0.8  # else at once: while a process starts
    mark = site.log.mark()
    options = () if step == "video" else ("--no-video",)
    process = archive.start(
        *("akashi", "capture", "--allow-private", *options, site.url(path)), AKASHI_PAGE_TIMEOUT="5"
    )
    wait_for(process, step)
    began = time.monotonic()
    while busy and not site.log.asked(awaited, mark) and time.monotonic() < began + 20:
        time.sleep(0.02)
    time.sleep(after)
    for _ in range(100):
        pid = process.pid if victim == "akashi" else find(process.pid).get(victim, 0)
        if pid or process.poll() is not None:
            break
        time.sleep(0.05)
    if pid:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if victim == "akashi" and pid else process.returncode)
    assert process.returncode in {-signal.SIGKILL, 0, 3, 4}
    return Kill(kind, victim if pid else "nobody", after, (mark, site.log.mark()))


def find(root: int) -> dict[str, int]:
    """The processes below `root` by what they are."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
    family, found = {root}, {}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    for pid in family - {root}:
        name = next((name for name, form in PROCESSES if re.search(form, commands[pid])), "")
        found[name] = pid
    return found


def stored(archive: Archive, entries: list, target: Path) -> list[tuple[dict, Path]]:
    """Each closing entry with its WARC, out of a copy of the store."""
    copy = target / "copy"
    assert archive.run("akashi", "store", "copy", "--to", str(copy)).returncode == 0
    found = []
    for entry in entries:
        keys = [
            one["key"] for one in entry.get("body", {}).get("objects", []) if one["key"].endswith(".warc.gz")
        ]
        found += [(entry, copy / key) for key in keys]
    return found


def name(entry: dict) -> str:
    return entry["subject"]


def readable(warc: Path) -> None:
    """To a clean end, by three readers, of which one is ours and two check every digest."""
    with warc.open("rb") as stream:
        ours = [span.record_id.strip("<>") for span in read_warc(stream)]
    with warc.open("rb") as stream:
        fast = [
            (record.record_id.strip("<>"), record.verify_block_digest())
            for record in FastIterator(stream, parse_http=False)
        ]
    assert fast == [(one, True) for one in ours]
    read_exchanges(warc)  # warcio


def losses(served: list[ServedExchange], recorded: list[Recorded]) -> list[tuple[int, ServedExchange]]:
    """For each exchange how many of the bytes sent are not in the WARC; what is there must be what was sent."""
    held = defaultdict(list)
    for one in recorded:
        held[one.method, one.url].append(one)
    found = []
    for one in sorted(served, key=lambda exchange: -exchange.sent):
        sent = one.body_bytes()
        mine = held[one.method, one.url]
        best = max(
            (r for r in mine if sent.startswith(r.response_body)),
            key=lambda r: len(r.response_body),
            default=None,
        )
        if best is None:
            found.append((one.sent + 1, one))  # not even its request
            continue
        mine.remove(best)
        assert best.request_head == one.request_head
        if len(best.response_body) < len(sent) or not one.completed:
            assert best.headers.get("WARC-Truncated") or not best.response_head, one.url
        found.append((len(sent) - len(best.response_body), one))
    return found


def report(kills: list[Kill], lost: list[tuple[int, Kill, ServedExchange]]) -> str:
    worst: dict[str, int] = {}
    for count, kill, _ in lost:
        key = f"{kill.kind}/{kill.process}"
        worst[key] = max(worst.get(key, 0), count)
    return json.dumps(
        {
            "kills": dict(Counter(f"{kill.kind}/{kill.process}" for kill in kills)),
            "exchanges": len(lost),
            "with bytes missing": sum(count > 0 for count, _, _ in lost),
            "worst": worst,
        }
    )
