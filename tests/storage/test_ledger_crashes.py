"""Append, crash at any write, open again, compare: whatever happened, what was acknowledged stands, once, in place."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.errors import LedgerUnavailableError, StoreUnavailableError
from evidence.identifiers import new_ulid
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.sequencer import Draft
from tests.storage.faults import Fault
from tests.storage.memory import KINDS, Faults, Killed, MemoryStore
from tests.storage.samples import REQUEST
from tests.storage.test_ledger import read_log


class Archive:
    """One home over one store, its process killed and started again at will, and what it was told."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.home = Home(folder / "home").make()
        self.faults = Faults()
        self.store: Any = MemoryStore(self.faults)
        self.acknowledged: dict[int, bytes] = {}
        self.tried: list[str] = []
        self._database = database
        self._ledger: Ledger | None = None
        self._copies = folder

    def run(self, drafts: int) -> None:
        """Append so many at once; open first if there is no process."""
        made = [Draft("capture.started", new_ulid(), REQUEST) for _ in range(drafts)]
        try:
            if self._ledger is None:
                self._ledger = self._open()
            self.tried += [draft.subject for draft in made]
            appended = self._ledger.append_many(made)
        except Killed:
            self.end()
        except (StoreUnavailableError, LedgerUnavailableError) as error:
            assert "injected" in str(error)  # noqa: PT017 - anything else is a finding
            if self._ledger is not None and not self._ledger.size:  # it was not opened
                self.end()
        else:
            self.acknowledged |= {one.index: one.entry for one in appended}

    def _open(self) -> Ledger:
        keyring = Keyring.open_or_create(self.home)
        self._ledger = ledger = Ledger(self.home, self.store, keyring, self._database)
        for name in ("sequence", "mark_published", "save_frontier"):
            self.faults.wrap(ledger._sequencer, name)
        self.faults.wrap(keyring, "remember")
        ledger.open()
        return ledger

    def end(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = None

    def keep_copy(self) -> None:
        self.end()
        if self.home.ledger.exists():
            shutil.copy(self.home.ledger, self._copies / "old.sqlite")

    def lose_database(self, *, for_a_copy: bool) -> None:
        """Delete it; or have the one of before, as after a power cut or from a backup."""
        self.end()
        for path in self.home.root.glob("ledger.sqlite*"):
            path.unlink()
        if for_a_copy and (self._copies / "old.sqlite").exists():
            shutil.copy(self._copies / "old.sqlite", self.home.ledger)

    def compare(self) -> None:
        """The store alone holds one chain, with all that was acknowledged, and nothing twice."""
        self.faults.armed = None
        self.end()
        self.run(1)
        log = read_log(self.store, self.home)
        assert {index: log[index].encode() for index in self.acknowledged} == self.acknowledged
        subjects = [entry.subject for entry in log if entry.type == "capture.started"]
        assert len(subjects) == len(set(subjects))
        assert set(subjects) <= set(self.tried)
        signed = [head.key for head in self.store.list("ledger/checkpoints/")][-1]
        assert signed.endswith(f"{len(log):020d}"), "what was acknowledged was left unsigned"
        assert self.store.read("ledger/checkpoint") == self.store.read(signed)


STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 3)),
    st.tuples(st.just("append"), st.sampled_from([255, 256, 257, 600])),
    st.tuples(st.just("fault"), st.tuples(st.sampled_from(KINDS), st.sampled_from(Fault), st.booleans())),
    st.tuples(st.sampled_from(["end", "copy", "delete", "old copy"]), st.none()),
)


def play(archive: Archive, steps: list[tuple[str, Any]]) -> None:
    for step, value in steps:
        if step == "append":
            archive.run(value)
        elif step == "fault":
            archive.faults.armed = value
        elif step == "end":
            archive.end()
        elif step == "copy":
            archive.keep_copy()
        else:
            archive.lose_database(for_a_copy=step == "old copy")
    archive.compare()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=12))
def test_whatever_fails_or_is_killed_the_log_goes_on_and_loses_nothing(steps: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        play(Archive(Path(folder)), steps)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=25))
def test_long_lives_of_failures_and_kills_lose_nothing(steps: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        play(Archive(Path(folder)), steps)


@pytest.mark.parametrize("killed", [False, True], ids=["fails", "is killed"])
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("kind", KINDS)
def test_after_each_write_that_fails_or_is_the_last_the_log_goes_on(
    tmp_path: Path, kind: str, fault: Fault, killed: bool
) -> None:
    archive = Archive(tmp_path)
    archive.run(1)
    archive.faults.armed = (kind, fault, killed)
    archive.run(1)
    assert archive.faults.armed is None, "no such write"
    archive.run(1)
    archive.compare()
    lost = kind == "sequence" and fault is Fault.FAILED
    subjects = [entry.subject for entry in read_log(archive.store, archive.home)]
    assert [subjects.count(subject) for subject in archive.tried] == [1, 0 if lost else 1, 1, 1]
