"""One log, many processes: no fork, no gap, whoever is killed wherever, over SQLite and over PostgreSQL."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from evidence.tree import leaf_hash
from storage.home import Home
from storage.ledger import Ledger
from storage.s3 import S3Store
from tests.storage.test_ledger import append, read_log

WRITER = """
import sys
from contextlib import nullcontext
from datetime import timedelta
from evidence.digests import digest_bytes
from evidence.identifiers import new_ulid
from evidence.tree import leaf_hash
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
store = S3Store(S3Endpoint(*server), bucket, retention=timedelta(days=1))
ledger = Ledger(home, store, Keyring.open_or_create(home), sys.argv[2])
ledger.open()
with open(sys.argv[3], "a") if sys.argv[3:] else nullcontext(sys.stdout) as said:
    print("open", file=said, flush=True)
    for _ in range(int(sys.argv[1])):
        made = ledger.append("capture.started", new_ulid(), {"request": digest_bytes(b"a request").as_json()})
        print(made.index, leaf_hash(made.entry).hex(), file=said, flush=True)
"""
Python = Callable[..., subprocess.Popen[str]]


def acknowledged(said: str) -> list[tuple[int, str]]:
    """Index and leaf hash of what a writer was given back; a line torn by a kill does not count."""
    lines = [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]
    return [(int(line[0]), line[1]) for line in lines if len(line) == 2 and line[0].isdigit()]


def in_the_log(store: S3Store, home: Home) -> list[tuple[int, str]]:
    return [(entry.index, leaf_hash(entry.encode()).hex()) for entry in read_log(store, home)]


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
def test_processes_that_open_a_new_log_at_once_and_append_make_one_chain(
    run_python: Python, store: S3Store, home: Home, database: str
) -> None:
    writers = [run_python(WRITER, "12", database) for _ in range(8)]
    said = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, said
    given = sorted(one for text in said for one in acknowledged(text))
    assert given == in_the_log(store, home)[3:]
    log = read_log(store, home)
    assert len(log) == 3 + 8 * 12
    assert [entry.type for entry in log[:3]] == ["log.opened", "key.added", "custody.store"]


def test_writers_killed_with_9_lose_nothing_acknowledged_and_the_log_goes_on(
    run_python: Python, store: S3Store, home: Home, open_ledger: Callable[..., Ledger]
) -> None:
    open_ledger().close()
    kept: list[tuple[int, str]] = []
    for _ in range(3):
        writers = [run_python(WRITER, "1000", "") for _ in range(3)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - any moment will do
        for writer in writers:
            writer.kill()
        kept += [one for writer in writers for one in acknowledged(writer.communicate()[0])]
    ledger = open_ledger()
    last = append(ledger)
    log = in_the_log(store, home)
    assert len(log) == last + 1
    assert kept
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(log)


@pytest.mark.slow
def test_sixteen_processes_one_killed_every_five_seconds_make_no_fork_no_gap_and_no_duplicate(
    run_python: Python,
    store: S3Store,
    home: Home,
    open_ledger: Callable[..., Ledger],
    database: str,
    tmp_path: Path,
) -> None:
    """A minute of it; AKASHI_SECONDS says how long else, with two kills at least."""
    seconds = float(os.environ.get("AKASHI_SECONDS", "60"))
    kills = max(2, round(seconds / 5))
    open_ledger(database=database).close()
    numbers = count()

    def start() -> subprocess.Popen[str]:
        return run_python(WRITER, "1000000", database, str(tmp_path / f"said-{next(numbers)}"))

    writers = [start() for _ in range(16)]
    try:
        while len(list(tmp_path.glob("said-*"))) < len(writers):
            time.sleep(0.1)
        ends = time.monotonic() + seconds
        for kill in range(1, kills + 1):
            time.sleep(max(0.0, ends - seconds * (1 - kill / kills) - time.monotonic()))
            victim = random.choice(writers)  # noqa: S311 - any will do
            assert victim.poll() is None, victim.communicate()[0]
            victim.kill()
            victim.communicate()
            writers[writers.index(victim)] = start()
    finally:
        for writer in writers:
            writer.kill()
        said = [writer.communicate()[0] for writer in writers]
    assert said == [""] * 16, "a writer failed by itself"
    kept = [one for path in tmp_path.glob("said-*") for one in acknowledged(path.read_text())]
    last = append(open_ledger(database=database))
    log = in_the_log(store, home)
    assert len(log) == last + 1
    assert len(set(kept)) == len(kept) > seconds
    assert set(kept) <= set(log)
    assert len(log) - 4 - len(kept) <= 16 + kills  # what was under way when its writer was killed
