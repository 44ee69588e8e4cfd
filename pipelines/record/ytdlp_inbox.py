"""What the video child tells, and what becomes of it: exchanges to the sink, files to their records.

The child parses fetched bytes, so what it says is taken for no more than it can be: names are of
the forms below, files are plain files in its own folder, a line that is no event ends the hearing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evidence.reasons import Reason
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.index import read_index
from pipelines.record.media import media_type, tie
from pipelines.record.sink import WarcSink
from pipelines.record.spool import salvage
from pipelines.record.ytdlp_wire import CLIENT, decode_exchange

_FILE: Final = re.compile(r"[0-9]+-[0-9A-Za-z_]+\.[0-9A-Za-z_]+")
_RESOURCE: Final = re.compile(r"(?:info(?:-[0-9]+)?|yt-dlp-options)\.json|yt-dlp\.log")

Progress = Callable[[str, int, int], None]
"""Called with (what, bytes so far, bytes in all or 0)."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A media file as it was served: `role` is `original`, `assembled`, or empty when nothing recorded ties it."""

    path: Path
    role: str
    type: str
    sha256: str
    size: int
    records: tuple[str, ...]
    """Ids of the records whose contents, in order, are the file."""
    how: str
    format_id: str


@dataclass(slots=True)
class VideoRecord:
    """What became of the video."""

    files: list[MediaFile] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    """What the site says of it: strings, whole numbers, lists of strings."""
    missing: list[Missing] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    ytdlp: dict[str, Any] = field(default_factory=dict)
    """`version`, `options`, `extractor`."""


class Inbox:
    """What the child tells: exchanges go to the sink at once, in one thread; the rest when all is told."""

    def __init__(self, sink: WarcSink, workdir: Path, on_progress: Progress) -> None:
        self._sink, self._workdir, self._on_progress = sink, workdir, on_progress
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="video-sink")
        self._written: list[Future[None]] = []
        self._responses: dict[int, str] = {}
        """Record ids of the answers by the exchange's number."""
        self._files: list[dict[str, Any]] = []
        self._video = VideoRecord()
        self._broken = False
        self.ended = False
        """Whether the child said all that it had to say."""

    def line(self, line: str) -> None:
        """Take one event; a line that is none is a reason, and the last that is listened to."""
        if self._broken:
            return
        try:
            self._take(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            self._broken = True
            why = f"the downloader spoke nonsense: {type(error).__name__} {error}"
            self._video.reasons.append(Reason("video-failed", why))

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "progress":
                self._on_progress(event["text"], event["done"], event["total"])
            case "exchange":
                exchange = decode_exchange(event["exchange"], self._workdir / "spool")
                self._written.append(self._writer.submit(self._write, event["number"], exchange))
            case "resource":
                name, data = _known(_RESOURCE, event["name"]), event["text"].encode("utf-8", "replace")
                self._written.append(self._writer.submit(self._keep, name, data))
            case "file":
                _known(_FILE, event["name"])
                self._files.append(event)
            case "missing":
                self._video.missing.append(Missing(event["url"], event["why"], CLIENT))
            case "reason":
                self._video.reasons.append(Reason(event["code"], event["detail"]))
            case "end":
                self._video.info, self._video.ytdlp = event["info"], event["ytdlp"]
                self.ended = True

    def finish(self) -> VideoRecord:
        """Wait for the sink, then settle leftovers and files. Raises OSError."""
        self._writer.shutdown()
        for written in self._written:
            written.result()
        for exchange in salvage(self._workdir / "spool"):
            self._sink.write_exchange(exchange)
            self._video.reasons.append(Reason("video-cut", f"{exchange.url}: {exchange.error}"))
        lines = {line["id"]: line for line in read_index(self._sink.path)} if self._files else {}
        self._video.files += [self._file(event, lines) for event in self._files]
        return self._video

    def _write(self, number: int, exchange: Exchange) -> None:
        _, response = self._sink.write_exchange(exchange)
        if response is not None:
            self._responses[number] = response.id

    def _keep(self, name: str, data: bytes) -> None:
        kind = "application/json" if name.endswith(".json") else "text/plain; charset=utf-8"
        self._sink.write_resource(name, kind, data)

    def _file(self, event: dict[str, Any], lines: Mapping[str, dict[str, Any]]) -> MediaFile:
        path = self._workdir / "files" / event["name"]
        first, end = event["exchanges"]
        answers = [lines[one] for number, one in self._responses.items() if first <= number < end]
        tied = tie(path, self._sink.path, answers)
        kind, records = media_type(path), tied.records
        role = "original" if tied.ranges else "assembled"
        how = f"{event['how']}, {len(records)} recorded answers"
        if not records:
            records = (self._sink.write_resource(f"media/{path.name}", kind, path).id,)
            role, how = "", f"{event['how']}, the file itself"
            why = f"{path.name} is not the bytes of recorded answers"
            self._video.reasons.append(Reason("video-not-recorded", why))
        return MediaFile(path, role, kind, tied.sha256, tied.size, records, how, event["format_id"])


def _known(form: re.Pattern[str], name: str) -> str:
    """The name, if it is of that form. Raises ValueError."""
    if not form.fullmatch(name):
        raise ValueError(f"{name!r} is no name for this")
    return name
