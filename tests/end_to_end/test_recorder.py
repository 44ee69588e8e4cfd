"""A network log that is not exact: refused, or replaced by a recorder that says so, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.end_to_end.conftest import ROOT, Archive
from tests.site import Site

_BROKEN = """
import sys
from pipelines.record.netlog_draft import Draft
sent = Draft.sent
Draft.sent = lambda own, *told: None if own.request_head else sent(own, *told)
from console.main import main
sys.exit(main())
"""
"""The command, with a network log that no longer tells of what was posted."""


def akashi(archive: Archive, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command, so broken."""
    return subprocess.run(
        [sys.executable, "-c", _BROKEN, *command],
        env=archive.environment | {"AKASHI_PAGE_RECORDER": "auto"} | env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.fixture
def untried(own_archive: Archive) -> Archive:
    """An archive whose Chromium no canary has tried."""
    (own_archive.home / "canary.json").unlink(missing_ok=True)
    return own_archive


def test_a_recorder_that_is_not_exact_is_refused_before_anything_is_fetched(site: Site, untried: Archive):
    mark = site.log.mark()
    command = ("capture", "--json", "--allow-private", "--no-video", site.url("/post/1"))
    done = akashi(untried, *command, AKASHI_PAGE_RECORDER="netlog")
    assert done.returncode == 2, done.stderr[-2000:]
    (told,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert told["capture"] is None
    assert "POST /post: request body recorded otherwise than served" in json.dumps(told)
    assert 'page_recorder = \\"cdp\\"' in done.stdout + json.dumps(done.stderr)
    assert site.log.since(mark) == []
    assert untried.objects("akashi", "list") == []


@pytest.mark.slow
def test_a_page_falls_back_and_says_so_in_its_manifest(site: Site, untried: Archive, tmp_path):
    command = ("capture", "--json", "--allow-private", "--no-video", site.url("/post/novideo"))
    done = akashi(untried, *command)
    assert done.returncode == 3, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "recorder-fallback" in {reason["code"] for reason in told["reasons"]}
    manifest = json.loads((untried.files(told["capture"], tmp_path) / "manifest.json").read_text("utf-8"))
    text = json.dumps(manifest)
    assert '"name": "cdp"' in text
    assert "POST /post: request body recorded otherwise than served" in text
    assert "DevTools tells once" in json.dumps(manifest["completeness"]["missing"])
    found = {one["subject"]: one for one in untried.objects("akashi", "doctor")}
    assert found["recorder"]["state"] == "note"
    assert "POST /post" in found["recorder"]["text"]
