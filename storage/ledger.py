"""The ledger: entries sequenced here, published as write-once segments, signed as checkpoints.

    append    sequence (one transaction)  →  be the publisher: publish what is pending  →  be the signer
    publish   ledger/segments/<first>     create-only: commit and fence in one put
    sign      ledger/tile/…               what the tree has that the last signed one had not
              ledger/checkpoints/<size>   signed, create-only
              keys/remembered.json        (size, root), once that checkpoint is in the store
              ledger/checkpoint           the pointer, written over, never trusted

Whoever publishes does it for all who wait, and so does whoever signs, while the next publishes already:
many writers share few segments and fewer checkpoints. What an append gives back is in the store and, unless
the store failed just then, signed; nothing is left for a timer or an exit. A kill between any two lines is
mended by the next publisher: a segment found taken is compared entry by entry, and ours are adopted. A
rival's are not: LedgerFencedError, and nothing is ever renumbered. An append that raised may still be in
the log later; `entries_of` settles that before it answers. What follows each failure:
docs/formats/store.md, write ordering.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.digests import digest_bytes
from evidence.entry import Entry
from evidence.errors import (
    CheckFailedError,
    LedgerFencedError,
    LedgerUnavailableError,
    NoteError,
    ObjectConflictError,
    StoreUnavailableError,
    UnreachableError,
)
from evidence.keys import KeyHistory
from evidence.segment import MAX_ENTRIES, PREFIX, Segment, encode_segment, parse_segment, segment_key
from evidence.tree import Frontier, leaf_hash
from storage.beginning import due, refuse_foreign
from storage.home import Home
from storage.keyring import Keyring, Remembered
from storage.objects import ObjectStore
from storage.sequencer import Appended, Draft, Sequencer
from storage.sequencer_sqlite import SqliteSequencer
from storage.signer import LocalSigner, Signer
from storage.tiles import Tiles

_TEXT: Final = "text/plain; charset=utf-8"
_AUDIT: Final = "run `akashi audit`"
_UNSIGNED: Final = 64 * MAX_ENTRIES
"""Entries that are published before a checkpoint covers them: two or three seconds of a bulk run."""
_ABOUT_KEYS: Final = re.compile(rb'"type":"(?:log|key)\.[a-z]+","v":1\}$')
"""The end of such an entry: its keys are sorted. A log has many entries about itself, and few of these."""

log = logging.getLogger(__name__)


class Ledger:
    """One log in one store. Threads may share it; any number of processes may open it at once.

    `database` is a PostgreSQL URL, shared by several machines; empty: SQLite in the home. Without a
    `signer`, the keyring signs.
    """

    def __init__(
        self,
        home: Home,
        store: ObjectStore,
        keyring: Keyring,
        database: str = "",
        signer: Signer | None = None,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._signer = signer or LocalSigner(keyring)
        self._sequencer = _open_sequencer(home, database)
        self._fresh: dict[bytes, Entry] = {}  # what was encoded here, until it is published
        self.tiles: Final = Tiles(store, self._sequencer.entries)

    def open(self) -> None:
        """Bring sequencer and store together, and write what a log begins with.

        Raises LedgerFencedError if the bucket holds another log, LedgerUnavailableError if the store
        has lost what was published or signed, StoreUnavailableError if it cannot be reached.
        """
        with self._sequencer.publishing():
            self._catch_up()
            history, known = self.keys(), self._sequencer.latest("custody.store")
            refuse_foreign(history, self._keyring)
            drafts = list(due(history, self._keyring, self._store.custody(), known))
            self._sequencer.sequence(drafts)
        self._settle(self._sequencer.size)
        self._sign_if_possible(None)  # at least it shows that what is here contains what was signed

    def catch_up(self) -> None:
        """Only take over what the store has; nothing is appended or signed, for one whose log key is lost."""
        with self._sequencer.publishing():
            self._catch_up()

    def close(self) -> None:
        """Close the sequencer's database."""
        self._sequencer.close()

    def append(self, type: str, subject: str, body: Mapping[str, Any]) -> Appended:
        """Append one entry; when this returns, its segment is in the store and, if it can be signed now, signed.

        Raises EntryError for what is no entry, LedgerFencedError if another writes this log,
        StoreUnavailableError and LedgerUnavailableError if it could not be published in time.
        """
        (appended,) = self.append_many([Draft(type, subject, body)])
        return appended

    def append_many(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append entries that follow one another, all or none; see `append`.

        Each call ends in a checkpoint: some thousand drafts at a time cost little and hold little memory.
        """
        made = self._sequencer.sequence(drafts)
        fresh = {one.entry: one.decoded for one in made}
        self._fresh.update(fresh)
        try:
            self._settle(made[-1].index + 1 if made else 0)
        finally:
            for entry in fresh:
                del self._fresh[entry]
        return made

    @property
    def size(self) -> int:
        """Number of entries in the store."""
        return self._sequencer.published

    @property
    def next_index(self) -> int:
        """The index that the next entry will have, unless somebody else appends first."""
        return self._sequencer.size

    def keys(self) -> KeyHistory:
        """The history of this log's keys, from all entries that are sequenced."""
        opened = self._sequencer.entry(0)
        entries = self._sequencer.of_subject(Entry.decode(opened).subject) if opened else ()
        return KeyHistory.of(Entry.decode(entry) for entry in entries if _ABOUT_KEYS.search(entry))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """The published entries from an index on."""
        return map(Entry.decode, self._sequencer.entries(start, self.size))

    def entries_of(self, subject: str) -> list[Entry]:
        """The published entries of a subject, e.g. a capture id; publishes first what is pending."""
        self._settle(self._sequencer.size)
        return [Entry.decode(entry) for entry in self._sequencer.of_subject(subject)]

    def entry_bytes(self, index: int) -> bytes:
        """The exact bytes of a published entry. Raises LedgerUnavailableError if there is none."""
        entry = self._sequencer.entry(index) if index < self.size else None
        if entry is None:
            raise LedgerUnavailableError(f"the ledger has no entry {index}", next=_AUDIT)
        return entry

    def _settle(self, size: int) -> None:
        """Publish and sign until `size` entries are in the store, unless others did while we waited."""
        if self.size >= size and self._sequencer.signed < size:  # just published by another, or never signed
            self._sign_if_possible(size)
        while (published := self.size) < size:
            with self._sequencer.publishing():
                self._publish(min(size, published + _UNSIGNED))
            self._sign_if_possible(min(size, self.size))

    def _publish(self, size: int) -> None:
        while (first := self._sequencer.published) < size:
            pending = list(self._sequencer.entries(first, first + MAX_ENTRIES))
            data, key = self._encoded(first, pending), segment_key(first)
            try:
                self._store.put_once(key, data, digest_bytes(data), content_type=_TEXT)
                published = first + len(pending)
            except ObjectConflictError:
                # A publisher died after this put with fewer entries pending, or a rival wrote it.
                published = self._sequencer.adopt(self._stored(first))
            self._sequencer.mark_published(published, first)

    def _encoded(self, first: int, pending: Sequence[bytes]) -> bytes:
        try:
            return encode_segment(pending, self._fresh)
        except CheckFailedError as error:
            raise LedgerUnavailableError(
                f"what was sequenced from entry {first} on is damaged, and is not published: {error.detail}",
                next="put the ledger's database aside: it is rebuilt from the store",
            ) from error

    def _catch_up(self) -> None:
        """Take over segments that the store has and we have not: our own of before, or all after a loss."""
        sequencer = self._sequencer
        rebuilt = sequencer.published == 0
        if sequencer.last_segment is not None:
            try:
                sequencer.adopt(self._stored(sequencer.last_segment))
            except FileNotFoundError as error:
                raise _lost(f"the store lost {error}, which was published") from error
        with suppress(FileNotFoundError):  # the end
            while True:
                first = sequencer.published
                sequencer.mark_published(sequencer.adopt(self._stored(first)), first)
        size = sequencer.published
        for head in self._store.list(PREFIX) if rebuilt else ():
            if head.key >= segment_key(size):
                raise _lost(f"the store lacks {segment_key(size)}, but has {head.key}")
        remembered = self._keyring.remembered()
        if remembered is not None and remembered.size > size:
            raise _lost(f"of {remembered.size} signed entries the store has {size}: the tail is gone")

    def _stored(self, first: int) -> Segment:
        key = segment_key(first)
        try:
            segment = parse_segment(self._store.read(key))
        except CheckFailedError as error:
            raise LedgerUnavailableError(f"{key} is damaged: {error.detail}", next=_AUDIT) from error
        if segment.first != first:
            raise LedgerUnavailableError(f"{key} holds entry {segment.first}", next=_AUDIT)
        return segment

    def _sign_if_possible(self, size: int | None) -> None:
        """See `_sign`; a store or signer that fails now does not undo what is stored: the next publisher signs."""
        try:
            self._sign(size)
        except (ObjectConflictError, NoteError) as error:
            raise LedgerFencedError(
                f"another checkpoint of {self._sequencer.published} entries is in the store: our key signed twice",
                next="stop every writer of this log; run `akashi audit`",
            ) from error
        except (StoreUnavailableError, UnreachableError) as error:
            log.warning("the checkpoint waits for the next entry: %s", error.detail)

    def _sign(self, wanted: int | None) -> None:
        """Sign, store and remember a checkpoint of all that is published, unless one covers what is wanted."""
        with self._sequencer.signing():
            signed = self._sequencer.signed
            if wanted is not None and signed >= wanted:
                return
            size, remembered = self._sequencer.published, self._keyring.remembered()
            frontier = self._extended(size)
            checkpoint = Checkpoint(self._keyring.origin, size, frontier.root())
            if remembered == Remembered(size, checkpoint.root) and signed == size:
                return
            self.tiles.publish(size, checkpoint.root, since=max(signed, remembered.size if remembered else 0))
            note = self._signer.sign(checkpoint, partial(self.tiles.consistency, size=size))
            note = self._put_checkpoint(checkpoint, note)
            self._keyring.remember(size, checkpoint.root)
            self._sequencer.save_frontier(frontier)
            self._store.replace(POINTER, note)

    def _extended(self, size: int) -> Frontier:
        """The tree of `size` entries, out of the edge that was kept and the entries since."""
        frontier = self._sequencer.frontier()
        if frontier.size > size:
            frontier = Frontier()
        for entry in self._sequencer.entries(frontier.size, size):
            frontier.push(leaf_hash(entry))
        return frontier

    def _put_checkpoint(self, checkpoint: Checkpoint, note: bytes) -> bytes:
        """Store it; the note that the store has, which may be an earlier one with other signatures."""
        key = checkpoint_key(checkpoint.size)
        try:
            self._store.put_once(key, note, digest_bytes(note), content_type=_TEXT)
        except ObjectConflictError:
            note = self._store.read(key)
            if self.keys().checkpoint(note) != checkpoint:
                raise
        return note


def _open_sequencer(home: Home, database: str) -> Sequencer:
    if not database:
        return SqliteSequencer(home.ledger)
    from storage.sequencer_postgres import PostgresSequencer  # noqa: PLC0415  # it costs 0.1 s

    return PostgresSequencer(database)


def _lost(what: str) -> LedgerUnavailableError:
    return LedgerUnavailableError(what, next="check endpoint and bucket; restore the objects; " + _AUDIT)
