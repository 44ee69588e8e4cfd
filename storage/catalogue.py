"""The catalogue: an index of captures for people and spiders. Never evidence.

It may be lost and is not trusted: `follow` brings it up to the ledger from whatever it knows, from
nothing if the file was removed. A search is for a piece of text in URLs, title, uploader and note,
compared after NFKC and case folding, so that ﾄﾞﾗｺﾞﾝ finds ドラゴン and one character is enough.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import unicodedata
from datetime import UTC, datetime
from typing import Any, Final

from evidence.canonical import utc
from evidence.entry import CLOSING
from evidence.errors import ManifestError, UsageError
from evidence.manifest import Manifest, parse_manifest
from storage.files import open_database
from storage.home import Home
from storage.ledger import Ledger
from storage.objects import ObjectStore

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS captures (
    entry INTEGER PRIMARY KEY, capture TEXT NOT NULL UNIQUE, attempt_of TEXT, outcome TEXT NOT NULL,
    reasons TEXT NOT NULL, url TEXT NOT NULL, final_url TEXT NOT NULL, platform TEXT NOT NULL,
    "case" TEXT NOT NULL, title TEXT NOT NULL, uploader TEXT NOT NULL, note TEXT NOT NULL,
    operator TEXT NOT NULL, started TEXT NOT NULL, ended TEXT NOT NULL, media INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, warc TEXT NOT NULL, manifest TEXT NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS captures_by_url ON captures (url, entry);
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), followed INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0);
"""
_WORDS: Final = ("url", "final_url", "title", "uploader", "note")

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
        row["words"] = _folded("\n".join(str(row[name]) for name in _WORDS))
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        with self._thread:
            insert = f"INSERT OR REPLACE INTO captures ({names}) VALUES ({marks})"  # noqa: S608 - our columns
            self._db.execute(insert, tuple(row.values()))

    def follow(self, store: ObjectStore, ledger: Ledger) -> None:
        """Index what the ledger closed since the last time. Raises StoreUnavailableError."""
        size = ledger.size
        with self._thread:
            followed = int(self._db.execute("SELECT followed FROM state").fetchone()[0])
        for entry in ledger.entries(followed):
            if entry.type not in CLOSING or self._rows("entry = ?", entry.index):
                continue
            for key in (item["key"] for item in entry.ended["objects"]):
                if key.endswith("/manifest.json"):
                    self._add_stored(store, key, entry.index)
        with self._thread:
            self._db.execute("UPDATE state SET followed = ?", (size,))

    def search(
        self, query: str = "", case: str = "", since: str = "", platform: str = ""
    ) -> list[dict[str, Any]]:
        """Captures in the order of the ledger; empty arguments do not filter.

        `since` is a date or time (ISO 8601, UTC unless it says otherwise), `platform` a host, its
        subdomains included. Raises UsageError for a `since` that is no time.
        """
        host = platform.lower().removeprefix("www.")
        return self._rows(
            "instr(words, ?) AND ? IN (\"case\", '') AND started >= ?"
            " AND (platform = ? OR substr(platform, -length(?)) = ? OR ? = '')",
            _folded(query),
            case,
            utc_text(since) if since else "",
            *(host, f".{host}", f".{host}", host),
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
        return rows[-1]["capture"] if rows and "interrupted" in rows[-1]["reasons"] else None

    def _add_stored(self, store: ObjectStore, key: str, entry: int) -> None:
        try:
            self.add(store.read(key), entry)
        except (FileNotFoundError, ManifestError) as error:
            log.warning("%s cannot be indexed (%s): run `akashi audit`", key, error)

    def _rows(self, condition: str, *values: object) -> list[dict[str, Any]]:
        query = f"SELECT * FROM captures WHERE {condition} ORDER BY entry"  # noqa: S608 - conditions are ours
        with self._thread:
            found = [dict(row) for row in self._db.execute(query, values)]
        for row in found:
            row["reasons"] = json.loads(row["reasons"])
            del row["words"]
        return found


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


def utc_text(text: str) -> str:
    """A date or time that a person wrote (ISO 8601, UTC unless it says otherwise) as the ledger writes it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", next="write 2026-11-23 or 2026-11-23T08:00Z") from error
    return utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
