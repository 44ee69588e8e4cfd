"""One command measured with all that it starts, however it detaches: CPU, wall, memory, exit code.

    python -m benchmarks.recording.measured SECONDS COMMAND…      prints {"cpu", "wall", "memory", "code"}

This process is the *sub-reaper* of the tree (prctl(2)): an orphan becomes its child, so that
getrusage(2) counts every process that ended. Memory is the highest sum of PSS, which shares a page
among those that map it, as seen twice a second. What is left when the command ends is killed and counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_LOOK_SECONDS: Final = 0.5
_ROOT: Final = Path(__file__).resolve().parents[2]


def measure(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], seconds: float
) -> dict[str, float]:
    """Run `command` in `folder`, its output in `folder`/output; {"cpu", "wall", "memory", "code"}."""
    told = [sys.executable, "-m", "benchmarks.recording.measured", str(seconds), str(folder), *command]
    done = subprocess.run(told, cwd=_ROOT, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Run the command and print its figures."""
    seconds, folder, *command = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ended, peak = Event(), [0]
    watch = Thread(target=_watch, args=(ended, peak))
    began = time.perf_counter()
    with (Path(folder) / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    watch.start()
    try:
        code = process.wait(float(seconds))
    except subprocess.TimeoutExpired:
        code = 124
    wall = time.perf_counter() - began
    ended.set()
    watch.join()
    _end_all()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "memory": peak[0], "code": code}
    print(json.dumps(figures))


def _watch(ended: Event, peak: list[int]) -> None:
    while not ended.wait(_LOOK_SECONDS):
        peak[0] = max(peak[0], sum(map(_pss, _descendants())))


def _descendants() -> list[int]:
    """The processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(parents.get(os.getpid(), []))
    for process in found:
        found += parents.get(process, [])
    return found


def _pss(process: int) -> int:
    """Proportional set size in bytes; 0 for one that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def _end_all() -> None:
    """Kill what is left and wait for it, so that it is counted."""
    while True:
        for process in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
