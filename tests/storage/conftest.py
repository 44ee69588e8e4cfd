"""One real SeaweedFS for all tests of this room, a bucket of its own for each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence.identifiers import new_ulid
from storage.embedded import EmbeddedStore
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from tests.postgres.server import Postgres, programs
from tests.storage.samples import kill_server, new_store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    server = EmbeddedStore(Home(tmp_path_factory.mktemp("server")).make())
    yield server.start()
    kill_server(server)


@pytest.fixture(scope="session")
def one_bucket(endpoint: S3Endpoint) -> S3Store:
    """One bucket for the tests of single objects, each under its own `key`: a bucket's first put is slow."""
    return new_store(endpoint)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One real PostgreSQL, where its programs are (tests/postgres/setup)."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: make test-all installs it")
    with Postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """What `ledger_database` may say: the test runs over each."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()


@pytest.fixture
def key() -> str:
    return f"crawls/{new_ulid()}"


@pytest.fixture
def store(endpoint: S3Endpoint) -> S3Store:
    return new_store(endpoint)


@pytest.fixture
def reopen(store: S3Store) -> Callable[..., S3Store]:
    """The test's bucket again, opened with other options."""
    return lambda **options: new_store(store.endpoint, store.bucket, **options)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


@pytest.fixture
def open_ledger(home: Home, store: S3Store) -> Iterator[Callable[..., Ledger]]:
    """Opens ledgers of the test's home over its store; closes their files at the end."""
    opened: list[Ledger] = []

    def make(at: Home = home, over: Any = store, database: str = "", *, start: bool = True) -> Ledger:
        ledger = Ledger(at, over, Keyring.open_or_create(at), database)
        opened.append(ledger)
        if start:
            ledger.open()
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def run_python(home: Home, endpoint: S3Endpoint, store: S3Store) -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python process that has `home`, `bucket`, and the endpoint's fields as `server`."""
    names = (
        "from pathlib import Path; from storage.home import Home\n"
        f"home = Home(Path({str(home.root)!r})); bucket = {store.bucket!r}\n"
        f"server = {(endpoint.url, endpoint.access_key, endpoint.secret_key)!r}\n"
    )

    def run(script: str, *argv: str) -> subprocess.Popen[str]:
        environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            (sys.executable, "-c", names + script, *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    return run
