"""`make prove`: the full figures, written to docs/results/ with the commit and the machine they are from.

part-2.json
    bench        every tool and case, docs/benchmarks.md as well (benchmarks/recording)
    complete     ten runs of each client over all it can meet    (COMPLETE below)
    kills        100 at random moments; one at each step         (tests/end_to_end/test_kill_anywhere.py, test_killed.py)
    footprint    memory and disk of a 10 GB video                (tests/pipelines/record/test_footprint.py)
    site         the WordPress capture                           (tests/end_to_end/test_wordpress.py)
part-3.json
    ledger       from a thousand entries to ten million, docs/benchmarks.md as well (benchmarks/ledger)
    strangers    whole and tampered proofs before five programs of others (tests/independent)
    attacks      every attack of docs/threat-model.md that a test shows   (tests/attacks)
    writers      16 processes append for a minute, one killed every five seconds (tests/storage/test_ledger_processes.py)

`--only NAME,…` runs some of them, and leaves what the others gave before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


COMPLETE = (
    "tests/pipelines/record/test_everything.py",
    "tests/pipelines/record/test_everything_h2.py",
    "tests/pipelines/record/test_ytdlp_streams.py",
    "tests/end_to_end/test_crawl.py",
)
TESTS = {
    "complete": (COMPLETE, {}),
    "kills": (
        ("tests/end_to_end/test_kill_anywhere.py", "tests/end_to_end/test_killed.py"),
        {"AKASHI_KILLS": "100"},
    ),
    "footprint": (("tests/pipelines/record/test_footprint.py",), {"AKASHI_LARGE_MB": "10000"}),
    "site": (("tests/end_to_end/test_wordpress.py",), {}),
    "strangers": (("tests/independent",), {}),
    "attacks": (("tests/attacks",), {}),
    "writers": (("tests/storage/test_ledger_processes.py",), {}),
}
MEASURED = {"bench": "benchmarks.recording", "ledger": "benchmarks.ledger"}
PARTS = {
    "part-2": ("bench", "complete", "kills", "footprint", "site"),
    "part-3": ("ledger", "strangers", "attacks", "writers"),
}


def main() -> int:
    """Run all of it; 0 when every figure is within its limit and every test passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove", description=__doc__)
    parser.add_argument("--only", default="", help="names with commas")
    only = set(filter(None, parser.parse_args().only.split(","))) or {*MEASURED, *TESTS}
    good = [proved(part, names, only) for part, names in PARTS.items()]
    return 0 if all(good) else 1


def proved(part: str, names: tuple[str, ...], only: set[str]) -> bool:
    """Run those of a part that are wanted, and write each into its results as soon as it is done."""
    path, good = RESULTS / f"{part}.json", True
    result = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in [name for name in names if name in only]:
        passed, figures = measured(MEASURED[name]) if name in MEASURED else tested(*TESTS[name])
        good &= passed
        result[name] = {
            "commit": commit(),
            "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "result": figures,
        }
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
        print(f"written {path.relative_to(ROOT)}: {name}")
    return good


def measured(module: str) -> tuple[bool, Any]:
    """A benchmark with its limits; whether all held, and the figures."""
    command = [sys.executable, "-m", module, "--assert"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode == 0, json.loads(done.stdout.splitlines()[-1])


def commit() -> str:
    """The one that is measured."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def tested(paths: tuple[str, ...], more: dict[str, str]) -> tuple[bool, list[str]]:
    """Run test files, each alone; whether all passed, and what they printed of figures with pytest's closing lines."""
    good, said = True, []
    for path in paths:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--no-cov", "-s", "--timeout=7200", path],
            cwd=ROOT,
            env={**os.environ, **more},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        lines = [re.sub(r"^[.s]+|=+", "", line).strip() for line in done.stdout.strip().splitlines()]
        said += [f"{path}: {line}" for line in lines if re.search(r"\d", line)][-40:]
        good &= done.returncode == 0
        print(said[-1], file=sys.stderr)
    return good, said


if __name__ == "__main__":
    sys.exit(main())
