"""The thread that reads Chromium's network log from a FIFO while Chromium writes it.

Nothing of the log touches the disk, and nothing waits for its end: a browser that is killed leaves
everything recorded up to that moment.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from pipelines.record.netlog import Constants, NetLogError
from pipelines.record.netlog_exchanges import Assembler

_PIPE: Final = 1 << 20
"""Bytes that the FIFO holds, so that Chromium does not wait for us."""
_END_SECONDS: Final = 60.0
"""For what is left in the FIFO, once the browser is gone."""


class NetLogReader:  # a PageTap
    """Makes `fifo` (mode 0600: give it to the browser's user) and feeds the assembler from it until `finish`."""

    def __init__(self, fifo: Path, assembler: Assembler) -> None:
        """Begin to read; the assembler works in the reader's thread from now on. Raises OSError."""
        os.mkfifo(fifo, 0o600)
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | flags)
        self._hold = os.open(
            fifo, os.O_WRONLY | flags
        )  # no end before `finish`, whether a browser came or not
        os.set_blocking(log, True)
        fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, _PIPE)
        self._log = os.fdopen(log, "rb", buffering=_PIPE)
        self.assembler = assembler
        self.switches: Sequence[str] = (f"--log-net-log={fifo}", "--net-log-capture-mode=Everything")
        self.client: dict[str, Any] = {}
        """`Constants.client` of the browser that writes; empty while none does."""
        self.failure: Exception | None = None
        """What ended the recording early; the rest of the log is read and dropped."""
        self._turn = threading.Lock()
        """Held while the assembler is fed, or the recording ended from outside."""
        self._thread = threading.Thread(target=self._run, name="netlog", daemon=True)
        self._thread.start()

    async def attach(self, profile: Path) -> None:
        """Chromium opens the FIFO itself."""

    async def settle(self) -> None:
        """Its log ends with it."""

    def finish(self, why: str) -> None:
        """Read the log to its end, the browser being gone; what is open is cut short by `why`.

        Raises what ended the recording early: ValueError for a log that is broken or does not end (a process
        that left the browser's group may hold it open), else what `emit` raised.
        """
        os.close(self._hold)
        self._thread.join(_END_SECONDS)
        with self._turn:
            if self._thread.is_alive() and self.failure is None:
                self.failure = NetLogError("the log did not end")
        if self.failure is None or isinstance(self.failure, ValueError | LookupError):
            self.assembler.close(why)  # after a broken log, too: what came before it was received
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        with self._log as log:
            try:
                self._read(log)
            except Exception as error:  # noqa: BLE001  # the thread's edge: `finish` raises it again
                self.failure = error
            while log.read(_PIPE):  # a browser must not hang on a full FIFO
                pass

    def _read(self, log: BinaryIO) -> None:
        first = log.readline()
        if not first:
            return
        constants = Constants(first, Assembler.HANDLERS)
        self.client, self.assembler.errors = constants.client, constants.errors
        log.readline()  # "events": [
        for line in log:
            if not line.endswith(b"\n") or line.startswith((b'"polledData"', b"]")):
                return  # the end, or a line that a killed browser left half-written
            event = constants.event(line)
            with self._turn:
                if self.failure is not None:
                    return
                if event is not None:
                    self.assembler.feed(event)
