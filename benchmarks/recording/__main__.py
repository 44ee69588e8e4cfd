"""`make bench`: the posts of benchmarks/recording/content.py through every tool, interleaved, in one run.

    python -m benchmarks.recording [--rounds N] [--quick] [--assert] [--cases a,b,c,h] [--tools NAME,…]

Without `--quick` it writes docs/benchmarks.md, .svg and .json; the limits of the issue are checked
with `--assert` (a tenth of slack for `--quick`, which measures only the floors and Akashi, three
posts for twenty, and less often). The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import ratios
from benchmarks.recording import content, report
from benchmarks.recording.left import left_in
from benchmarks.recording.measured import measure
from benchmarks.recording.tools import CASES, TOOLS, Case, Tool, job_of, missing
from benchmarks.recording.web import Web

SECONDS: Final = 1800.0
"""For one run."""
LIMITS: Final = {
    "a: CPU ÷ isolated floor": 1.25,
    "b: CPU ÷ isolated floor": 1.15,
    "c: CPU ÷ isolated floor": 1.5,
    "a: CPU ÷ shared floor": 1.6,
    "b: CPU ÷ shared floor": 3.0,
    "c: CPU ÷ shared floor": 2.0,
    **ratios.LIMITS,
}
"""Against the shared floor below the best of the others in reference figures (1.67, 4.0, 4.0)."""
Row = dict[str, Any]


def main() -> int:
    """Measure, print a table, write the documents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="3, or 2 with --quick")
    parser.add_argument("--quick", action="store_true", help="floors and Akashi alone, nothing written")
    parser.add_argument("--assert", dest="asserting", action="store_true", help="exit 1 above a limit")
    parser.add_argument("--cases", default="", help="a,b,c,h")
    parser.add_argument("--tools", default="", help="by name, with commas")
    options = parser.parse_args()
    cases, tools = chosen(options)
    rounds = options.rounds or (2 if options.quick else 3)
    with Web() as web:
        runs = interleaved(tools, cases, rounds, web)
    rows = [row_of(case, tool, runs[case.name, tool.name]) for case in cases for tool in tools
            if (case.name, tool.name) in runs]  # fmt: skip
    alone = ratios.measure_all(quick=options.quick)
    found = {**against_floors(rows), **alone["ratios"]}
    result = {
        "machine": ratios.machine(),
        "rounds": rounds,
        "ratios": {name: round(value, 3) for name, value in found.items()},
        "limits": LIMITS,
        "rows": rows,
        "alone": alone,
        "missing": missing(),
        "cases": {case.name: case.about for case in cases},
        "tools": {tool.name: tool.about for tool in tools},
    }
    print(report.table(result), file=sys.stderr)
    if not (options.quick or options.cases or options.tools):
        report.write(result)
    print(json.dumps(result))
    slack = 1.1 if options.quick else 1.0
    over = [name for name, limit in LIMITS.items() if found.get(name, 0) > limit * slack]
    over += [f"{row['case']}: {row['tool']} left {row['recorded']} of {row['served']}, video {row['video']}"
             for row in rows if row["tool"] == "Akashi" and not whole(row)]  # fmt: skip
    if over:
        print(f"above its limit: {', '.join(over)}", file=sys.stderr)
    return 1 if over and options.asserting else 0


def chosen(options: argparse.Namespace) -> tuple[Sequence[Case], Sequence[Tool]]:
    """The cases and tools of this run; a tool that is not installed is none."""
    cases = [case for case in CASES if not options.cases or case.name in options.cases.split(",")]
    if options.quick:
        cases = [replace(case, posts=case.posts[:3]) for case in cases]
    named = options.tools.split(",") if options.tools else []
    return cases, [
        tool
        for tool in TOOLS
        if (not named or tool.name in named)
        and (not options.quick or tool.floor or tool.name == "Akashi")
        and (not tool.needs or Path(tool.needs).exists())
    ]


def interleaved(
    tools: Sequence[Tool], cases: Sequence[Case], rounds: int, web: Web
) -> dict[tuple[str, str], list[Row]]:
    """Every tool once in each round, so that what the machine does besides meets all alike."""
    runs: dict[tuple[str, str], list[Row]] = {}
    for number in range(rounds):
        for case in cases:
            for tool in tools:
                if (tool.once and number) or (tool.only and case.name not in tool.only):
                    continue
                row = one(tool, case, web)
                runs.setdefault((case.name, tool.name), []).append(row)
                print(
                    f"{number + 1}/{rounds} {case.name} {tool.name:22} CPU {row['cpu']:7.2f} s wall {row['wall']:7.2f} s"
                    f" {row['recorded']:4}/{row['served']:4} video {row['video']}"
                    + (f" exit {row['code']}: {row['said']}" if row["code"] else ""),
                    file=sys.stderr, flush=True,
                )  # fmt: skip
    return runs


def one(tool: Tool, case: Case, web: Web) -> Row:
    """One run in a folder of its own, and what it left."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        job, times = job_of(tool, case, web, folder)
        script = ["/bin/sh", "-c", tool.script(job)]
        mark = web.mark()
        home = {"HOME": str(folder), "PYTHONPATH": ""}
        row: Row = measure(script, folder=folder, environment={**os.environ, **home}, seconds=SECONDS)
        served = web.served(mark)
        videos = [path for post in job.posts for path in content.videos(web.site, post)]
        left = left_in(folder, web.url("").removeprefix("http://"), videos)
        said = (folder / "output").read_text("utf-8", "replace").strip().splitlines()[-1:]
        if row["code"] and (kept := os.environ.get("AKASHI_BENCH_KEEP")):  # to look at what went wrong
            shutil.copytree(folder, Path(kept) / f"{tool.name}-{case.name}", dirs_exist_ok=True)
    row["cpu"], row["wall"], row["times"] = row["cpu"] * times, row["wall"] * times, times
    row |= {"served": len(served), "recorded": left.recorded, "video": left.video, "left": left.bytes}
    return row | {"said": said[0][:200] if said else ""}


def row_of(case: Case, tool: Tool, runs: Sequence[Row]) -> Row:
    """Medians, and the spread of CPU and wall."""
    row: Row = {"case": case.name, "tool": tool.name, "floor": tool.floor, "n": len(runs)}
    for name in ("cpu", "wall"):
        values = sorted(run[name] for run in runs)
        row[name] = round(statistics.median(values), 3)
        row[f"{name}_range"] = [round(values[0], 3), round(values[-1], 3)]
    row |= {name: runs[-1][name] for name in ("code", "served", "recorded", "said", "times")}
    row["video"] = next((run["video"] for run in runs if run["video"] != runs[0]["video"]), runs[0]["video"])
    row["memory"] = int(statistics.median(run["memory"] for run in runs))
    row["left"] = int(statistics.median(run["left"] for run in runs))
    worst = min(runs, key=lambda run: run["recorded"] / max(run["served"], 1))
    return row | {"served": worst["served"], "recorded": worst["recorded"]}


def whole(row: Row) -> bool:
    """Whether every served exchange is recorded, and the video byte for byte."""
    return bool(row["code"] == 0 and row["recorded"] == row["served"] and row["video"] == "exchange")


def against_floors(rows: Sequence[Row]) -> dict[str, float]:
    """Akashi's CPU ÷ the floor's, yt-dlp and Playwright added; one post's floors are the same."""
    found: dict[str, float] = {}
    cpu = {(row["case"], row["tool"]): row["cpu"] for row in rows}
    for case in sorted({row["case"] for row in rows}):
        for name, ending in (("isolated", ", isolated"), ("shared", "")):
            parts = [
                cpu.get((case, f"{tool}{ending}"), cpu.get((case, tool), 0.0))
                for tool in ("yt-dlp", "Playwright")
            ]
            if all(parts) and (case, "Akashi") in cpu:
                found[f"{case}: CPU ÷ {name} floor"] = cpu[case, "Akashi"] / sum(parts)
    return found


if __name__ == "__main__":
    sys.exit(main())
