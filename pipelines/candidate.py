"""The item that flows through `ITEM_PIPELINES`: what a spider or a person named, then what became of it.

The first half is filled by the spider, the second by the pipelines. It is what `-o found.jsonl`
and `akashi capture --json` print: one object per subject, also when refused (ids null).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Candidate:
    """A post that may be captured."""

    url: str
    spider: str = ""
    query: str = ""
    """Where it was found: the feed's or listing's URL; empty when a person named it."""
    rank: int = 0
    """Position in that feed or listing, or on the command line, from 1."""
    found_at: str = ""
    """UTC, when the spider saw it."""
    title: str = ""
    hints: list[str] = field(default_factory=list)
    """Video URLs that the feed or the page names."""
    named_by_person: bool = False
    """A person's URL is always captured again; a crawl skips what is captured already."""

    capture: str | None = None
    final_url: str | None = None
    outcome: str | None = None
    reasons: list[dict[str, str]] = field(default_factory=list)
    warc: str | None = None
    """Object key of the WARC; `sha256` and `bytes` are the WARC's."""
    sha256: str | None = None
    bytes: int | None = None
    media: list[dict[str, Any]] = field(default_factory=list)
    manifest: str | None = None
    entry: int | None = None
    """Index of the ledger entry that closes the capture."""

    def found_by(self, crawl: dict[str, str] | None) -> dict[str, Any] | None:
        """The discovery path for the manifest, with the crawl that recorded it; None for a person's URL."""
        if self.named_by_person:
            return None
        path = {"spider": self.spider, "query": self.query, "rank": self.rank, "time": self.found_at}
        return path | ({"crawl": crawl} if crawl else {})
