"""Must show 4: several at once, and killed with -9 at each step in turn: every started capture is closed."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.end_to_end.conftest import Archive, fresh_home

ENDS = {"capture.completed", "capture.partial", "capture.failed"}


def is_whole(archive: Archive) -> list:
    """The ledger's entries, contiguous, every started capture closed exactly once; and audit passes."""
    entries = archive.entries()
    assert [e["index"] for e in entries] == list(range(len(entries)))
    started = [e["subject"] for e in entries if e["type"] == "capture.started"]
    closed = [e["subject"] for e in entries if e["type"] in ENDS]
    assert sorted(started) == sorted(closed)
    assert len(set(closed)) == len(closed)
    assert archive.run("akashi", "audit").returncode == 0
    return entries


def wait_until_the_video_is_recorded(archive: Archive) -> None:
    """--json prints nothing on the way, so the spool's own state tells."""
    for _ in range(600):
        for state in (archive.home / "spool").glob("*/state.json"):
            if '"name": "video"' in state.read_text("utf-8"):
                return
        time.sleep(0.05)
    raise AssertionError("no video step")


def wait_for(process, step: str) -> None:
    """Until the plain progress on stderr names the step."""
    for line in process.stderr:
        if line.startswith(step):
            return
    raise AssertionError(f"ended before {step}")


STEPS = ["admit", "page", "video", "inspect", "preserve", "prove"]


@pytest.mark.parametrize(
    "step", [pytest.param(s, marks=() if s in {"page", "prove"} else pytest.mark.slow) for s in STEPS]
)
def test_killed_at_a_step_then_run_again_nothing_stays_open_and_nothing_is_lost(site, archive, step):
    url = site.url("/post/2")
    process = archive.start("akashi", "capture", "--allow-private", url)
    wait_for(process, step)
    if step in {"page", "video"}:
        time.sleep(0.7)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = archive.capture(url, code=0)
    entries = is_whole(archive)
    assert result["entry"] == entries[-1]["index"]
    assert not list((archive.home / "spool").iterdir())


def test_an_interrupted_attempt_is_named_by_the_next_one(site, own_archive):
    url = site.url("/post/slow")
    process = own_archive.start("akashi", "capture", "--allow-private", url)
    wait_for(process, "page")
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = own_archive.capture(url)
    manifest = own_archive.objects("akashi", "show", result["capture"])[0]["manifest"]
    dead = [e for e in is_whole(own_archive) if e["type"] == "capture.failed"]
    assert manifest["capture"]["attempt_of"] == dead[0]["subject"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_valid_closed_capture(site, own_archive, tmp_path, number):
    process = own_archive.start("akashi", "capture", "--allow-private", site.url("/post/endless"))
    wait_for(process, "page")
    time.sleep(2.5)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 4
    (entry,) = [e for e in is_whole(own_archive) if e["type"] in ENDS]
    assert entry["type"] == "capture.failed"
    assert entry["body"]["reasons"] == ["interrupted"]
    (row,) = own_archive.objects("akashi", "list")
    folder = own_archive.files(row["capture"], tmp_path)
    assert next(folder.glob("*.warc.gz")).stat().st_size > 1000


def test_several_at_once_make_one_log_without_fork_or_gap(site, own_archive):
    urls = [site.url("/post/2"), site.url("/post/novideo"), site.url("/post/removed")]
    running = [
        own_archive.start("akashi", "capture", "--json", "--allow-private", "--no-video", url) for url in urls
    ]
    assert [process.communicate(timeout=150) and process.returncode for process in running] == [3, 3, 3]
    assert len([e for e in is_whole(own_archive) if e["type"] in ENDS]) == 3


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_store_that_dies_midway_keeps_the_capture_and_the_next_start_finishes_it(site, own_archive):
    """The store is another home's, named by its endpoint: so that nothing of ours may start it again."""
    assert own_archive.run("akashi", "store", "start").returncode == 0
    (where,) = own_archive.objects("akashi", "store", "status")
    keys = json.loads((own_archive.home / "store" / "credentials.json").read_text("utf-8"))
    remote = {
        "AKASHI_STORE_ENDPOINT": where["endpoint"],
        "AKASHI_STORE_ACCESS_KEY": keys["access_key"],
        "AKASHI_STORE_SECRET_KEY": keys["secret_key"],
        "AKASHI_STORE_BUCKET": "remote",
    }
    with fresh_home(site.environment() | remote) as far:
        far.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
        process = far.start("akashi", "capture", "--json", "--allow-private", site.url("/post/2"))
        wait_until_the_video_is_recorded(far)
        os.kill(int(where["pid"]), signal.SIGKILL)
        out, _ = process.communicate(timeout=200)
        assert process.returncode == 5, out
        assert len(list((far.home / "spool").iterdir())) == 1
        assert own_archive.run("akashi", "store", "start").returncode == 0
        far.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
        is_whole(far)


def test_a_spool_that_nobody_can_read_stays_and_holds_nothing_up(site, own_archive):
    broken = own_archive.home / "spool" / "01KAR5Q8Z41X7JQ9D2N6V0H3GT"
    broken.mkdir(parents=True)
    own_archive.home.chmod(0o711)
    (broken / "state.json").write_text("{ torn", "utf-8")
    own_archive.capture(site.url("/post/novideo"), options=("--no-video",), code=3)
    assert (broken / "state.json").exists()
