"""The watcher: `python -m storage.embedded_watch FOLDER SECONDS` stops an embedded server that nobody uses.

It takes the `in-use` lock alone, which no user's shared lock allows, and stops the server only
while holding it: a server in use is never stopped, and a user who comes then waits and starts it
anew. A server whose folder was removed is stopped too. If the watcher is killed the server merely
stays up until `akashi store stop`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from storage.locks import holds_another, open_lock, try_lock
from storage.weed import WeedFiles, terminate

_LOOKS: Final = 5.0
"""Seconds between two looks at the lock, at most."""


def watch(files: WeedFiles, idle_seconds: float) -> None:
    """Return when the server is gone, stopped here or not, or when another watcher is at work."""
    alone, server = open_lock(files.root / "watch.lock"), open_lock(files.lock)
    try:
        if not try_lock(alone):
            return
        last_seen, pid = time.time(), files.pid
        while holds_another(server):
            if not files.root.is_dir():
                if pid:  # nobody can find it again, nothing is left to save, and it would not end by itself
                    os.kill(pid, signal.SIGKILL)
                return
            pid = files.pid or pid
            with suppress(FileNotFoundError):  # the folder is being removed: the next round sees it
                last_seen = _look(files, last_seen, idle_seconds)
            time.sleep(min(_LOOKS, idle_seconds / 4))
    finally:
        os.close(server)
        os.close(alone)


def _look(files: WeedFiles, last_seen: float, idle_seconds: float) -> float:
    """When the store was last in use (Unix time); stops the server if that is long ago."""
    in_use = open_lock(files.in_use)
    try:
        if not try_lock(in_use):
            return time.time()
        last_seen = max(last_seen, files.in_use.stat().st_mtime)
        if time.time() - last_seen >= idle_seconds:
            terminate(files)
        return last_seen
    finally:
        os.close(in_use)


if __name__ == "__main__":
    watch(WeedFiles(Path(sys.argv[1])), float(sys.argv[2]))
