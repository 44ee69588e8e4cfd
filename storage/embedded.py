"""The embedded object store: one SeaweedFS per AKASHI_HOME, up while it is used and 15 minutes more.

Who holds what (all flock, so that a killed holder holds nothing):

    in-use       shared, by each process from its `start()` to its end; alone, by who stops the server
    start.lock   alone, by who launches: sixteen starters at once make one server
    server.lock  alone, by the server itself: held means alive
    watch.lock   alone, by the watcher (storage/embedded_watch.py), which stops an idle server

`in-use` is taken before `start.lock`, so a server is never stopped between being found alive and
being used. WORM holds against S3 credentials, not against the user whose disk it is.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from evidence.errors import StoreUnavailableError
from storage.home import Home
from storage.locks import SharedLock, is_held, locked, open_lock, try_lock
from storage.s3_client import S3Endpoint, make_client
from storage.s3_errors import S3_ERRORS, is_transient
from storage.weed import WeedFiles, environment, launch, spawn_detached, sync_every_put, terminate
from storage.weed_tls import write_security

IDLE_SECONDS: Final = 15 * 60
_READY_PATIENCE: Final = 45.0
_LAUNCHES: Final = 3
_READY_BUCKET: Final = "akashi-ready"


class EmbeddedStore:
    """Starts, finds and stops the embedded server of one home."""

    def __init__(self, home: Home, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._files = WeedFiles(home.store)
        self._idle_seconds = idle_seconds
        self._use = SharedLock(self._files.in_use)

    def start(self) -> S3Endpoint:
        """The endpoint of a server that answers; started if none runs, found again if one does.

        From here on this process counts as a user until `release()` or its end. Raises
        StoreUnavailableError with the next step.
        """
        try:
            self._files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._use.hold()
            with locked(self._files.root / "start.lock"):
                if not self._files.running():
                    self._launch()
                elif not self._files.ready:
                    self._await_ready()
                os.utime(self._files.in_use)
                self._ensure_watcher()
        except OSError as error:
            raise StoreUnavailableError(
                f"the embedded store cannot be started: {error}", next=f"check {self._files.root}"
            ) from error
        return self._endpoint()

    def release(self) -> None:
        """This process no longer uses the server; the idle time starts to run."""
        if self._files.in_use.exists():
            os.utime(self._files.in_use)
        self._use.release()

    def stop(self) -> bool:
        """Stop the server cleanly; False if none was running.

        Raises StoreUnavailableError if another process uses it, or it will not go.
        """
        with self.stopped() as was_running:
            return was_running

    @contextmanager
    def stopped(self) -> Iterator[bool]:
        """Stop the server, and let nobody start it meanwhile; gives whether it was running.

        Raises StoreUnavailableError if another process uses it, or it will not go.
        """
        self._use.release()
        self._files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = open_lock(self._files.in_use)
        try:
            if not try_lock(descriptor, patience=1.0):
                raise StoreUnavailableError(
                    "another process is using the embedded store",
                    next="wait for its captures, then try again",
                )
            yield terminate(self._files)
        finally:
            os.close(descriptor)

    def status(self) -> dict[str, str | int | bool | None]:
        """`{running, in_use, pid, endpoint, data, bytes}` of the server and its folder; starts nothing."""
        running = self._files.running()
        return {
            "running": running,
            "in_use": running and is_held(self._files.in_use),
            "pid": self._files.pid if running else None,
            "endpoint": self._endpoint().url if running else None,
            "data": str(self._files.root),
            "bytes": sum(path.stat().st_size for path in self._files.root.rglob("*") if path.is_file()),
        }

    def _endpoint(self) -> S3Endpoint:
        access, secret = self._files.credentials()
        return S3Endpoint(f"http://127.0.0.1:{self._files.ports()['s3']}", access, secret)

    def _launch(self) -> None:
        """Launch until a server answers; a port lost to another program costs one launch."""
        for remaining in reversed(range(_LAUNCHES)):
            self._files.choose_ports()
            self._files.write_configuration()
            write_security(self._files.root)
            descriptor = open_lock(self._files.lock)
            try:
                if not try_lock(descriptor, patience=1.0):
                    raise StoreUnavailableError("a server that was never ready still runs", next="try again")
                launch(self._files, descriptor)
            finally:
                os.close(descriptor)
            try:
                self._await_ready()
            except StoreUnavailableError:
                if not remaining or self._files.running():
                    raise
            else:
                return

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_PATIENCE
        while not self._answers():
            if not self._files.running():
                raise StoreUnavailableError(
                    f"the embedded store ended while starting: {self._last_words()}",
                    next=f"see {self._files.log}",
                )
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the embedded store (process {self._files.pid}) does not answer",
                    next=f"see {self._files.log}",
                )
            time.sleep(0.05)
        synced = self._files.root / "synced"
        if not synced.exists():
            sync_every_put(self._files)
            synced.touch(mode=0o600)
        self._files.mark_ready()

    def _answers(self) -> bool:
        """Whether a real put and get succeed: before its volumes are up, the server answers with errors."""
        endpoint = self._endpoint()
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", self._files.ports()["s3"])) != 0:
                return False
        client = make_client(endpoint, attempts=1)
        try:
            try:
                client.create_bucket(Bucket=_READY_BUCKET)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}:
                    raise
            client.put_object(Bucket=_READY_BUCKET, Key="ready", Body=b"ready")
            return client.get_object(Bucket=_READY_BUCKET, Key="ready")["Body"].read() == b"ready"
        except S3_ERRORS as error:
            if is_transient(error):
                return False
            raise StoreUnavailableError(
                f"the embedded store refuses: {error}", next="run `akashi doctor`"
            ) from error
        finally:
            client.close()

    def _last_words(self) -> str:
        lines = self._files.log.read_text("utf-8", "replace").splitlines() if self._files.log.exists() else []
        return lines[-1][:200] if lines else "it said nothing"

    def _ensure_watcher(self) -> None:
        if is_held(self._files.root / "watch.lock"):
            return
        source = str(Path(__file__).resolve().parent.parent)
        spawn_detached(
            [sys.executable, "-m", "storage.embedded_watch", str(self._files.root), str(self._idle_seconds)],
            folder=self._files.root,
            environment=environment(self._files) | {"PYTHONPATH": source},
            log=self._files.root / "watch.log",
        )
