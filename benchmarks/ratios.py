"""One thing at a time: recording beside the bare tool, interleaved, as ratios of medians.

    writing   a video into a WARC: warcio's default CPU ÷ ours                 at least 10
    video     300 MB over TLS: CPU of the recording ÷ yt-dlp alone             at most 1.5
    page      wall of the recording ÷ a fresh Playwright alone                 at most 1.15
    memory    peak with a 1 GB video ÷ peak with 300 MB                        at most 1.1

CPU counts every process of a run. Floors are *isolated*: a fresh yt-dlp, a fresh browser. The
machines that run this are noisy, so a single time means little and a ratio of neighbours more.
`python -m benchmarks.recording` runs it and knows what to do with a limit.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.site.process import SiteProcess

LIMITS: Final = {
    "writing: ours CPU ÷ warcio's default": 0.1,
    "video of 300 MB: CPU ÷ yt-dlp alone": 1.5,
    "page: wall ÷ Playwright alone": 1.15,
    "memory: a large video ÷ 300 MB": 1.1,
}
_WRITING: Final = ("floor", "ours", "tapped", "warcio")
_MEGABYTES: Final = 100


def measure_all(*, quick: bool) -> dict[str, Any]:
    """{"ratios", "medians", "ranges"}: what LIMITS names, and the figures behind it by run and column."""
    rounds, large = (3, 600) if quick else (5, 1000)
    taken: dict[str, list[dict[str, float]]] = {}
    with SiteProcess() as site:
        os.environ.update(site.environment())
        video, page = site.url("/post/big?mb=300"), site.url("/post/2")
        plan = [("bare-video", video), ("video", video), ("bare-page", page), ("page", page)]
        for number in range(rounds + 1):  # the first round warms up and is not counted
            for what, url in plan:
                figures = _run("benchmarks.measured", what, url)
                if number:
                    taken.setdefault(what, []).append(figures)
            for what in _WRITING if number else ():
                figures = _run("benchmarks.recording.writing", what, str(_MEGABYTES))
                taken.setdefault(f"writing {what}", []).append(figures)
        big = _run("benchmarks.measured", "video", site.url(f"/post/big?mb={large}"))
    return _ratios(taken, big)


def _ratios(taken: dict[str, list[dict[str, float]]], big: dict[str, float]) -> dict[str, Any]:
    columns = {
        f"{what} {column}": sorted(run[column] for run in runs)
        for what, runs in taken.items()
        for column in runs[0]
    }
    median = {name: statistics.median(values) for name, values in columns.items()}
    ratios = (
        median["writing ours cpu"] / median["writing warcio cpu"],
        median["video cpu"] / median["bare-video cpu"],
        median["page wall"] / median["bare-page wall"],
        big["rss"] / median["video rss"],
    )
    return {
        "ratios": dict(zip(LIMITS, ratios, strict=True)),
        "medians": {name: round(value, 3) for name, value in median.items()},
        "ranges": {name: [round(values[0], 3), round(values[-1], 3)] for name, values in columns.items()},
        "writing MB": _MEGABYTES,
    }


def _run(module: str, *arguments: str) -> dict[str, float]:
    """One run in a fresh process."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def machine() -> str:
    """What it ran on."""
    cpus = Path("/proc/cpuinfo").read_text("utf-8").split("model name\t: ")[1:]
    return f"{os.cpu_count()} x {cpus[0].splitlines()[0] if cpus else platform.machine()}"
