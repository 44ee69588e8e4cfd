"""What the video's child tells, line by line: exchanges to the WARC at once, files tied when all is told.

    {"event": "exchange", "number": 3, "keep": true, "exchange": {…}}       (pipelines/record/ytdlp_wire.py)
    {"event": "file", "name": "0-22.mp4", "exchanges": [3, 9], "what": "video", "format_id": "22", "how": "…"}

The child parses fetched bytes, so what it says is taken for no more than it can be: names are of
the forms below, files are plain files in its own folder, a line that is no event ends the hearing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evidence.reasons import Reason
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.index import read_index
from pipelines.record.media import Tied, fill, media_type, tie
from pipelines.record.sink import WarcSink
from pipelines.record.spool import check_folders, open_folder
from pipelines.record.ytdlp_wire import CLIENT, count, decode_exchange

_FILE: Final = re.compile(r"[0-9]+-[0-9A-Za-z_]+\.[0-9A-Za-z_]+")
_RESOURCE: Final = re.compile(r"(?:info(?:-[0-9]+)?|yt-dlp-options)\.json|yt-dlp\.log")

_NONSENSE: Final = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What an event raises that is not of the form."""

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
    extras: list[dict[str, Any]] = field(default_factory=list)
    """Subtitles, captions, thumbnail, each one recorded answer: as the manifest's `files` state them."""
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
        self._bodies: dict[str, Path] = {}
        """By record id, the second name of a body, under which it outlives its way to the WARC."""
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
        except _NONSENSE as error:
            self._broken = True
            why = f"the downloader spoke nonsense: {type(error).__name__} {error}"
            self._video.reasons.append(Reason("video-failed", why))

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "progress":
                self._on_progress(event["text"], event["done"], event["total"])
            case "exchange":
                exchange = decode_exchange(event["exchange"], self._workdir / "spool")
                number, keep = count(event["number"]), event["keep"]
                self._written.append(self._writer.submit(self._write, number, exchange, keep=keep))
            case "resource":
                name, data = _known(_RESOURCE, event["name"]), event["text"].encode("utf-8", "replace")
                self._written.append(self._writer.submit(self._keep, name, data))
            case "file":
                _known(_FILE, event["name"])
                first, end = map(count, event["exchanges"])
                texts = {key: str(event[key]) for key in ("what", "format_id", "how")}
                self._files.append({**event, **texts, "exchanges": (first, end)})
            case "missing":
                self._video.missing.append(Missing(str(event["url"]), str(event["why"]), CLIENT))
            case "reason":
                self._video.reasons.append(Reason(event["code"], str(event["detail"])))
            case "end":
                self._video.info, self._video.ytdlp = {**event["info"]}, {**event["ytdlp"]}
                self.ended = True

    def finish(self) -> VideoRecord:
        """Wait for the sink, then settle leftovers and files. Raises OSError."""
        self._writer.shutdown()
        try:
            check_folders(self._workdir)
        except OSError as error:
            self._video.reasons.append(
                Reason("video-failed", f"the downloader took its folder away: {error}")
            )
            return self._video
        for written in self._written:
            written.result()
        for exchange in self._sink.salvage(self._workdir / "spool", CLIENT):
            if exchange.error:
                self._video.reasons.append(Reason("video-cut", f"{exchange.url}: {exchange.error}"))
        lines = {line["id"]: line for line in read_index(self._sink.path)} if self._files else {}
        for event in self._files:
            path, tied = self._tie(event, lines)
            if event["what"] != "video":
                self._extra(event, path, tied, lines)
            elif event.get("hollow") and not tied.records:
                why = f"{path.name} is not the bytes of recorded answers, and was not kept itself"
                self._video.reasons.append(Reason("video-not-recorded", why))
            else:
                self._video.files.append(self._file(event, path, tied))
        for body in (self._workdir / "files").glob("*.body"):
            body.unlink()
        return self._video

    def _write(self, number: int, exchange: Exchange, *, keep: bool) -> None:
        body, kept = exchange.response_body.path, self._workdir / "files" / f"{number}.body"
        with (  # the child lives, and may lay links
            open_folder(self._workdir) as own,
            open_folder("spool", own) as spool,
            open_folder("files", own) as files,
        ):
            if keep and body is not None:
                os.link(body.name, kept.name, src_dir_fd=spool, dst_dir_fd=files, follow_symlinks=False)
        _, response = self._sink.write_exchange(exchange)
        if response is not None:
            self._responses[number] = response.id
            if keep and body is not None:
                self._bodies[response.id] = kept

    def _keep(self, name: str, data: bytes) -> None:
        kind = "application/json" if name.endswith(".json") else "text/plain; charset=utf-8"
        self._sink.write_resource(name, kind, data)

    def _tie(self, event: dict[str, Any], lines: Mapping[str, dict[str, Any]]) -> tuple[Path, Tied]:
        path = self._workdir / "files" / event["name"]
        first, end = event["exchanges"]
        answers = [lines[one] for number, one in self._responses.items() if first <= number < end]
        if event.get("hollow"):
            return path, fill(path, self._sink.path, answers, self._bodies)
        return path, tie(path, self._sink.path, answers)

    def _extra(
        self, event: dict[str, Any], path: Path, tied: Tied, lines: Mapping[str, dict[str, Any]]
    ) -> None:
        if len(tied.records) != 1:
            why = f"{event['format_id']}: yt-dlp's own rendering of recorded answers"
            self._video.missing.append(Missing(path.name, why, CLIENT))
            return
        extra = {"name": path.name, "role": event["what"], "type": lines[tied.records[0]]["mime"]}
        facts = {
            "size": tied.size,
            "sha256": tied.sha256,
            "record": tied.records[0],
            "how": event["format_id"],
        }
        self._video.extras.append({**extra, **facts})

    def _file(self, event: dict[str, Any], path: Path, tied: Tied) -> MediaFile:
        kind, records = media_type(path), tied.records
        role = "original" if tied.ranges else "assembled"
        how = f"{event['how']}, {len(records)} recorded answers"
        if not records:
            records = (self._sink.write_resource(f"media/{path.name}", kind, path).id,)
            role, how = "", f"{event['how']}, the file itself"
            if tied.decrypted:
                role, how = "assembled", f"{event['how']}, the file itself: {tied.decrypted}"
            else:
                why = f"{path.name} is not the bytes of recorded answers"
                self._video.reasons.append(Reason("video-not-recorded", why))
        return MediaFile(path, role, kind, tied.sha256, tied.size, records, how, event["format_id"])


def _known(form: re.Pattern[str], name: str) -> str:
    """The name, if it is of that form. Raises ValueError."""
    if not form.fullmatch(name):
        raise ValueError(f"{name!r} is no name for this")
    return name
