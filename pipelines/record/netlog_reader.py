"""The thread that reads Chromium's network log from a FIFO while Chromium writes it.

Nothing of the log touches the disk, and nothing waits for its end: a browser that is killed leaves
everything recorded up to that moment.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipelines.record.exchange import Exchange
from pipelines.record.netlog import Constants
from pipelines.record.netlog_draft import SpoolMaker
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.netlog_sockets import Peer

_PIPE: Final = 1 << 20
"""Bytes that the FIFO holds, so that Chromium does not wait for us."""
_WAIT_MS: Final = 200


class NetLogReader:
    """Reads one log from `fifo`, from `start` until the writer closes it; `finish` joins."""

    def __init__(
        self,
        fifo: Path,
        *,
        spool: SpoolMaker,
        emit: Callable[[Exchange], None],
        peer: Callable[[int], Peer | None],
    ) -> None:
        """Make the FIFO (mode 0600: give it to the browser's user). Raises OSError.

        `spool`, `emit` and `peer` are called from the reader's thread; see `Assembler`.
        """
        os.mkfifo(fifo, 0o600)
        # Opened before the browser starts and without waiting for it: one that never starts hangs nobody.
        self._fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._spool, self._emit, self._peer = spool, emit, peer
        self._over = threading.Event()
        self._why = ""
        self._thread = threading.Thread(target=self._run, name="netlog", daemon=True)
        self.assembler: Assembler | None = None
        self.client: dict[str, Any] = {}
        """`constants.clientInfo` of the browser that writes."""
        self.failure: Exception | None = None
        """What ended the recording early; the rest of the log was read and dropped."""

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def received(self) -> int:
        """Bytes above TLS that the page's connections brought so far."""
        return self.assembler.received if self.assembler else 0

    @property
    def awaited(self) -> int:
        """Of these, all but media and event streams."""
        return self.assembler.awaited if self.assembler else 0

    def finish(self, why: str) -> None:
        """Wait until the log is read to its end, the browser being gone; what is open is cut short by `why`.

        Raises what ended the recording early: NetLogError, OSError, or whatever `emit` raised.
        """
        self._why = why
        self._over.set()
        self._thread.join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        if not self._wait_for_writer():
            return
        with os.fdopen(self._fd, "rb", buffering=_PIPE, closefd=False) as log:
            try:
                self._read(log)
                if self.assembler is not None:
                    self._over.wait()  # `finish` says why what is open was cut short
                    self.assembler.close(self._why)
            except Exception as error:  # noqa: BLE001  # the thread's edge: `finish` raises it again
                self.failure = error
                while log.read(_PIPE):  # a browser must not hang on a full FIFO
                    pass

    def _wait_for_writer(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not any(happened & select.POLLIN for _, happened in poll.poll(_WAIT_MS)):
            if self._over.is_set():
                return False
            self._over.wait(_WAIT_MS / 10_000)  # POLLHUP without a writer returns at once
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE)
        return True

    def _read(self, log: Any) -> None:
        constants = Constants(log.readline())
        self.client = constants.client
        self.assembler = assembler = Assembler(constants, spool=self._spool, emit=self._emit, peer=self._peer)
        log.readline()  # "events": [
        for line in log:
            if not line.endswith(b"\n") or line.startswith((b'"polledData"', b"]")):
                break  # the end, or a line that a killed browser left half-written
            event = constants.event(line)
            if event is not None:
                assembler.feed(event)
        while log.read(_PIPE):
            pass
