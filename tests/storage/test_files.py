"""Files written whole; locks: alone or shared, between threads as between processes, gone with their holder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from storage.files import is_held, locked, open_lock, try_lock, write_private


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
    first, second, alone = (open_lock(tmp_path / "lock") for _ in range(3))
    fcntl.flock(first, fcntl.LOCK_SH)
    fcntl.flock(second, fcntl.LOCK_SH)
    os.close(first)
    assert is_held(tmp_path / "lock")
    assert not try_lock(alone, patience=0.05)
    os.close(second)
    assert try_lock(alone)
    os.close(alone)
    assert not is_held(tmp_path / "lock")


def test_a_private_file_is_replaced_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o644)
    write_private(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_killed_process_holds_nothing(
    tmp_path: Path, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    path = tmp_path / "lock"
    script = "from storage.files import locked\nwith locked(Path(%r)): print('held', flush=True); input()"
    with run_python(script % str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_held(path)
        process.send_signal(signal.SIGKILL)
    assert not is_held(path)
