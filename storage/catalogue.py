"""The catalogue: an index of captures for people and spiders. Never evidence.

It may be lost and is not trusted: `follow` brings it up to the ledger from whatever it knows, from
nothing if the file was removed. A search is for a piece of text in URLs, title, uploader and note,
compared after NFKC and case folding, so that ﾄﾞﾗｺﾞﾝ finds ドラゴン.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from evidence.canonical import utc
from evidence.entry import CLOSING, Entry
from evidence.errors import ManifestError, UsageError
from evidence.manifest import Manifest, parse_manifest
from storage.database import open_database
from storage.home import Home
from storage.ledger import Ledger
from storage.objects import ObjectSource

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS captures (
    entry INTEGER PRIMARY KEY, capture TEXT NOT NULL UNIQUE, attempt_of TEXT, outcome TEXT NOT NULL,
    reasons TEXT NOT NULL, url TEXT NOT NULL, final_url TEXT NOT NULL, platform TEXT NOT NULL,
    "case" TEXT NOT NULL, title TEXT NOT NULL, uploader TEXT NOT NULL, note TEXT NOT NULL,
    operator TEXT NOT NULL, started TEXT NOT NULL, ended TEXT NOT NULL, media INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, warc TEXT NOT NULL, manifest TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS captures_by_url ON captures (url, entry);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'trigram');
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), followed INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0);
"""
_TRIGRAM: Final = 3

log = logging.getLogger(__name__)


class Catalogue:
    """One home's index. Threads may share it, processes open their own."""

    def __init__(self, home: Home) -> None:
        """Open it, new if it is not there; a damaged one is moved aside, since it can be rebuilt."""
        self._thread = threading.RLock()
        try:
            self._db = open_database(home.catalogue, _SCHEMA)
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged (%s) and is built anew", home.catalogue, error)
            for path in home.catalogue.parent.glob(f"{home.catalogue.name}*"):
                path.replace(path.with_name(f"damaged-{path.name}"))
            self._db = open_database(home.catalogue, _SCHEMA)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the file."""
        with self._thread:
            self._db.close()

    def add(self, manifest: bytes, entry: int) -> None:
        """Index a capture by its manifest and the index of its closing entry; again is fine.

        Raises ManifestError for bytes that are no manifest.
        """
        row = _row(parse_manifest(manifest), entry)
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        with self._thread, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM words WHERE rowid = ?", (entry,))
            insert = f"INSERT OR REPLACE INTO captures ({names}) VALUES ({marks})"  # noqa: S608 - our columns
            self._db.execute(insert, tuple(row.values()))
            text = "\n".join(str(row[name]) for name in ("url", "final_url", "title", "uploader", "note"))
            self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (entry, _folded(text)))

    def follow(self, store: ObjectSource, ledger: Ledger) -> None:
        """Index what the ledger closed since the last time. Raises StoreUnavailableError."""
        size = ledger.size
        self._index(store, ledger.entries(self._followed()))
        self._set_followed(size)

    def is_behind(self, ledger: Ledger) -> bool:
        """Whether the ledger has entries that were not looked at."""
        return self._followed() < ledger.size

    def rebuild(self, store: ObjectSource, entries: Iterable[Entry]) -> None:
        """Index everything anew from the ledger's entries and the store's manifests."""
        with self._thread, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for table in ("captures", "words"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
        self._set_followed(0)
        self._set_followed(self._index(store, entries))

    def search(
        self, query: str = "", case: str = "", since: str = "", platform: str = ""
    ) -> list[dict[str, Any]]:
        """Captures in the order of the ledger; empty arguments do not filter.

        `since` is a date or time (ISO 8601, UTC unless it says otherwise), `platform` a host, its
        subdomains included. Raises UsageError for a `since` that is no time.
        """
        wanted: list[tuple[str, tuple[object, ...]]] = []
        if needle := _folded(query):
            if len(needle) >= _TRIGRAM:
                match = '"' + needle.replace('"', '""') + '"'
                wanted.append(("entry IN (SELECT rowid FROM words WHERE words MATCH ?)", (match,)))
            else:
                wanted.append(("entry IN (SELECT rowid FROM words WHERE instr(text, ?))", (needle,)))
        if case:
            wanted.append(('"case" = ?', (case,)))
        if since:
            wanted.append(("started >= ?", (_utc_text(since),)))
        if platform:
            host = platform.lower().removeprefix("www.")
            wanted.append(
                ("(platform = ? OR substr(platform, -length(?)) = ?)", (host, f".{host}", f".{host}"))
            )
        return self._rows(
            " AND ".join(text for text, _ in wanted) or "1", *(v for _, values in wanted for v in values)
        )

    def starting_with(self, capture: str) -> list[dict[str, Any]]:
        """Captures whose id begins with this, in any case of letters."""
        return self._rows("substr(capture, 1, length(?)) = ?", capture.upper(), capture.upper())

    def is_captured(self, url: str) -> bool:
        """Whether some capture of exactly this URL did not fail."""
        return bool(self._rows("url = ? AND outcome != 'failed'", url))

    def interrupted_attempt(self, url: str) -> str | None:
        """The id of the newest capture of this URL if it was interrupted: the new one is another attempt of it."""
        rows = self._rows("url = ?", url)
        newest = rows[-1] if rows else None
        return newest["capture"] if newest and "interrupted" in newest["reasons"] else None

    def _rows(self, condition: str, *values: object) -> list[dict[str, Any]]:
        query = f"SELECT * FROM captures WHERE {condition} ORDER BY entry"  # noqa: S608 - conditions are ours
        with self._thread:
            found = self._db.execute(query, values).fetchall()
        return [{**dict(row), "reasons": json.loads(row["reasons"])} for row in found]

    def _index(self, store: ObjectSource, entries: Iterable[Entry]) -> int:
        """Add what these entries close and is not known yet; the size of the log up to the last of them."""
        size = 0
        for entry in entries:
            size = entry.index + 1
            keys = [item["key"] for item in entry.ended["objects"]] if entry.type in CLOSING else []
            for key in keys:
                if key.endswith("/manifest.json") and not self._rows("entry = ?", entry.index):
                    self._add_stored(store, key, entry.index)
        return size

    def _add_stored(self, store: ObjectSource, key: str, entry: int) -> None:
        try:
            self.add(store.read(key), entry)
        except (FileNotFoundError, ManifestError) as error:
            log.warning("%s of entry %d cannot be indexed (%s): run `akashi audit`", key, entry, error)

    def _followed(self) -> int:
        with self._thread:
            return int(self._db.execute("SELECT followed FROM state").fetchone()[0])

    def _set_followed(self, size: int) -> None:
        with self._thread:
            self._db.execute("UPDATE state SET followed = ?", (size,))


def _row(manifest: Manifest, entry: int) -> dict[str, str | int | None]:
    document = manifest.document
    request, target, times = document["request"], document["target"], document["times"]
    displayed = target["displayed"].get("uploader")
    return {
        "entry": entry,
        "capture": manifest.id,
        "attempt_of": document["capture"]["attempt_of"],
        "outcome": manifest.outcome,
        "reasons": json.dumps([reason["code"] for reason in document["reasons"]]),
        "url": request["url"],
        "final_url": target["final"],
        "platform": target["platform"].lower().removeprefix("www."),
        "case": request["case"],
        "title": target["title"],
        "uploader": str(displayed["value"]) if displayed else "",
        "note": request["note"],
        "operator": request["operator"]["name"],
        "started": times["started"],
        "ended": times["ended"],
        "media": len(document["media"]),
        "bytes": manifest.warc["size"],
        "sha256": manifest.warc["sha256"],
        "warc": manifest.warc["key"],
        "manifest": manifest.warc["key"].rpartition("/")[0] + "/manifest.json",
    }


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _utc_text(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", next="write 2026-11-23 or 2026-11-23T08:00Z") from error
    return utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
