"""How an audit uses this machine: the store is read ahead in threads, segments are checked on all processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from console.output import say
from evidence.audit import Means

A = TypeVar("A")
B = TypeVar("B")
_READERS: Final = 6
_SOON: Final = 32
"""Segments that are checked here before other processes are started: a small log is not worth them."""
_TOLD_EVERY: Final = 2.0
"""Seconds."""


@contextmanager
def all_means() -> Iterator[Means]:
    """Threads and processes for one audit, and its progress on stderr; all of them end with it."""
    processors = os.cpu_count() or 1
    away = multiprocessing.get_context("forkserver")  # threads run here, and a fork would copy their locks
    with (
        ThreadPoolExecutor(_READERS) as threads,
        ProcessPoolExecutor(processors, away, initializer=_leave_interrupts) as processes,
    ):
        yield Means(
            partial(_ahead, threads, 2 * _READERS, 0),
            partial(_ahead, processes, 2 * processors, _SOON),
            _Teller(),
        )


def _ahead(
    pool: Executor, depth: int, soon: int, function: Callable[[A], B], items: Iterable[A], /
) -> Iterator[B]:
    """`map` in a pool, at most `depth` items ahead; the first `soon` items here."""
    waiting = iter(items)
    yield from map(function, islice(waiting, soon))
    under_way = deque[Future[B]]()
    for item in waiting:
        under_way.append(pool.submit(function, item))
        if len(under_way) >= depth:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that asked; these end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Teller:
    """Entries done, of how many: a line now and then, and none if it is quick."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if now - self._told < _TOLD_EVERY:
            return
        self._told = now
        say(f"{done:,} of {of:,} entries, {done / (now - self._began):,.0f} a second")
