"""Outside time for the log: its newest checkpoint stamped by authorities, the tokens kept and entered.

    what is due     told by the log alone: no list that could be lost says which authority was not reached
    put             ledger/anchors/<size>/<authority>.tsq, .tsr and what else can be had, once
    append          `anchor.tsr`, which names them (evidence/anchors.py)

A kill between two lines is mended by the next run over the same checkpoint: a request that is stored is
sent again, a response that is stored is entered. A response that does not verify is not stored, since its
place is taken once and for all; the failure names why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from evidence.anchors import CHAIN, OCSP, OPINION, QUERY, RESPONSE, anchor_key, is_due, read_token
from evidence.canonical import parse_utc, utc
from evidence.checkpoint import Checkpoint, checkpoint_key
from evidence.digests import digest_bytes
from evidence.entry import ANCHOR, Entry
from evidence.errors import (
    AkashiError,
    CheckFailedError,
    LedgerUnavailableError,
    ObjectConflictError,
    UnreachableError,
    UsageError,
)
from evidence.timestamp import Timestamp, request_for
from storage.archive import Archive
from storage.authorities import Roots, ask, issuer_of, load_roots, revocation, second_opinion
from storage.files import open_lock, try_lock

RENEW_BEFORE: Final = timedelta(days=90)
"""A token whose authority's certificate expires within this is covered by a new one."""
RENEW_EVERY: Final = timedelta(days=1)
"""At most so often, where the authority still signs with the certificate that expires."""
SECONDS: Final = 10.0
"""For all authorities to answer a person who asked."""
SECONDS_AT_END: Final = 3.0
"""The same at the end of a run, which nothing may hold up."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking one authority: a timestamp with its entry's index, or a problem."""

    authority: str
    timestamp: Timestamp | None = None
    entry: int | None = None
    problem: str = ""
    next: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor entry and what its token says; None: it does not verify, `problem` says why."""

    entry: Entry
    timestamp: Timestamp | None
    problem: str = ""

    @property
    def size(self) -> int:
        """Entries below this existed at the token's time."""
        return int(self.entry.body["size"])


class Anchors:
    """The anchors of one archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._settings = archive.settings
        self._store = archive.store
        self._origin = archive.keyring.origin
        self._roots = load_roots(archive.settings)

    def entries(self) -> list[Entry]:
        """All anchor entries, oldest first."""
        return [entry for entry in self._archive.ledger.entries_of(self._origin) if entry.type == ANCHOR]

    def read(self, entry: Entry) -> Anchor:
        """What an entry's token says. Raises StoreUnavailableError."""
        objects = {item["key"]: item["version"] for item in entry.body["objects"]}
        try:
            request, response = (
                self._store.read(key, objects[key] or None)
                for ending in (QUERY, RESPONSE)
                for key in objects
                if key.endswith(ending)
            )
            note = self._store.read(checkpoint_key(entry.body["size"]))
            return Anchor(entry, read_token(response, request, note, self._roots))
        except FileNotFoundError as error:
            return Anchor(entry, None, f"{error} is gone: run `akashi audit`")
        except CheckFailedError as error:
            return Anchor(entry, None, error.detail)

    def expiring(self, entries: Sequence[Entry], now: datetime) -> list[Anchor]:
        """Anchors that no token with a longer life covers, and whose authority's certificate expires soon."""
        found, covered = list[Anchor](), -1
        for entry in reversed(entries):  # from the newest: one with a long life covers all before
            if entry.index < covered:
                break
            anchor = self.read(entry)
            if anchor.timestamp is None:
                continue
            if anchor.timestamp.not_after - now > RENEW_BEFORE:
                covered = max(covered, anchor.size)
            else:
                found.append(anchor)
        return [anchor for anchor in found if anchor.entry.index >= covered]

    def due(self, entries: Sequence[Entry], size: int, now: datetime) -> list[str]:
        """The authorities that are to be asked for a token over the checkpoint of this size."""
        authorities = self._settings.timestamp_authorities
        renew = self.expiring(entries, now) and self.age(entries, now) > RENEW_EVERY
        return [url for url in authorities if renew or is_due(size, url, entries)]

    @staticmethod
    def age(entries: Sequence[Entry], now: datetime) -> timedelta:
        """Of the newest token; without one, longer than anything."""
        return now - parse_utc(entries[-1].body["time"]) if entries else timedelta.max

    def stamp(self, seconds: float = SECONDS, *, all_: bool = False) -> list[Attempt]:
        """Ask the authorities that are due, or all that have not stamped this checkpoint; keep and enter.

        Raises StoreUnavailableError and LedgerUnavailableError; an authority that fails is an Attempt.
        """
        end = time.monotonic() + seconds
        with self._alone(seconds):
            entries = self.entries()
            checkpoint, note = self._archive.newest()
            size = checkpoint.size
            stamped = {entry.body["authority"] for entry in entries if entry.body["size"] == size}
            authorities = dict.fromkeys(self._settings.timestamp_authorities)
            urls = [url for url in authorities if url not in stamped]
            if not all_:
                due = self.due(entries, size, datetime.now(UTC))
                urls = [url for url in urls if url in due]
            return list(self._stamp(checkpoint, note, urls, end))

    @contextmanager
    def _alone(self, patience: float) -> Iterator[None]:
        descriptor = open_lock(self._settings.home.root / "anchors.lock")
        try:
            if not try_lock(descriptor, patience):
                raise LedgerUnavailableError("another run is stamping the ledger", next="wait for it")
            yield
        finally:
            os.close(descriptor)

    def _stamp(
        self, checkpoint: Checkpoint, note: bytes, urls: Sequence[str], end: float
    ) -> Iterator[Attempt]:
        size = checkpoint.size
        requests = {url: self._stored(anchor_key(size, url, QUERY)) or request_for(note) for url in urls}
        stored = {url: self._stored(anchor_key(size, url, RESPONSE)) for url in urls}
        asked = {url: request for url, request in requests.items() if stored[url] is None}
        answers = ask(
            asked, max(0.1, end - time.monotonic()), allow_private=self._settings.ledger_allow_private
        )
        for url in urls:
            answer = stored[url] or answers[url]
            try:
                if isinstance(answer, AkashiError):
                    raise answer
                yield self._keep(checkpoint, note, url, requests[url], answer, end)
            except (UnreachableError, UsageError, CheckFailedError, ObjectConflictError) as error:
                yield Attempt(url, problem=error.detail, next=error.next)

    def _keep(
        self, checkpoint: Checkpoint, note: bytes, url: str, request: bytes, response: bytes, end: float
    ) -> Attempt:
        """Check a response, store it with what belongs to it, and enter it."""
        roots = self._roots
        timestamp = read_token(response, request, note, roots)
        notes, made = [], {QUERY: request, RESPONSE: response, CHAIN: _chain(timestamp, roots)}
        if timestamp.reordered:
            made[OPINION] = second_opinion(response, note, timestamp, roots).encode()
            notes.append("its certificates are not in DER's order: openssl's second opinion is kept")
        try:
            private = self._settings.ledger_allow_private
            left = end - time.monotonic()
            made[OCSP], word = revocation(timestamp, roots, left, allow_private=private)
            notes.append(f"its certificate's OCSP responder says: {word}")
        except UnreachableError as error:
            notes.append(f"no word on revocation: {error.detail}")
        size, root = checkpoint.size, checkpoint.root.hex()
        objects = [self._put(anchor_key(size, url, ending), data) for ending, data in made.items()]
        body = {
            "authority": url,
            "objects": sorted(objects, key=lambda item: str(item["key"])),
            "root": root,
            "size": size,
            "time": utc(timestamp.time),
        }
        appended = self._archive.ledger.append(ANCHOR, self._origin, body)
        return Attempt(url, timestamp, appended.index, notes=tuple(notes))

    def _put(self, key: str, data: bytes) -> dict[str, object]:
        """Store an object; of what an earlier run left there, all but request and response is taken as it is."""
        if not key.endswith((QUERY, RESPONSE)):
            data = self._stored(key) or data
        put = self._store.put_once(key, data, digest_bytes(data), content_type="application/octet-stream")
        return {"key": key, "version": put.version, **put.digests.as_json()}

    def _stored(self, key: str) -> bytes | None:
        try:
            return self._store.read(key)
        except FileNotFoundError:
            return None


def _chain(timestamp: Timestamp, roots: Roots) -> bytes:
    """PEM of the certificates that came along, and of the root that they lead to."""
    chain = list(timestamp.chain)
    above = (issuer_of(certificate, roots) for certificate in timestamp.chain)
    chain += [root for root in dict.fromkeys(filter(None, above)) if root not in chain]
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def stamp_at_end(archive: Archive) -> str:
    """Stamp once if the newest token is old enough; one line about it, empty when there was nothing to do.

    Raises AkashiError like `stamp`; whoever ends a run tells it, and ends as it would have ended.
    """
    settings, anchors = archive.settings, Anchors(archive)
    if not settings.timestamp_authorities:
        return ""
    if anchors.age(anchors.entries(), datetime.now(UTC)) < timedelta(minutes=settings.timestamp_minutes):
        return ""
    attempts = anchors.stamp(SECONDS_AT_END)
    good = [attempt.authority for attempt in attempts if attempt.timestamp]
    told = [f"the ledger was timestamped by {', '.join(good)}"] if good else []
    if bad := [attempt.problem for attempt in attempts if not attempt.timestamp]:
        told.append(f"the ledger waits for a timestamp: {'; '.join(bad)}; next: akashi ledger timestamp")
    return "\n".join(told)
