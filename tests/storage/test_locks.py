"""File locks: alone or shared, between threads as between processes, gone with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from storage.locks import SharedLock, is_held, locked


def test_a_lock_excludes_other_threads(tmp_path: Path) -> None:
    seen: list[int] = []

    def work(number: int) -> None:
        with locked(tmp_path / "lock"):
            seen.append(number)
            os.sched_yield()
            seen.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[::2] == seen[1::2]


def test_a_shared_lock_is_held_until_the_last_lets_go(tmp_path: Path) -> None:
    first, second = SharedLock(tmp_path / "lock"), SharedLock(tmp_path / "lock")
    first.hold()
    second.hold()
    second.hold()
    first.release()
    assert is_held(tmp_path / "lock")
    second.release()
    second.release()
    assert not is_held(tmp_path / "lock")


def test_a_killed_process_holds_nothing(
    tmp_path: Path, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    path = tmp_path / "lock"
    script = "from storage.locks import locked\nwith locked(Path(%r)): print('held', flush=True); input()"
    with run_python(script % str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_held(path)
        process.send_signal(signal.SIGKILL)
    assert not is_held(path)
