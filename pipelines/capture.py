"""One attempt to capture one URL: its folder in the spool, its lock, its state on disk.

    <spool>/<capture id>/
      lock                      flock held by the process that works on it; free = that process is dead
      state.json                what is known so far, rewritten whole after every step
      akashi-<UTC>-<id>.warc.gz the WARC being written
      manifest.json             once the WARC is sealed
      work/                     the children's folder (profile, downloads, parts)

The folder outlives a kill -9, so that the next start can close or complete the attempt
(`pipelines/recovery.py`). It goes only when every object was read back from the store and the
closing entry is in the ledger.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from evidence.canonical import utc
from evidence.identifiers import new_ulid
from evidence.reasons import Outcome, Reason, outcome_of
from pipelines.candidate import Candidate

STATE: Final = "state.json"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk has no room left."""


@dataclass
class Capture:
    """One attempt under way; everything in it but the live handles survives in state.json."""

    id: str
    folder: Path
    candidate: Candidate
    started: datetime
    facts: dict[str, Any] = field(default_factory=dict)
    """What each step learned, by the step's name; plain JSON."""
    steps: list[dict[str, str]] = field(default_factory=list)
    """The log of steps: {name, started, ended, outcome, detail}."""
    reasons: list[Reason] = field(default_factory=list)
    failed: bool = False
    live: dict[str, Any] = field(default_factory=dict)
    """Open handles (sink, tunnel, media paths); never on disk."""
    _lock: IO[str] | None = None

    @classmethod
    def begin(cls, spool: Path, candidate: Candidate) -> Capture:
        """Make the folder, take its lock, write the first state. Raises OSError."""
        now = datetime.now(UTC)
        capture = cls(new_ulid(now), spool, candidate, now)
        capture.folder = spool / capture.id
        capture.folder.mkdir(mode=0o711)
        capture._lock = lock_folder(capture.folder)
        capture.facts["monotonic_start_ns"] = time.monotonic_ns()
        capture.facts["process"] = process_id()
        capture.save()
        return capture

    @classmethod
    def reopen(cls, folder: Path) -> Capture | None:
        """Take over a dead attempt; None when it is alive, or holds nothing that was begun."""
        lock = lock_folder(folder)
        if lock is None:
            return None
        try:
            state = json.loads((folder / STATE).read_text("utf-8"))
        except FileNotFoundError:
            shutil.rmtree(folder)  # killed before its first state: nothing was fetched, nothing promised
            lock.close()
            return None
        return cls(
            id=folder.name,
            folder=folder,
            candidate=Candidate(**state["candidate"]),
            started=datetime.fromisoformat(state["started"]),
            facts=state["facts"],
            steps=state["steps"],
            reasons=[Reason(**reason) for reason in state["reasons"]],
            failed=state["failed"],
            _lock=lock,
        )

    @property
    def warc_path(self) -> Path:
        """The local WARC; its name is the object's last segment and WARC-Filename."""
        return self.folder / f"akashi-{self.started:%Y%m%dT%H%M%SZ}-{self.id}.warc.gz"

    @property
    def manifest_path(self) -> Path:
        """The final manifest, once the WARC is sealed."""
        return self.folder / "manifest.json"

    @property
    def key_prefix(self) -> str:
        """Where its objects lie: `captures/<yyyy>/<mm>/<dd>/<capture id>/`."""
        return f"captures/{self.started:%Y/%m/%d}/{self.id}/"

    @property
    def work(self) -> Path:
        """The children's folder."""
        return self.folder / "work"

    @property
    def outcome(self) -> Outcome:
        """What the reasons so far amount to."""
        return outcome_of(tuple(self.reasons), failed=self.failed)

    def note(self, reason: Reason) -> None:
        """Remember why the capture is less than complete; the same reason counts once."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def fail(self, reason: Reason) -> None:
        """The capture failed; what was recorded so far is still kept."""
        self.failed = True
        if reason in self.reasons:
            self.reasons.remove(reason)
        self.reasons.insert(0, reason)  # the reason that decided comes first

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str, str], None]]:
        """Log one step's begin and end; the yielded function sets its outcome and detail."""
        record = {
            "name": name,
            "started": utc(datetime.now(UTC)),
            "ended": "",
            "outcome": "done",
            "detail": "",
        }
        self.steps.append(record)

        def conclude(outcome: str, detail: str) -> None:
            record["outcome"], record["detail"] = outcome, detail

        try:
            yield conclude
        except BaseException as error:
            conclude("unfinished", str(error))  # the next start runs it again
            raise
        finally:
            record["ended"] = utc(datetime.now(UTC))
            self.save()

    def did(self, name: str) -> bool:
        """Whether the step has ended in this attempt, also in a process that died since."""
        return any(s["name"] == name and s["ended"] and s["outcome"] != "unfinished" for s in self.steps)

    def save(self) -> None:
        """Write state.json whole and durably: a reader sees the old one or the new one.

        On a full disk the children's folder makes room: what counts of it is in the WARC. Raises OSError.
        """
        state = {
            "candidate": vars(self.candidate),
            "facts": self.facts,
            "failed": self.failed,
            "reasons": [reason.as_json() for reason in self.reasons],
            "started": self.started.isoformat(),
            "steps": self.steps,
        }
        text = json.dumps(state)  # ASCII: what a page calls itself may hold half a surrogate pair
        try:
            _write_durably(self.folder / STATE, text)
        except OSError as error:
            if error.errno not in FULL or not self.work.exists():
                raise
            shutil.rmtree(self.work)
            _write_durably(self.folder / STATE, text)

    def discard(self) -> None:
        """Drop the local folder. Only after every object was read back and the entry is in the ledger."""
        shutil.rmtree(self.folder)
        self.release()

    def release(self) -> None:
        """Give the lock back; what is in the folder stays for the next start."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


@cache
def process_id() -> str:
    """This process, told apart from every other: only in it does the monotonic start mean anything."""
    return secrets.token_hex(8)


def lock_folder(folder: Path) -> IO[str] | None:
    """The folder's lock, held until it is closed; None when another holds it."""
    stream = (folder / "lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream
