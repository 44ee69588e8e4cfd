"""A PostgreSQL of our own: a private cluster in a temporary folder, reached over its Unix socket alone.

Runs as an unprivileged user when the tests run as root, for PostgreSQL refuses root; listens on no address;
`fsync` is on. `tests/postgres/setup` brings the programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

import psycopg

_USERS: Final = ("akashi", "postgres", "nobody")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest if there are several; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


class Postgres:
    """A running server, as a context manager."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="akashi-pg-", dir="/tmp"))  # a socket's path is short
        self._made = 0

    def __enter__(self) -> Self:
        try:
            if os.geteuid() == 0:
                shutil.chown(self._folder, _user())
            self._run(
                "initdb", "-D", "data", "-U", "akashi", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"
            )
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c max_connections=120"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """End it; `immediate` is its word for a crash: the next start recovers from its log."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"ledger_{self._made}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://akashi@/{database}?host={self._folder}"

    def _run(self, program: str, *argv: str) -> None:
        folder = programs()
        assert folder is not None
        user = _user() if os.geteuid() == 0 else None
        with (self._folder / "said").open("w") as said:
            done = subprocess.run(
                (folder / program, *argv),
                cwd=self._folder,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise OSError(f"{program}: {(self._folder / 'said').read_text()}")


def _user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
