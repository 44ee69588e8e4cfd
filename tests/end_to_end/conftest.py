"""An archive of its own for the end-to-end tests: a home, its embedded store, and the real commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from tests.site import Site

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Recorded:
    """One exchange as it stands in a WARC."""

    method: str
    url: str
    request_head: bytes
    request_body: bytes
    response_head: bytes
    response_body: bytes
    headers: dict[str, str]
    """WARC headers of the response."""
    record_id: str

    @property
    def status(self) -> int:
        return int(self.response_head.split(b" ", 2)[1]) if self.response_head else 0


class Archive:
    """One AKASHI_HOME and the commands run against it, as a person would run them."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("AKASHI_", "COV_", "COVERAGE_"))
        }
        chosen = {k: v for k, v in os.environ.items() if k == "AKASHI_PAGE_RECORDER"}
        self.environment = {
            **inherited,
            **chosen,
            "AKASHI_TIMESTAMP_AUTHORITIES": "",
            **environment,
            "AKASHI_HOME": str(home),
            "AKASHI_OPERATOR": "tester",
        }

    def run(self, *command: str, stdin: str = "", cwd: Path = ROOT, timeout: float = 170, **env: str) -> Any:
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            env=self.environment | env,
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BIN / command[0], *command[1:]],
            env=self.environment | env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def capture(self, *urls: str, options: tuple[str, ...] = (), code: int | None = None, **env: str) -> Any:
        """`akashi capture --json`; the last subject's object. Asserts the exit code when given."""
        done = self.run("akashi", "capture", "--json", "--allow-private", *options, *urls, **env)
        objects = [json.loads(line) for line in done.stdout.splitlines()]
        assert objects, f"exit {done.returncode}: {done.stderr}"
        if code is not None:
            assert done.returncode == code, (objects[-1]["reasons"], objects[-1], done.stderr[-2000:])
        return objects[-1]

    def objects(self, *command: str, code: int = 0) -> list[Any]:
        """A command's JSON lines. Asserts the exit code."""
        done = self.run(*command, "--json")
        assert done.returncode == code, (done.stdout[-2000:], done.stderr[-2000:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def files(self, capture: str, target: Path) -> Path:
        """`akashi get`; the capture's folder."""
        done = self.run("akashi", "get", capture, "--to", str(target))
        assert done.returncode == 0, done.stderr
        return target / capture

    def entries(self) -> list[Any]:
        """Every ledger entry, read from a copy of the store's segments."""
        copy = Path(tempfile.mkdtemp(dir=self.home.parent))
        shutil.rmtree(copy)
        done = self.run("akashi", "store", "copy", "--to", str(copy))
        assert done.returncode == 0, done.stderr
        lines = [
            json.loads(line)
            for segment in sorted((copy / "ledger" / "segments").iterdir())
            for line in segment.read_text("utf-8").splitlines()[1:]
        ]
        shutil.rmtree(copy)
        return lines


def read_exchanges(warc: Path) -> list[Recorded]:
    """Requests and responses of a WARC, paired by WARC-Concurrent-To."""
    requests: dict[str, tuple[str, str, bytes, bytes]] = {}
    responses: dict[str, tuple[bytes, bytes, dict[str, str]]] = {}
    lone: list[Recorded] = []
    with warc.open("rb") as stream:
        for record in ArchiveIterator(stream, no_record_parse=True):
            head, _, body = record.raw_stream.read().partition(b"\r\n\r\n")
            header = record.rec_headers.get_header
            if record.rec_type == "request":
                method = head.split(b" ", 1)[0].decode()
                fact = (method, header("WARC-Target-URI"), head + b"\r\n\r\n", body)
                response = header("WARC-Concurrent-To")
                if response:
                    requests[response] = fact
                else:
                    lone.append(Recorded(*fact, b"", b"", {}, header("WARC-Record-ID")))
            elif record.rec_type == "response":
                headers = {}
                for name, value in record.rec_headers.headers:
                    headers[name] = f"{headers[name]},{value}" if name in headers else value
                responses[header("WARC-Record-ID")] = (head + b"\r\n\r\n", body, headers)
    paired = [
        Recorded(*requests[key], head, body, headers, key) for key, (head, body, headers) in responses.items()
    ]
    return paired + lone


def read_records(warc: Path, kind: str) -> list[tuple[dict[str, str], bytes]]:
    """Headers and block of every record of one type."""
    with warc.open("rb") as stream:
        return [
            (dict(record.rec_headers.headers), record.raw_stream.read())
            for record in ArchiveIterator(stream, no_record_parse=True)
            if record.rec_type == kind
        ]


@pytest.fixture(scope="session")
def archive(site: Site) -> Iterator[Archive]:
    with fresh_home(site.environment()) as made:
        yield made


@pytest.fixture
def own_archive(site: Site) -> Iterator[Archive]:
    """An archive that a test may break."""
    with fresh_home(site.environment()) as made:
        yield made


_CANARY: list[bytes] = []


@contextmanager
def fresh_home(environment: dict[str, str]) -> Iterator[Archive]:
    """A home under /var/tmp, where the children's user can walk; its store is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="akashi-e2e-", dir="/var/tmp"))
    folder.chmod(0o711)
    archive = Archive(folder / "home", environment)
    archive.home.mkdir(mode=0o711)
    if _CANARY:  # one Chromium, one recorder, one kernel: tried once for all homes
        (archive.home / "canary.json").write_bytes(_CANARY[0])
    try:
        yield archive
    finally:
        if not _CANARY and (archive.home / "canary.json").exists():
            _CANARY.append((archive.home / "canary.json").read_bytes())
        archive.run("akashi", "store", "stop")
        shutil.rmtree(folder, ignore_errors=True)
