"""Step 4 of the audit: no entry claims to be older than a timestamp that stands before it.

    entry 5   capture.started  says 09:40: entry 7 shows that it existed at 08:13 (step 9 says so)
    entry 7   anchor.tsr       an authority's time, 08:13 (its token is audited in step 9)
    entry 9   capture.started  says 07:20: it was written behind entry 7, so not before 08:13

An entry's own time is the keeper's word. A timestamp in the log bounds that of all that follow, whatever
clock wrote it: that is how a capture that was dated back shows, be it the only one.
"""

from __future__ import annotations

from collections.abc import Container

from evidence.audit_anchors import TOLERANCE
from evidence.audit_reading import Told
from evidence.audit_report import Finding
from evidence.audit_segments import Stretch
from evidence.canonical import parse_utc
from evidence.entry import ANCHOR, Entry


class EntryClock:
    """`findings`: the entries that claim to be earlier than an outside time before them, by more than TOLERANCE."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.sizes: Container[int] = ()
        """Those of checkpoints."""
        self.latest: dict[int, tuple[str, int]] = {}
        """By such a size: the latest time that an entry below it claims, and that entry's index."""
        self._outside, self._latest = "", ("", 0)

    def follow(self, told: Told, stretch: Stretch) -> None:
        """Go on to the next entry, of this stretch."""
        if told.time < self._outside and parse_utc(self._outside) - parse_utc(told.time) > TOLERANCE:
            detail = f"claims to be of {told.time}, behind a timestamp of {self._outside}"
            self.findings.append(stretch.place(told.entry).finding("entry-clock", detail))
        self._latest = max(self._latest, (told.time, told.entry))
        if told.entry + 1 in self.sizes:
            self.latest[told.entry + 1] = self._latest
        if told.type == ANCHOR:
            self._outside = max(self._outside, Entry.decode(told.rest).body["time"])
