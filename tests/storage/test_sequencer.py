"""The sequencer gives each entry one place, in one transaction, whoever asks: over SQLite and over PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from evidence.entry import Entry, chain
from evidence.errors import EntryError, LedgerFencedError, LedgerUnavailableError, UsageError
from evidence.identifiers import new_ulid
from evidence.note import SigningKey
from evidence.segment import encode_segment, parse_segment
from evidence.tree import Frontier
from storage.sequencer import Draft, Sequencer
from storage.sequencer_postgres import PostgresSequencer
from storage.sequencer_sqlite import SqliteSequencer
from tests.postgres.server import Postgres
from tests.storage.samples import REQUEST

KEY = SigningKey.generate("log.example")
OPENED = Draft("log.opened", "log.example", {"origin": "log.example", "vkey": KEY.vkey})

Opener = Callable[[], Sequencer]


def started() -> Draft:
    return Draft("capture.started", new_ulid(), REQUEST)


@pytest.fixture
def opened() -> Iterator[list[Sequencer]]:
    made: list[Sequencer] = []
    yield made
    for sequencer in made:
        sequencer.close()


@pytest.fixture
def open_again(database: str, tmp_path: Path, opened: list[Sequencer]) -> Opener:
    """Opens the test's database, as another process would."""

    def make() -> Sequencer:
        path = tmp_path / "ledger.sqlite"
        opened.append(PostgresSequencer(database) if database else SqliteSequencer(path))
        return opened[-1]

    return make


@pytest.fixture
def sequencer(open_again: Opener) -> Sequencer:
    return open_again()


@pytest.fixture
def another(tmp_path: Path, opened: list[Sequencer]) -> Sequencer:
    """One of another database, to make what is then found in the store."""
    opened.append(SqliteSequencer(tmp_path / "another.sqlite"))
    return opened[-1]


def test_entries_are_numbered_and_chained(sequencer: Sequencer) -> None:
    made = sequencer.sequence([OPENED, started()]) + sequencer.sequence([started()])
    assert [entry.index for entry in made] == [0, 1, 2]
    assert [Entry.decode(entry.entry).prev for entry in made] == [
        chain(None),
        chain(made[0].entry),
        chain(made[1].entry),
    ]
    assert [Entry.decode(entry.entry) for entry in made] == [entry.decoded for entry in made]
    assert list(sequencer.entries(0, 9)) == [entry.entry for entry in made]
    assert sequencer.size == 3
    assert sequencer.published == 0
    assert sequencer.sequence([]) == []


def test_drafts_are_sequenced_all_or_none(sequencer: Sequencer) -> None:
    sequencer.sequence([OPENED])
    with pytest.raises(EntryError):
        sequencer.sequence([started(), Draft("capture.started", "no id", REQUEST)])
    assert sequencer.size == 1
    assert sequencer.sequence([started()])[0].index == 1


def test_threads_and_other_openers_share_one_chain(sequencer: Sequencer, open_again: Opener) -> None:
    sequencer.sequence([OPENED])
    other = open_again()
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


@pytest.mark.parametrize("lock", ["publishing", "signing"])
def test_one_publishes_and_one_signs_at_a_time_among_threads_and_openers(
    sequencer: Sequencer, open_again: Opener, lock: str
) -> None:
    inside, most, other = [0], [0], open_again()

    def work(who: Sequencer) -> None:
        for _ in range(5):
            with getattr(who, lock)():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                assert who.published == 0  # a look into the database while others wait
                inside[0] -= 1

    threads = [Thread(target=work, args=(who,)) for who in (sequencer, sequencer, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_another_publishes_while_one_signs_and_both_may_sequence(
    sequencer: Sequencer, open_again: Opener
) -> None:
    signing, published = Event(), Event()

    def publish() -> None:
        signing.wait()
        with open_again().publishing():
            published.set()

    thread = Thread(target=publish)
    thread.start()
    with sequencer.signing():
        signing.set()
        assert published.wait(30)
        sequencer.sequence([OPENED])
    thread.join()


def test_a_lock_is_given_back_when_what_is_done_under_it_fails(sequencer: Sequencer) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), sequencer.publishing(), sequencer.signing():
            _ = 1 / 0


def test_a_stored_segment_is_adopted_where_it_continues_ours(
    sequencer: Sequencer, another: Sequencer
) -> None:
    made = [entry.entry for entry in another.sequence([OPENED, started(), started(), started()])]
    assert sequencer.adopt(parse_segment(encode_segment(made[:2]))) == 2
    assert sequencer.adopt(parse_segment(encode_segment(made[1:]))) == 4
    assert sequencer.adopt(parse_segment(encode_segment(made[1:3]))) == 3
    assert list(sequencer.entries(0, 9)) == made


def test_a_rivals_segment_is_not_adopted(sequencer: Sequencer, another: Sequencer) -> None:
    theirs = [entry.entry for entry in another.sequence([OPENED, started(), started(), started()])]
    sequencer.adopt(parse_segment(encode_segment(theirs[:1])))
    sequencer.sequence([started()])
    ours = list(sequencer.entries(0, 9))
    for first, differs in ((0, 1), (1, 1), (2, 2), (3, 3)):
        with pytest.raises(LedgerFencedError, match=f"entry {differs} in the store is not ours"):
            sequencer.adopt(parse_segment(encode_segment(theirs[first:])))
    assert list(sequencer.entries(0, 9)) == ours


def test_what_is_found_by_type_and_subject_is_in_order(sequencer: Sequencer) -> None:
    draft = started()
    made = sequencer.sequence([OPENED, draft, started(), draft])
    assert sequencer.of_subject(draft.subject) == [made[1].entry, made[3].entry]
    assert sequencer.latest("capture.started") == made[3].entry
    assert sequencer.latest("capture.failed") is None
    assert sequencer.entry(7) is None


def test_the_longest_subject_is_found(sequencer: Sequencer) -> None:
    bucket = "b" * 60_000
    body = {
        "endpoint_kind": "configured",
        "bucket": bucket,
        "abilities": dict.fromkeys(("create_only", "versioning", "object_lock", "checksum_sha256"), True),
        "profile": "legal",
    }
    with pytest.raises(EntryError, match="exceed"):  # twice, in subject and body: no entry
        sequencer.sequence([OPENED, Draft("custody.store", bucket, body)])
    half = bucket[:30_000]
    made = sequencer.sequence([OPENED, Draft("custody.store", half, {**body, "bucket": half})])
    assert sequencer.of_subject(half) == [made[1].entry]


def test_its_state_is_kept_and_never_goes_back(sequencer: Sequencer, open_again: Opener) -> None:
    frontier = Frontier()
    frontier.push(b"l" * 32)
    sequencer.mark_published(7, 5)
    sequencer.mark_published(6, 2)  # a publisher that was overtaken
    sequencer.save_frontier(frontier)
    again = open_again()
    assert (again.published, again.last_segment, again.frontier().root()) == (7, 5, frontier.root())
    assert again.signed == 1


def test_the_file_is_private(tmp_path: Path, opened: list[Sequencer]) -> None:
    opened.append(SqliteSequencer(tmp_path / "ledger.sqlite"))
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_told_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerUnavailableError, match="not a database") as told:
        SqliteSequencer(tmp_path / "ledger.sqlite")
    assert "rebuilt from the store" in told.value.next


def test_a_database_that_fails_is_told_and_nothing_is_half_done(
    tmp_path: Path, opened: list[Sequencer]
) -> None:
    opened.append(sequencer := SqliteSequencer(tmp_path / "ledger.sqlite"))
    sequencer.sequence([OPENED])
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.position = 2 "
            "BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    other.close()
    with pytest.raises(LedgerUnavailableError, match="disk is full"):
        sequencer.sequence([started(), started()])
    assert sequencer.size == 1


def test_a_postgres_that_fails_in_between_is_told_and_nothing_is_half_done(postgres: Postgres) -> None:
    url = postgres.new_database()
    sequencer = PostgresSequencer(url)
    sequencer.sequence([OPENED])
    with psycopg.connect(url) as other:
        other.execute("ALTER TABLE entries ADD CHECK (position <> 2)")
    with pytest.raises(LedgerUnavailableError, match="violates check constraint"):
        sequencer.sequence([started(), started()])
    assert sequencer.size == 1
    assert sequencer.sequence([started()])[0].index == 1
    sequencer.close()


@pytest.mark.slow
def test_a_postgres_that_was_restarted_is_found_again_and_keeps_what_it_committed(postgres: Postgres) -> None:
    sequencer = PostgresSequencer(postgres.new_database())
    made = sequencer.sequence([OPENED, started()])
    postgres.stop()  # a crash
    with pytest.raises(LedgerUnavailableError, match="database failed"):
        sequencer.sequence([started()])
    with pytest.raises(LedgerUnavailableError, match="database failed"), sequencer.publishing():
        pass
    postgres.start()
    assert list(sequencer.entries(0, 9)) == [one.entry for one in made]
    assert sequencer.sequence([started()])[0].index == 2
    postgres.stop()
    postgres.start()
    with sequencer.publishing():
        assert sequencer.sequence([started()])[0].index == 3  # none of it asked for a second try
    sequencer.close()


def test_a_session_that_ends_within_a_transaction_undoes_it(postgres: Postgres) -> None:
    url = postgres.new_database()
    sequencer = PostgresSequencer(url)
    sequencer.sequence([OPENED])

    def cut() -> Iterator[Draft]:
        yield started()
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            )
        yield started()

    with pytest.raises(LedgerUnavailableError, match="database failed"):
        sequencer.sequence(cut())  # type: ignore[arg-type] # whatever gives drafts
    assert sequencer.size == 1
    assert sequencer.sequence([started()])[0].index == 1
    sequencer.close()


def test_a_holder_that_dies_gives_the_lock_back(postgres: Postgres) -> None:
    url = postgres.new_database()
    holder, next_one = PostgresSequencer(url), PostgresSequencer(url)
    with holder.publishing():
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
        with next_one.publishing():
            pass
    holder.close()
    next_one.close()


def test_a_server_that_vanished_is_noticed_by_us_too(postgres: Postgres) -> None:
    sequencer = PostgresSequencer(postgres.new_database())
    told = sequencer._db.info.get_parameters()
    assert int(told["keepalives_idle"]) + 3 * int(told["keepalives_interval"]) <= 60
    assert int(told["tcp_user_timeout"]) <= 60_000
    sequencer.close()


def test_what_is_no_database_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no connection string") as told:
        PostgresSequencer("postgresql://me:hunter2@host/ledger?nonsense=1")
    assert "hunter2" not in str(told.value) + str(told.value.__cause__)
    with pytest.raises(LedgerUnavailableError, match="database failed") as away:
        PostgresSequencer(f"postgresql://me:hunter2@/ledger?host={tmp_path}")
    assert "hunter2" not in str(away.value)
    assert "ledger_database" in away.value.next
