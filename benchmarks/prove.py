"""`make prove`: the full figures, written to docs/results/ with the commit and the machine they are from.

bench    every tool and case, docs/benchmarks.md as well   (benchmarks/recording)
kills    the kill tests, `--rounds` times over            (tests/end_to_end/test_killed.py)
site     the WordPress capture                            (tests/end_to_end/test_wordpress.py)
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


def main() -> int:
    """Run all of it; 0 when every figure is within its limit and every test passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often the kill tests are run")
    options = parser.parse_args()
    bench = subprocess.run(
        [sys.executable, "-m", "benchmarks.recording", "--assert"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    tests = {
        "kills": [tested("tests/end_to_end/test_killed.py") for _ in range(options.rounds)],
        "wordpress": [tested("tests/end_to_end/test_wordpress.py")],
    }
    figures = json.loads(bench.stdout.splitlines()[-1])
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    result = {
        "commit": commit.stdout.strip(),
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "measured": figures,
        "tests": tests,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "part-2.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"written {path.relative_to(ROOT)}")
    failed = any("failed" in line or "error" in line for lines in tests.values() for line in lines)
    return 1 if bench.returncode or failed else 0


def tested(path: str) -> str:
    """Run a test file; pytest's closing line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-cov", path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1]
    print(f"{path}: {last}", file=sys.stderr)
    return re.sub(r"=+", "", last).strip()


if __name__ == "__main__":
    sys.exit(main())
