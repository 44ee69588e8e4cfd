"""The embedded object store: one SeaweedFS per AKASHI_HOME, up while it is used and 15 minutes more.

Who holds what (all flock, so that a killed holder holds nothing):

    in-use       shared, by each process from its `start()` to its end; alone, by who stops the server
    start.lock   alone, by who launches: sixteen starters at once make one server
    server.lock  alone, by the server itself: held means alive
    watch.lock   alone, by the watcher (`storage.weed`), which stops an idle server

`in-use` is taken before `start.lock`, so a server is never stopped between being found alive and
being used. WORM holds against S3 credentials, not against the user whose disk it is.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from botocore.exceptions import ClientError

from evidence.errors import StoreUnavailableError
from storage.files import is_held, locked, open_lock, try_lock
from storage.home import Home
from storage.s3_client import S3_ERRORS, S3Endpoint, code_of, is_transient, make_client
from storage.weed import WeedFiles, ensure_watcher, launch, sync_every_put, terminate
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
        self._use: int | None = None

    def start(self) -> S3Endpoint:
        """The endpoint of a server that answers; started if none runs, found again if one does.

        From here on this process counts as a user until `release()` or its end. Raises
        StoreUnavailableError with the next step.
        """
        files = self._files
        try:
            files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._use is None:
                descriptor = open_lock(files.in_use)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                self._use = descriptor
            with locked(files.root / "start.lock"):
                if not files.running():
                    self._launch()
                elif not files.synced.exists():  # who launched it was killed before it was done
                    self._await_ready()
                os.utime(files.in_use)
                ensure_watcher(files, self._idle_seconds)
        except OSError as error:
            raise StoreUnavailableError(
                f"the embedded store cannot be started: {error}", next=f"check {files.root}"
            ) from error
        return self._endpoint()

    def release(self) -> None:
        """This process no longer uses the server; the idle time starts to run."""
        if self._use is not None:
            if self._files.in_use.exists():
                os.utime(self._files.in_use)
            os.close(self._use)
            self._use = None

    def stop(self) -> bool:
        """Stop the server cleanly; False if none was running. Raises as `stopped`."""
        with self.stopped() as was_running:
            return was_running

    @contextmanager
    def stopped(self) -> Iterator[bool]:
        """Stop the server, and let nobody start it meanwhile; gives whether it was running.

        Raises StoreUnavailableError if another process uses it, or it will not go.
        """
        self.release()
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
            write_security(self._files.root)
            launch(self._files)
            try:
                self._await_ready()
            except StoreUnavailableError:
                if not remaining or self._files.running():
                    raise
            else:
                return

    def _await_ready(self) -> None:
        """Wait until a real put and get succeed: before its volumes are up, it answers with errors."""
        deadline = time.monotonic() + _READY_PATIENCE
        with closing(make_client(self._endpoint(), attempts=1)) as client:
            while True:
                try:
                    try:
                        client.create_bucket(Bucket=_READY_BUCKET)
                    except ClientError as error:
                        if not code_of(error).startswith("BucketAlready"):
                            raise
                    client.put_object(Bucket=_READY_BUCKET, Key="ready", Body=b"ready")
                    client.get_object(Bucket=_READY_BUCKET, Key="ready")["Body"].read()
                    break
                except S3_ERRORS as error:
                    if not is_transient(error) or time.monotonic() > deadline or not self._files.running():
                        raise StoreUnavailableError(
                            f"the embedded store did not become ready: {self._files.last_words()} ({error})",
                            next=f"see {self._files.log}",
                        ) from error
                time.sleep(0.05)
        if not self._files.synced.exists():
            sync_every_put(self._files)
            self._files.synced.touch(mode=0o600)
