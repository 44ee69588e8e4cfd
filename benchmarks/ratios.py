"""`make bench`: recording beside the bare tools, interleaved in one run, as ratios of medians.

    video   100 MB: CPU of the recording ÷ CPU of yt-dlp alone           at most 1.6
    page    wall of the recording ÷ wall of a fresh Playwright alone      at most 1.3
    memory  peak with a 1 GB video ÷ peak with 100 MB                     at most 1.1

CPU counts every process of a run. Floors are *isolated*: a fresh yt-dlp, a fresh browser. The
machines that run this are noisy, so a single time means little and a ratio of neighbours more.
`--assert` exits 1 above a limit (with a tenth of slack for `--quick`, which runs less often).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from tests.site.process import SiteProcess

LIMITS = {"video CPU": 1.6, "page wall": 1.3, "memory 1 GB / 100 MB": 1.1}


def main() -> int:
    """Measure, print a table and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="three rounds, memory with 300 MB instead of 1 GB"
    )
    parser.add_argument("--assert", dest="asserting", action="store_true", help="exit 1 above a limit")
    options = parser.parse_args()
    rounds, large = (3, 300) if options.quick else (5, 1000)
    with SiteProcess() as site:
        os.environ.update(site.environment())
        small_url, page_url = site.url("/post/big?mb=100"), site.url("/post/2")
        taken: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds + 1):  # the first round warms up and is not counted
            for what, url in (
                ("bare-video", small_url), ("video", small_url), ("bare-page", page_url), ("page", page_url),
            ):  # fmt: skip
                figures = measure(what, url)
                if number:
                    taken.setdefault(what, []).append(figures)
        big = measure("video", site.url(f"/post/big?mb={large}"))
    result = report(taken, big)
    print(json.dumps({"rounds": rounds, "large_mb": large, "machine": machine(), **result}))
    slack = 1.1 if options.quick else 1.0
    over = [name for name, limit in LIMITS.items() if result["ratios"][name] > limit * slack]
    if over:
        print(f"above its limit: {', '.join(over)}", file=sys.stderr)
    return 1 if over and options.asserting else 0


def measure(what: str, url: str) -> dict[str, float]:
    """One run in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measured", what, url],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(taken: dict[str, list[dict[str, float]]], big: dict[str, float]) -> dict[str, dict[str, float]]:
    """Print medians with their spread, and the ratios."""
    medians: dict[str, float] = {}
    print(f"{'':12} {'CPU s (min-max)':>24} {'wall s (min-max)':>24} {'peak MB':>9}", file=sys.stderr)
    for what, runs in taken.items():
        cells = []
        for name in ("cpu", "wall"):
            values = sorted(run[name] for run in runs)
            medians[f"{what} {name}"] = statistics.median(values)
            cells.append(f"{statistics.median(values):.2f} ({values[0]:.2f}-{values[-1]:.2f})")
        medians[f"{what} rss"] = statistics.median(run["rss"] for run in runs)
        print(f"{what:12} {cells[0]:>24} {cells[1]:>24} {medians[f'{what} rss'] / 1e6:9.0f}", file=sys.stderr)
    ratios = {
        "video CPU": medians["video cpu"] / medians["bare-video cpu"],
        "page wall": medians["page wall"] / medians["bare-page wall"],
        "memory 1 GB / 100 MB": big["rss"] / medians["video rss"],
    }
    for name, ratio in ratios.items():
        print(f"{name:22} {ratio:5.2f}   (at most {LIMITS[name]})", file=sys.stderr)
    return {
        "ratios": {k: round(v, 3) for k, v in ratios.items()},
        "medians": {k: round(v, 3) for k, v in medians.items()},
    }


def machine() -> str:
    """What it ran on."""
    cpus = Path("/proc/cpuinfo").read_text("utf-8").split("model name\t: ")[1:]
    return f"{os.cpu_count()} x {cpus[0].splitlines()[0] if cpus else platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
