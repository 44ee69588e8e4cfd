"""The run of one video child: find the video, take its original formats, say what came of it.

Events go through `tell`; pipelines/record/ytdlp_child.py shows them.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.downloader.external import ExternalFD
from yt_dlp.downloader.rtmp import RtmpFD
from yt_dlp.utils import YoutubeDLError
from yt_dlp.version import __version__ as ytdlp_version

from pipelines.connections import lookup
from pipelines.record.exchange import Exchange
from pipelines.record.recording import Recorder
from pipelines.record.ytdlp_errors import reason_of
from pipelines.record.ytdlp_taps import NotRecordedError, RecordingYoutubeDL, refuse_other_programs
from pipelines.record.ytdlp_wire import Job

_ENTRIES: Final = 4
"""Videos of one post that are taken; the others are named as missing."""
_HINTS: Final = 6
_TEXT_MAX: Final = 4 << 20
"""Characters of one resource: a line to the parent has its limit."""
_PROGRESS_SECONDS: Final = 0.25
_DOWNLOAD_ERRORS: Final = (YoutubeDLError, NotRecordedError, OSError, MemoryError)
_LOG_MAX: Final = 1 << 20
_FACTS: Final = (
    "id", "title", "description", "uploader", "uploader_id", "uploader_url", "channel", "channel_id",
    "channel_url", "timestamp", "upload_date", "duration", "view_count", "like_count", "comment_count",
    "repost_count", "webpage_url", "original_url", "extractor", "extractor_key", "availability",
    "live_status", "tags",
)  # fmt: skip
"""What of yt-dlp's understanding the manifest states."""


def options_of(job: Job) -> dict[str, Any]:
    """yt-dlp's options: the original bytes, fetched by recorded requests, nothing else."""
    return {
        "cachedir": False,
        "compat_opts": ["no-certifi"] if job.ca_file else [],
        "extractor_retries": 1,
        "file_access_retries": 0,
        "fixup": "never",
        "fragment_retries": 3,
        "geo_bypass": False,
        "hls_prefer_native": True,
        "noplaylist": True,
        "noprogress": True,
        "playlist_items": f"1:{_ENTRIES}",
        "retries": 3,
        "skip_unavailable_fragments": False,
        "socket_timeout": job.timeout,
        "updatetime": False,
    }


def choose_formats(formats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best original as the site serves it: one file, or picture and sound apart; never merged.

    `formats` come worst first, as yt-dlp sorts them. What only another program could fetch is
    chosen only if there is nothing else, and refused then with its reason.
    """
    media = [f for f in formats if f.get("vcodec") != "none" or f.get("acodec") != "none"]
    media = [f for f in media if f.get("protocol") != "mhtml" and not f.get("has_drm")]
    recordable = [f for f in media if not _needs_other_program(f)] or media
    both = [f for f in recordable if f.get("vcodec") != "none" and f.get("acodec") != "none"]
    pictures = [f for f in recordable if f.get("acodec") == "none"]
    sounds = [f for f in recordable if f.get("vcodec") == "none"]
    if pictures and (not both or recordable.index(pictures[-1]) > recordable.index(both[-1])):
        return [pictures[-1], *sounds[-1:]]
    return both[-1:] or sounds[-1:]


def _needs_other_program(info: dict[str, Any]) -> bool:
    """Whether yt-dlp would hand the format to ffmpeg or rtmpdump."""
    downloader = get_suitable_downloader(dict(info), {"hls_prefer_native": True})
    return downloader is None or issubclass(downloader, ExternalFD | RtmpFD)


class Log:
    """What yt-dlp says, in the interface that it wants; the first MiB is kept."""

    def __init__(self) -> None:
        self.text = self.last = ""

    def debug(self, line: str) -> None:
        """Take a line of any kind."""
        self.last = line.strip() or self.last
        if len(self.text) + len(line) < _LOG_MAX:
            self.text += line + "\n"

    info = warning = error = debug


class Run:
    """One run."""

    def __init__(self, job: Job, tell: Callable[..., None]) -> None:
        self._job, self._tell = job, tell
        folder = Path(job.folder)
        self._files, spool = folder / "files", folder / "spool"
        for path in (self._files, spool):
            path.mkdir()
        self._recorder = Recorder(spool, self._give)
        signal.signal(signal.SIGTERM, self._recorder.stop)
        self._exchanges = self._downloaded = 0
        self._log = Log()
        self._told = 0.0
        self._infos: list[dict[str, Any]] = []
        self._options = options_of(job)
        refuse_other_programs()
        own = {
            "format": lambda context: iter(choose_formats(context["formats"])),
            "logger": self._log,
            "progress_hooks": [self._progress],
            "proxy": job.proxy,
        }
        log = Path(job.connections)
        self._ydl = RecordingYoutubeDL(
            {**self._options, **own}, self._recorder, lambda port: lookup(log, port)
        )

    def run(self) -> None:
        """Download what the URL, else what the first hint that has a video, leads to."""
        try:
            failures: list[tuple[str, str]] = []
            for url in [self._job.url, *self._job.hints[:_HINTS]]:
                reasons = self._one(url)
                if self._downloaded:
                    failures = reasons
                    break
                failures += reasons
            # A refused video says more than a page without one.
            failures.sort(key=lambda reason: reason[0] == "no-video")
            for code, detail in failures if self._downloaded else failures[:1]:
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
        for entry in self._entries(info or {"entries": []}):
            self._infos.append(entry)
            for chosen in choose_formats(entry.get("formats") or [entry]):
                reasons += self._download({**entry, **chosen})
        return reasons or ([] if self._downloaded else [("no-video", f"yt-dlp found no video at {url}")])

    def _entries(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        if "entries" not in info:
            return [info]
        entries = [entry for entry in info["entries"] if entry]
        more = (info.get("playlist_count") or 0) - len(entries)
        if more > 0:
            why = f"{more} more videos of a list; the first {len(entries)} were taken"
            self._tell("missing", url=info.get("webpage_url") or self._job.url, why=why)
        return entries

    def _download(self, info: dict[str, Any]) -> list[tuple[str, str]]:
        """Download one format; gives the reason why it did not come."""
        form, ext = (re.sub(r"[^0-9A-Za-z]+", "_", str(info.get(key)))[:24] for key in ("format_id", "ext"))
        path = self._files / f"{len(self._infos)}-{form}.{ext}"
        first = self._exchanges
        self._recorder.allowed = self._job.max_bytes
        try:
            done, _ = self._ydl.dl(str(path), info)
        except _DOWNLOAD_ERRORS as error:
            return [reason_of(error)]
        finally:
            self._recorder.end_all()
        if not done or not path.is_file():
            return [("video-failed", self._log.last or "yt-dlp gave up without a word")]
        self._downloaded += 1
        self._tell(
            "file",
            name=path.name,
            format_id=str(info.get("format_id") or ""),
            how=str(info.get("protocol") or ""),
            exchanges=[first, self._exchanges],
        )
        return []

    def _give(self, exchange: Exchange) -> None:
        """Send an exchange to the parent, which writes it."""
        self._tell("exchange", number=self._exchanges, exchange=exchange)
        self._exchanges += 1

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
        clean = [self._ydl.sanitize_info(info, remove_private_keys=True) for info in self._infos]
        for number, info in enumerate(clean, 1):
            self._resource("info.json" if number == 1 else f"info-{number}.json", _json(info))
        self._resource("yt-dlp-options.json", _json(self._options))
        self._resource("yt-dlp.log", self._log.text)
        for origin, why in dict.fromkeys(self._recorder.unreached):
            self._tell("missing", url=origin, why=why)
        first = clean[0] if clean else {}
        # No handler that impersonates is recorded yet, so none is installed, whatever was allowed.
        ytdlp = {
            "version": ytdlp_version,
            "options": self._options,
            "extractor": str(first.get("extractor") or ""),
            "client_emulation": {"allowed": self._job.client_emulation, "tls": False},
        }
        facts = {key: _fact(first[key]) for key in _FACTS if first.get(key) is not None}
        self._tell("end", info=facts, ytdlp=ytdlp)

    def _resource(self, name: str, text: str) -> None:
        if len(text) > _TEXT_MAX:
            self._tell("missing", url=name, why=f"{len(text)} characters are too many")
        else:
            self._tell("resource", name=name, text=text)


def _fact(value: Any) -> Any:
    """As a manifest can state it: whole numbers and strings, a fraction as a string."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return [str(one) for one in value[:100]] if isinstance(value, list) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
