"""The run of one video child: find the video, take its original formats, say what came of it.

Events go through `tell`; pipelines/record/ytdlp_child.py shows them.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Final

from yt_dlp.networking.exceptions import RequestError
from yt_dlp.utils import YoutubeDLError, determine_ext
from yt_dlp.version import __version__ as ytdlp_version

from pipelines.connections import lookup
from pipelines.record.exchange import Exchange
from pipelines.record.recording import Recorder
from pipelines.record.ytdlp_choice import EXTRAS, Extra, choose_extras, choose_formats
from pipelines.record.ytdlp_errors import reason_of
from pipelines.record.ytdlp_policy import (
    ChallengeError,
    LiveError,
    NotRecordedError,
    in_one_piece,
    invent_nothing,
    recordable,
    refuse_the_rest,
)
from pipelines.record.ytdlp_taps import RecordingYoutubeDL
from pipelines.record.ytdlp_wire import Job

_ENTRIES: Final = 4
"""Videos of one post that are taken; the others are named as missing."""
_HINTS: Final = 6
_TEXT_MAX: Final = 4 << 20
"""Characters of one resource: a line to the parent has its limit."""
_PROGRESS_SECONDS: Final = 0.25
_DOWNLOAD_ERRORS: Final = (YoutubeDLError, RequestError, ChallengeError, LiveError, OSError, MemoryError)
_NOT_YET: Final = frozenset({"is_live", "is_upcoming"})
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
        "concurrent_fragment_downloads": job.at_once,
        "extractor_retries": 1,
        "file_access_retries": 0,
        "fixup": "never",
        "fragment_retries": 3,
        "geo_bypass": False,
        "hls_prefer_native": True,
        "js_runtimes": {"node": {"path": job.node}},
        "noplaylist": True,
        "noprogress": True,
        "playlist_items": f"1:{_ENTRIES}",
        "retries": 3,
        "skip_unavailable_fragments": False,
        "socket_timeout": job.timeout,
        "updatetime": False,
        "writeautomaticsub": True,
        "writesubtitles": True,
    }


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
        self._giving = Lock()
        self._hollow = False
        self._log = Log()
        self._told = 0.0
        self._infos: list[dict[str, Any]] = []
        self._options = options_of(job)
        refuse_the_rest(job.proxy, job.node)
        if not job.client_emulation:
            invent_nothing()
        own = {
            "format": lambda context: iter(choose_formats(context["formats"])),
            "logger": self._log,
            "progress_hooks": [self._progress],
            "proxy": job.proxy,
        }
        log = Path(job.connections)
        self._ydl = RecordingYoutubeDL(
            {**self._options, **own},
            self._recorder,
            lambda port: lookup(log, port),
            emulation=job.client_emulation,
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
            reasons += self._video(entry)
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

    def _video(self, entry: dict[str, Any]) -> list[tuple[str, str]]:
        """Download the files of one video; gives the reasons why not all came."""
        if entry.get("live_status") in _NOT_YET or entry.get("is_live"):
            return [reason_of(LiveError(f"{entry.get('webpage_url')} is live, or is yet to begin"))]
        reasons: list[tuple[str, str]] = []
        for chosen in choose_formats(entry.get("formats") or [entry]):
            reasons += self._download({**entry, **chosen, "what": "video"})
        if reasons:
            return reasons
        extras = choose_extras(entry)
        for extra in islice(extras, EXTRAS):
            reasons += self._extra(extra, entry)
        for extra in extras:
            self._tell("missing", url=extra.places[0]["url"], why=f"{extra.what}: {EXTRAS} others were taken")
        return reasons

    def _extra(self, extra: Extra, entry: dict[str, Any]) -> list[tuple[str, str]]:
        """Download something beside the video, from the first place that has it."""
        failures: list[tuple[str, str]] = []
        for place in extra.places:
            ext = place.get("ext") or determine_ext(place["url"], "jpg")
            info = {"http_headers": entry.get("http_headers"), **place, "ext": ext, "format_id": extra.what}
            failures = self._download({**info, "what": extra.what.partition(" ")[0]})
            if not failures:
                return []
        return [("video-extra-failed", f"{extra.what}: {failures[-1][1]}")]

    def _download(self, info: dict[str, Any]) -> list[tuple[str, str]]:
        """Download one file; gives the reason why it did not come."""
        what = info["what"]
        form, ext = (re.sub(r"[^0-9A-Za-z]+", "_", str(info.get(key)))[:24] for key in ("format_id", "ext"))
        path = self._files / f"{len(self._infos)}-{form}.{ext}"
        first = self._exchanges
        self._recorder.allowed = self._job.max_bytes
        try:
            if not recordable(info):
                raise NotRecordedError(f"{info['protocol']} would be fetched beside the taps")
            self._hollow = what == "video" and in_one_piece(info)
            if self._hollow:
                done = self._ydl.download_hollow(path, info)
            else:
                done, _ = self._ydl.dl(str(path), info, subtitle=what != "video")
        except _DOWNLOAD_ERRORS as error:
            return [reason_of(error)]
        finally:
            self._recorder.end_all()
            hollow, self._hollow = self._hollow, False
        if not (done or what != "video") or not path.is_file():  # of subtitles it does not say
            return [("video-failed", self._log.last or "yt-dlp gave up without a word")]
        self._downloaded += what == "video"
        self._tell(
            "file",
            what=what,
            hollow=hollow,
            name=path.name,
            format_id=str(info.get("format_id") or ""),
            how=str(info.get("protocol") or ""),
            exchanges=[first, self._exchanges],
        )
        return []

    def _give(self, exchange: Exchange) -> None:
        """Send an exchange to the parent, which writes it."""
        with self._giving:
            self._tell("exchange", number=self._exchanges, keep=self._hollow, exchange=exchange)
            self._exchanges += 1

    def _progress(self, status: dict[str, Any]) -> None:
        now, info = time.monotonic(), status.get("info_dict", {})
        too_soon = now - self._told < _PROGRESS_SECONDS and status["status"] == "downloading"
        if too_soon or info.get("what") != "video":
            return
        self._told = now
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
        node = self._ydl._js_runtimes["node"]  # noqa: SLF001  # asked for its version only if it was needed
        ytdlp = {
            "version": ytdlp_version,
            "options": self._options,
            "extractor": str(first.get("extractor") or ""),
            "client_emulation": self._job.client_emulation,
            "javascript": f"node {node.info.version}" if "info" in vars(node) and node.info else "",
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
