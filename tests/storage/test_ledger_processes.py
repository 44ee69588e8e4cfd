"""One log, many processes: no fork, no gap, whoever is killed wherever."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

from storage.home import Home
from storage.ledger import Ledger
from storage.s3 import S3Store
from tests.storage.test_ledger import append, read_log

WRITER = """
import sys
from datetime import timedelta
from evidence.digests import digest_bytes
from evidence.identifiers import new_ulid
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
ledger = Ledger(home, S3Store(S3Endpoint(*server), bucket, retention=timedelta(days=1)), Keyring.open_or_create(home))
ledger.open()
print("open", flush=True)
for _ in range(int(sys.argv[1])):
    made = ledger.append("capture.started", new_ulid(), {"request": digest_bytes(b"a request").as_json()})
    print(made.index, flush=True)
"""
Python = Callable[..., subprocess.Popen[str]]


def acknowledged(said: str) -> list[int]:
    return [int(line) for line in said.splitlines() if line.isdigit()]


def test_processes_that_open_a_new_log_at_once_and_append_make_one_chain(
    run_python: Python, store: S3Store, home: Home
) -> None:
    writers = [run_python(WRITER, "12") for _ in range(8)]
    said = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, said
    indexes = sorted(index for text in said for index in acknowledged(text))
    assert indexes == list(range(3, 3 + 8 * 12))
    log = read_log(store, home)
    assert len(log) == 3 + 8 * 12
    assert [entry.type for entry in log[:3]] == ["log.opened", "key.added", "custody.store"]


def test_writers_killed_with_9_lose_nothing_acknowledged_and_the_log_goes_on(
    run_python: Python, store: S3Store, home: Home, open_ledger: Callable[..., Ledger]
) -> None:
    open_ledger().close()
    kept: list[int] = []
    for _ in range(3):
        writers = [run_python(WRITER, "1000") for _ in range(3)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - any moment will do
        for writer in writers:
            writer.kill()
        kept += [index for writer in writers for index in acknowledged(writer.communicate()[0])]
    ledger = open_ledger()
    last = append(ledger)
    log = read_log(store, home)
    assert len(log) == last + 1
    assert kept
    assert len(set(kept)) == len(kept)
    assert set(kept) <= {entry.index for entry in log}
