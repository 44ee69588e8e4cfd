"""`python -m benchmarks.ledger`: one log that grows tenfold at a time, measured at each size, in the embedded store.

    python -m benchmarks.ledger [--min 3] [--max 7] [--quick] [--assert] [--keep DIR]

Without `--quick` it writes the ledger's section of docs/benchmarks.md, .json and its chart. With `--assert` the exit
is 1 where a figure is beyond LIMITS. Each phase is a process of its own (phases.py), so nothing is cached from one to
the next; the store, an own process too, stays up as it does for captures. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks import ratios
from benchmarks.ledger.section import LIMITS, beyond
from benchmarks.recording import report
from benchmarks.recording.measured import measure
from storage.embedded import EmbeddedStore
from storage.home import Home

ROOT: Final = Path(__file__).resolve().parents[2]
SLACK: Final = 3.0
"""By which a quick look may miss a limit: ten thousand entries hardly warm the processes up."""
SECONDS: Final = 4 * 3600.0
"""For one phase."""


def main() -> int:
    """Measure, print a line a size, write the section."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--min", type=int, default=3, help="the smallest size, a power of ten")
    parser.add_argument("--max", type=int, default=7, help="the largest")
    parser.add_argument(
        "--quick", action="store_true", help="fewer single appends and proofs, nothing written"
    )
    parser.add_argument("--assert", dest="asserting", action="store_true", help="exit 1 beyond a limit")
    parser.add_argument("--keep", default="", help="where the store lies, and stays")
    options = parser.parse_args()
    each = 20 if options.quick else 100
    with tempfile.TemporaryDirectory(
        dir="/var/tmp", prefix="akashi-bench-", ignore_cleanup_errors=True
    ) as name:
        home = Path(options.keep or name)
        store = EmbeddedStore(Home(home).make())
        store.start()
        try:
            rows = [measured(home, 10**power, each) for power in range(options.min, options.max + 1)]
        finally:
            store.stop()
    result = {"machine": ratios.machine(), "rows": rows, "limits": dict(LIMITS)}
    if not options.quick:
        report.write_ledger(result)
    wrong = beyond(rows, SLACK if options.quick else 1.0)
    for line in wrong:
        print(line, file=sys.stderr)
    print(json.dumps(result))
    return 1 if wrong and options.asserting else 0


def measured(home: Path, size: int, each: int) -> dict[str, Any]:
    """The figures of a log that has just grown to `size` entries."""
    appended = phase("append", home, size)
    proofs = phase("prove", home, each)
    audited = phase("audit", home, size)
    single = phase("alone", home, each)
    row = {
        "entries": size,
        "appends per s": appended["entries"] / appended["seconds"],
        "append p95 ms": 1000 * p95(single["seconds"]),
        "proof bytes": max(proofs["bytes"]),
        "proof p95 ms": 1000 * p95(proofs["made"]),
        "check p95 ms": 1000 * p95(proofs["checked"]),
        "audit per s": audited["entries"] / audited["seconds"],
        "findings": audited["findings"],
        "memory MB": max(one["memory"] for one in (appended, proofs, audited, single)) / 1e6,
    }
    print(
        " · ".join(f"{name} {value:,.0f}" for name, value in row.items() if name != "findings"),
        file=sys.stderr,
    )
    return row


def phase(what: str, home: Path, number: int) -> dict[str, Any]:
    """What one phase printed, and `memory`: the most that its processes had together. Exits if it failed."""
    command = [sys.executable, "-m", "benchmarks.ledger.phases", what, str(home), str(number)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as name:
        run = measure(command, folder=Path(name), environment=environment, seconds=SECONDS)
        said = (Path(name) / "output").read_text("utf-8").splitlines()
    if run["code"] != 0:
        sys.exit("\n".join([f"{what} {number} failed:", *said[-20:]]))
    return {**json.loads(said[-1]), "memory": run["memory"]}


def p95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    sys.exit(main())
