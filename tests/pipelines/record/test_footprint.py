"""Must show 5: memory flat, and a video lies on the local disk at most twice, however large it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.process import SiteProcess

ROOT = Path(__file__).resolve().parents[3]
LARGE = int(os.environ.get("AKASHI_LARGE_MB", "300"))


@pytest.mark.slow
@pytest.mark.timeout(120 + LARGE)
def test_a_large_video_takes_no_more_memory_and_at_most_twice_its_size_of_disk(capsys):
    figures = []
    with SiteProcess() as site:
        for mb in (10, LARGE):
            done = subprocess.run(
                [sys.executable, "-m", "tests.pipelines.record.footprint", site.url(f"/post/big?mb={mb}")],
                env=os.environ | site.environment(),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            )
            figures.append(json.loads(done.stdout))
            assert (figures[-1]["roles"], figures[-1]["bytes"]) == (["original"], mb * 1_000_000)
    small, large = figures
    with capsys.disabled():
        print(f"\n{small}\n{large}")  # noqa: T201
    assert large["memory"] < 1.1 * small["memory"]
    assert large["disk"] <= 2.05 * large["bytes"]
