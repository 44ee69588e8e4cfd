"""The video child: yt-dlp with recording handlers, in a process of its own.

    python -m pipelines.record.ytdlp_child  <job.json  >events.jsonl

stdin, one JSON object: pipelines/record/ytdlp_job.py. stdout, one JSON object a line:

    {"event": "progress", "text": "22 mp4", "done": 65536, "total": 102400}
    {"event": "file", "path": "…/0-22.mp4", "format_id": "22", "how": "https, HttpFD", "records": [4, 10]}
    {"event": "missing", "url": "https://…", "why": "…"}
    {"event": "reason", "code": "video-cut", "detail": "…"}
    {"event": "end", "info": {…}, "ytdlp": {"version": "…", "options": {…}, "extractor": "…"}}

`records` names by position, from one up to before the other, the records of the part that were
written while that file was downloaded.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

os.environ["YTDLP_NO_PLUGINS"] = "1"

from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.downloader.external import ExternalFD
from yt_dlp.downloader.rtmp import RtmpFD
from yt_dlp.utils import YoutubeDLError
from yt_dlp.version import __version__ as ytdlp_version

from pipelines.connections import lookup
from pipelines.record.sink import WarcSink
from pipelines.record.tee import Recorder, TooLargeError
from pipelines.record.ytdlp_errors import reason_of
from pipelines.record.ytdlp_job import Job
from pipelines.record.ytdlp_taps import NotRecordedError, RecordingYoutubeDL, refuse_other_programs

_ENTRIES: Final = 4
"""Videos of one post that are taken; the others are named as missing."""
_HINTS: Final = 6
_LOG_MAX: Final = 1 << 20
_PROGRESS_SECONDS: Final = 0.25
_DOWNLOAD_ERRORS: Final = (YoutubeDLError, TooLargeError, NotRecordedError, OSError)
_NOT_IN_OPTIONS: Final = frozenset({"logger", "progress_hooks", "format", "proxy", "paths"})


class StoppedError(Exception):
    """The parent asked us to stop; what was recorded is closed properly first."""


def options_of(job: Job) -> dict[str, Any]:
    """yt-dlp's options: the original bytes, fetched by recorded requests, nothing else."""
    return {
        "allow_playlist_files": False,
        "cachedir": False,
        "compat_opts": ["no-certifi"] if job.ca_file else [],
        "extractor_retries": 1,
        "file_access_retries": 0,
        "fixup": "never",
        "format": lambda context: iter(choose_formats(context["formats"])),
        "fragment_retries": 3,
        "geo_bypass": False,
        "hls_prefer_native": True,
        "ignoreerrors": False,
        "noplaylist": True,
        "noprogress": True,
        "playlist_items": f"1:{_ENTRIES}",
        "proxy": job.proxy,
        "quiet": False,
        "retries": 3,
        "skip_unavailable_fragments": False,
        "socket_timeout": job.timeout,
        "updatetime": False,
        "verbose": False,
    }


def choose_formats(formats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best original as the site serves it: one file, or picture and sound apart; never merged.

    `formats` come worst first, as yt-dlp sorts them. What only another program could fetch is
    chosen only if there is nothing else, and refused then with its reason.
    """
    media = [f for f in formats if f.get("vcodec") != "none" or f.get("acodec") != "none"]
    media = [f for f in media if f.get("protocol") != "mhtml" and not f.get("has_drm")]
    recordable = [f for f in media if not needs_other_program(f)] or media
    both = [f for f in recordable if f.get("vcodec") != "none" and f.get("acodec") != "none"]
    pictures = [f for f in recordable if f.get("acodec") == "none"]
    sounds = [f for f in recordable if f.get("vcodec") == "none"]
    if pictures and (not both or recordable.index(pictures[-1]) > recordable.index(both[-1])):
        return [pictures[-1], *sounds[-1:]]
    return both[-1:] or sounds[-1:]


def needs_other_program(info: dict[str, Any]) -> bool:
    """Whether yt-dlp would hand the format to ffmpeg or rtmpdump."""
    downloader = get_suitable_downloader(dict(info), {"hls_prefer_native": True})
    return downloader is None or issubclass(downloader, ExternalFD | RtmpFD)


class Child:
    """One run."""

    def __init__(self, job: Job, tell: Callable[..., None]) -> None:
        self._job = job
        self._tell = tell
        self._folder = Path(job.folder)
        spool = self._folder / "spool"
        spool.mkdir()
        self._sink = WarcSink(
            self._folder / job.part, spool=spool, capture_id=job.capture_id, warcinfo_id=job.warcinfo_id
        )
        log = Path(job.connections)
        self._recorder = Recorder(self._sink, lambda port: lookup(log, port) if job.proxy else None)
        self._log = Log()
        self._told = 0.0
        self._files = 0
        self._infos: list[dict[str, Any]] = []
        self._options = options_of(job)
        self._ydl = RecordingYoutubeDL(
            {**self._options, "logger": self._log, "progress_hooks": [self._progress]}, self._recorder
        )

    def run(self) -> None:
        """Download what the URL, else what the first hint that has a video, leads to."""
        try:
            reasons: list[tuple[str, str]] = []
            for url in [self._job.url, *self._job.hints[:_HINTS]]:
                reasons = self._one(url) or reasons
                if self._files:
                    break
            for code, detail in reasons:
                self._tell("reason", code=code, detail=detail)
        finally:
            self._recorder.end_all()
            self._finish()

    def _one(self, url: str) -> list[tuple[str, str]]:
        """Download the videos of one URL; gives the reasons why not all came."""
        self._recorder.allowed = self._job.max_bytes
        try:
            info = self._ydl.extract_info(url, download=False)
        except _DOWNLOAD_ERRORS as error:
            return [reason_of(error)]
        finally:
            self._recorder.end_all()
        reasons: list[tuple[str, str]] = []
        entries = list(self._entries(info or {}))
        for entry in entries:
            self._infos.append(entry)
            for chosen in choose_formats(entry.get("formats") or [entry]):
                reasons += self._download({**entry, **chosen})
        return reasons or ([] if self._files else [("no-video", f"yt-dlp found no video at {url}")])

    def _entries(self, info: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if info.get("_type", "video") == "video":
            if info:
                yield info
            return
        entries = [entry for entry in info.get("entries") or [] if entry]
        yield from entries
        count = info.get("playlist_count") or len(entries)
        if count > len(entries):
            why = f"{count - len(entries)} more videos of a list; the first {len(entries)} were taken"
            self._tell("missing", url=info.get("webpage_url") or self._job.url, why=why)

    def _download(self, info: dict[str, Any]) -> list[tuple[str, str]]:
        """Download one format; gives the reason why it did not come."""
        name = "-".join(
            re.sub(r"[^0-9A-Za-z]+", "_", str(info.get(key)))[:24] for key in ("format_id", "ext")
        )
        path = self._folder / "files" / f"{len(self._infos)}-{name}"
        path.parent.mkdir(exist_ok=True)
        first = len(self._sink.records)
        self._recorder.allowed = self._job.max_bytes
        try:
            if needs_other_program(info):
                raise NotRecordedError(f"{info.get('protocol')} needs a program that is not recorded")
            done, _ = self._ydl.dl(str(path), info)
        except _DOWNLOAD_ERRORS as error:
            return [reason_of(error)]
        finally:
            self._recorder.end_all()
        if not done or not path.is_file():
            return [("video-failed", self._log.last or "yt-dlp gave up without a word")]
        self._files += 1
        self._tell(
            "file",
            path=str(path),
            format_id=str(info.get("format_id") or ""),
            how=str(info.get("protocol") or ""),
            records=[first, len(self._sink.records)],
        )
        return []

    def _progress(self, status: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._told < _PROGRESS_SECONDS and status["status"] == "downloading":
            return
        self._told = now
        info = status.get("info_dict", {})
        total = status.get("total_bytes") or status.get("total_bytes_estimate") or 0
        text = f"{info.get('format_id', '')} {info.get('ext', '')}".strip()
        self._tell("progress", text=text, done=int(status.get("downloaded_bytes") or 0), total=int(total))

    def _finish(self) -> None:
        """Our own words go to the WARC too: what yt-dlp understood, was told, and said."""
        options = {k: v for k, v in self._options.items() if k not in _NOT_IN_OPTIONS}
        clean = [self._ydl.sanitize_info(info, remove_private_keys=True) for info in self._infos]
        for number, info in enumerate(clean):
            name = "info.json" if number == 0 else f"info-{number + 1}.json"
            self._sink.write_resource(name, "application/json", _json(info))
        self._sink.write_resource("yt-dlp-options.json", "application/json", _json(options))
        self._sink.write_resource("yt-dlp.log", "text/plain; charset=utf-8", self._log.text())
        self._sink.close()
        for origin, why in dict.fromkeys(self._recorder.unreached):
            self._tell("missing", url=origin, why=why)
        extractor = str(clean[0].get("extractor") or "") if clean else ""
        ytdlp = {"version": ytdlp_version, "options": options, "extractor": extractor}
        self._tell("end", info=_facts(clean[0]) if clean else {}, ytdlp=ytdlp)


class Log:
    """What yt-dlp says, in the interface that it wants; the first MiB is kept."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self.last = ""

    def debug(self, line: str) -> None:
        """Take a line of any kind."""
        self.last = line.strip() or self.last
        self._size += len(line)
        if self._size <= _LOG_MAX:
            self._lines.append(line)

    info = warning = error = debug

    def text(self) -> bytes:
        """All of it."""
        return "".join(f"{line}\n" for line in self._lines).encode("utf-8", "replace")


_FACTS: Final = (
    "id", "title", "description", "uploader", "uploader_id", "uploader_url", "channel", "channel_id",
    "channel_url", "timestamp", "upload_date", "duration", "view_count", "like_count", "comment_count",
    "repost_count", "webpage_url", "original_url", "extractor", "extractor_key", "availability",
    "live_status", "tags",
)  # fmt: skip


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of the video: whole numbers and strings, a fraction as a string."""
    facts: dict[str, Any] = {}
    for key in _FACTS:
        value = info.get(key)
        if isinstance(value, float):
            value = int(value) if value.is_integer() else repr(value)
        if isinstance(value, list):
            value = [str(one) for one in value[:100]]
        if value is not None:
            facts[key] = value
    return facts


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr).encode("utf-8", "replace")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise StoppedError


def main() -> int:
    """Run the job on stdin; 0 when it came to an end, whatever it brought."""
    signal.signal(signal.SIGTERM, _stop)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever prints must not disturb the events

    def tell(event: str, **facts: Any) -> None:
        out.write(json.dumps({"event": event, **facts}, ensure_ascii=True) + "\n")

    job = Job(**json.load(sys.stdin))
    if job.ca_file:
        os.environ["SSL_CERT_FILE"] = job.ca_file
    refuse_other_programs()
    try:
        Child(job, tell).run()
    except StoppedError:
        return 128 + signal.SIGTERM
    return 0


if __name__ == "__main__":
    sys.exit(main())
