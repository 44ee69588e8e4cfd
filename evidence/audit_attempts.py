"""Step 4 of the audit: each capture and crawl is started once, and closed at most once, by naming its start.

While entries pass, only starts that wait for their end are kept, and a print of each start. An end that
finds no such start, or a print that was there before, makes a suspect; what became of suspects is told
by passing the log once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evidence.audit_prints import Prints
from evidence.audit_reading import ENDS, STARTS, Told
from evidence.audit_report import Finding
from evidence.audit_segments import Stretch


class Attempts:
    """Which captures and crawls are started, and not closed."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, str]] = {}
        self._starts = Prints()
        self._suspects = set[str]()
        self.again = set[int]()
        """Entries that start or close what was started or closed before."""
        self.unstarted = set[str]()
        """Subjects that were closed, and of which no start is there."""

    @property
    def open(self) -> dict[str, str]:
        """By id, whether it is a capture or a crawl: under way, or dead and not yet recovered."""
        return {subject: kind.partition(".")[0] for subject, kind in self._open.values()}

    def follow(self, told: Told) -> None:
        """Go on to the next entry."""
        if told.type in STARTS:
            self._starts.add(told.rest)
            self._open[told.entry] = told.subject, told.type
        elif told.type in ENDS:
            subject, _ = self._open.get(told.started, ("", ""))
            if subject == told.subject:
                del self._open[told.started]
            else:
                self._suspects.add(told.subject)

    def settle(self, passing: Iterable[Stretch], damaged: Iterable[range]) -> Iterator[Finding]:
        """The findings, once all entries were followed; `passing` is the log once more, if it is needed."""
        twice = self._starts.twice()
        self._starts = Prints()
        if not twice and not self._suspects:
            return
        started, ended = dict[str, int](), set[str]()
        for stretch in passing:
            for told in stretch.told:
                kind, subject = told.type.partition(".")[0], told.subject
                if told.type in STARTS and (subject in self._suspects or told.rest in twice):
                    if subject in started:
                        self.again.add(told.entry)
                        detail = f"{kind} {subject}"
                        yield stretch.place(told.entry).finding(f"{kind}-started-twice", detail)
                    started.setdefault(subject, told.entry)
                elif told.type in ENDS and (subject in self._suspects or subject in started):
                    place, said = stretch.place(told.entry), told.started
                    if started.get(subject) != said and not any(said in lost for lost in damaged):
                        detail = f"entry {said} did not start {kind} {subject}"
                        yield place.finding(f"{kind}-not-started", detail)
                    if subject in ended:
                        self.again.add(told.entry)
                        yield place.finding(f"{kind}-closed-twice", f"{kind} {subject}")
                    ended.add(subject)
        self.unstarted = ended - started.keys()
        self._open = {at: what for at, what in self._open.items() if what[0] not in ended}
