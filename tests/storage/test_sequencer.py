"""The sequencer gives each entry one place, in one transaction, whoever asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from evidence.entry import Entry, chain
from evidence.errors import EntryError, LedgerFencedError, LedgerUnavailableError
from evidence.identifiers import new_ulid
from evidence.note import SigningKey
from evidence.segment import encode_segment, parse_segment
from evidence.tree import Frontier
from storage.sequencer import Draft, Sequencer
from tests.storage.samples import REQUEST

KEY = SigningKey.generate("log.example")
OPENED = Draft("log.opened", "log.example", {"origin": "log.example", "vkey": KEY.vkey})


def started() -> Draft:
    return Draft("capture.started", new_ulid(), REQUEST)


@pytest.fixture
def sequencer(tmp_path: Path) -> Iterator[Sequencer]:
    opened = Sequencer(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def test_entries_are_numbered_and_chained(sequencer: Sequencer) -> None:
    made = sequencer.sequence([OPENED, started()]) + sequencer.sequence([started()])
    assert [entry.index for entry in made] == [0, 1, 2]
    assert [Entry.decode(entry.entry).prev for entry in made] == [
        chain(None),
        chain(made[0].entry),
        chain(made[1].entry),
    ]
    assert list(sequencer.entries(0, 9)) == [entry.entry for entry in made]
    assert sequencer.size == 3
    assert sequencer.published == 0


def test_drafts_are_sequenced_all_or_none(sequencer: Sequencer) -> None:
    sequencer.sequence([OPENED])
    with pytest.raises(EntryError):
        sequencer.sequence([started(), Draft("capture.started", "no id", REQUEST)])
    assert sequencer.size == 1
    assert sequencer.sequence([started()])[0].index == 1


def test_threads_and_other_openers_share_one_chain(sequencer: Sequencer, tmp_path: Path) -> None:
    sequencer.sequence([OPENED])
    other = Sequencer(tmp_path / "ledger.sqlite")
    threads = [
        Thread(target=lambda s=s: [s.sequence([started()]) for _ in range(20)])  # type: ignore[misc]
        for s in (sequencer, sequencer, other, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = [Entry.decode(data) for data in sequencer.entries(0, 999)]
    assert [entry.index for entry in entries] == list(range(81))
    assert all(chain(a.encode()) == b.prev for a, b in pairwise(entries))
    other.close()


def test_a_stored_segment_is_adopted_where_it_continues_ours(sequencer: Sequencer, tmp_path: Path) -> None:
    made = [entry.entry for entry in sequencer.sequence([OPENED, started(), started(), started()])]
    behind = Sequencer(tmp_path / "behind.sqlite")
    assert behind.adopt(parse_segment(encode_segment(made[:2]))) == 2
    assert behind.adopt(parse_segment(encode_segment(made[1:]))) == 4
    assert list(behind.entries(0, 9)) == made
    behind.close()


def test_a_rivals_segment_is_not_adopted(sequencer: Sequencer, tmp_path: Path) -> None:
    rival = Sequencer(tmp_path / "rival.sqlite")
    theirs = [entry.entry for entry in rival.sequence([OPENED, started(), started()])]
    ours = [entry.entry for entry in sequencer.sequence([OPENED, started()])]
    for first in (0, 1, 2):
        with pytest.raises(LedgerFencedError, match="is not ours"):
            sequencer.adopt(parse_segment(encode_segment(theirs[first:])))
    assert list(sequencer.entries(0, 9)) == ours
    rival.close()


def test_what_is_found_by_type_and_subject_is_in_order(sequencer: Sequencer) -> None:
    draft = started()
    made = sequencer.sequence([OPENED, draft, started(), draft])
    assert sequencer.of_subject(draft.subject) == [made[1].entry, made[3].entry]
    assert sequencer.latest("capture.started") == made[3].entry
    assert sequencer.latest("capture.failed") is None
    assert sequencer.entry(7) is None


def test_its_state_is_kept(sequencer: Sequencer, tmp_path: Path) -> None:
    frontier = Frontier()
    frontier.push(b"l" * 32)
    sequencer.mark_published(7, 5)
    sequencer.save_frontier(frontier)
    again = Sequencer(tmp_path / "ledger.sqlite")
    assert (again.published, again.last_segment, again.frontier().root()) == (7, 5, frontier.root())
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_damaged_file_is_told_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerUnavailableError, match="not a database") as told:
        Sequencer(tmp_path / "ledger.sqlite")
    assert "rebuilt from the store" in told.value.next


def test_a_database_that_fails_is_told_and_nothing_is_half_done(sequencer: Sequencer, tmp_path: Path) -> None:
    sequencer.sequence([OPENED])
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    other.close()
    with pytest.raises(LedgerUnavailableError, match="disk is full"):
        sequencer.sequence([started()])
    assert sequencer.size == 1
