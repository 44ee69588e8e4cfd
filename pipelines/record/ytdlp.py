"""Recording a video: yt-dlp in a child (pipelines/record/ytdlp_child.py), its exchanges into the capture's WARC.

The child writes a WARC part of its own; when it has ended, however it ended, the part is appended
to the capture's WARC, what it left half-received is filed as cut short, and each file that it
brought is tied to the records that hold its bytes (pipelines/record/media.py). A file that cannot
be tied is stored itself, and said not to be recorded.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import certifi

from evidence.reasons import Reason
from pipelines.children import ChildResult, Limits, make_workdir, python_argv, run_child
from pipelines.guard import Tunnel
from pipelines.record.exchange import Missing
from pipelines.record.index import read_index
from pipelines.record.media import media_type, tie
from pipelines.record.sink import WarcSink, trim_torn_tail
from pipelines.record.spool import salvage
from pipelines.record.ytdlp_job import Job
from storage.settings import Settings

_PART: Final = "part.warc.gz"
_CLIENT: Final = "yt-dlp"
_SOCKET_SECONDS: Final = 20.0
_MEMORY: Final = 2 << 30

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


async def record_video(
    url: str,
    *,
    sink: WarcSink,
    workdir: Path,
    tunnel: Tunnel,
    settings: Settings,
    page_hints: Sequence[str] = (),
    on_progress: Progress = lambda _what, _done, _total: None,
) -> VideoRecord:
    """Download the original formats of the video at `url`, else at the first hint that leads to one.

    `workdir` must be empty or not there; files stay in it. Never raises for what a site does: that is
    in `reasons`. Raises OSError when the WARC cannot be written, UsageError when children cannot run.
    """
    make_workdir(workdir)
    events: list[dict[str, Any]] = []
    job = Job(
        url=url,
        hints=[hint for hint in page_hints if hint.startswith(("http://", "https://")) and hint != url],
        folder=str(workdir),
        part=_PART,
        capture_id=sink.capture_id,
        warcinfo_id=sink.warcinfo_id,
        proxy=f"socks5h://127.0.0.1:{tunnel.port}",
        connections=str(tunnel.log),
        ca_file=_authorities(workdir),
        max_bytes=settings.max_bytes,
        client_emulation=settings.client_emulation,
        timeout=_SOCKET_SECONDS,
    )

    def on_line(line: str) -> None:
        event = json.loads(line)
        if event["event"] == "progress":
            on_progress(event["text"], event["done"], event["total"])
        else:
            events.append(event)

    result = None
    try:
        result = await run_child(
            python_argv("pipelines.record.ytdlp_child"),
            workdir=workdir,
            limits=Limits(
                cpu_s=int(settings.timeout), file_bytes=_file_limit(settings), memory_bytes=_MEMORY
            ),
            timeout=settings.timeout,
            on_line=on_line,
            stdin=json.dumps(asdict(job)).encode("utf-8"),
            env={"YTDLP_NO_PLUGINS": "1"},
        )
    finally:
        # On Ctrl-C as well: what was received is kept before the capture is closed.
        video = await asyncio.shield(asyncio.to_thread(_collect, sink, workdir, events))
    video.reasons += _reasons_of(result, settings, ended=any(e["event"] == "end" for e in events))
    return video


def _collect(sink: WarcSink, workdir: Path, events: Sequence[dict[str, Any]]) -> VideoRecord:
    """Append the part and what was half-received; tie the files to their records."""
    video, part = VideoRecord(), workdir / _PART
    lines: list[dict[str, Any]] = []
    if part.exists():
        torn = trim_torn_tail(part) if not any(event["event"] == "end" for event in events) else 0
        if torn:
            video.missing.append(Missing("", f"{torn} bytes of a record that was being written", _CLIENT))
        lines = read_index(part)
        sink.append_part(part)
    for exchange in salvage(workdir / "spool"):
        sink.write_exchange(exchange)
        video.reasons.append(Reason("video-cut", f"{exchange.url}: {exchange.error}"))
    for event in events:
        match event["event"]:
            case "file":
                first, end = event["records"]
                video.files.append(_file(sink, part, event, lines[first:end], video))
            case "missing":
                video.missing.append(Missing(event["url"], event["why"], _CLIENT))
            case "reason":
                video.reasons.append(Reason(event["code"], event["detail"]))
            case "end":
                video.info, video.ytdlp = event["info"], event["ytdlp"]
    part.unlink(missing_ok=True)
    return video


def _file(
    sink: WarcSink, part: Path, event: dict[str, Any], lines: Sequence[dict[str, Any]], video: VideoRecord
) -> MediaFile:
    path = Path(event["path"])
    tied, kind = tie(path, part, lines), media_type(path)
    role, records, how = "", tied.records, ""
    if tied.records:
        role = "original" if tied.ranges else "assembled"
        how = f"{event['how']}, {len(records)} records"
    else:
        ref = sink.write_resource(f"media/{path.name}", kind, path, sha256=tied.sha256)
        records, how = (ref.id,), f"{event['how']}, the file itself"
        video.reasons.append(
            Reason("video-not-recorded", f"{path.name} is not the bytes of recorded answers")
        )
    return MediaFile(path, role, kind, tied.sha256, tied.size, records, how, event["format_id"])


def _reasons_of(result: ChildResult | None, settings: Settings, *, ended: bool) -> list[Reason]:
    """Why the child did not come to its end, if it did not."""
    if result is None or (result.code == 0 and ended):
        return []
    if result.killed == "timeout":
        return [Reason("video-cut", f"the {settings.timeout:.0f} seconds allowed were over")]
    if result.killed == "file-size":
        return [Reason("video-too-large", "a file grew beyond the limit")]
    tail = result.stderr_tail.strip().splitlines()[-1:]
    return [
        Reason("video-failed", f"the downloader ended with {result.killed or result.code}: {''.join(tail)}")
    ]


def _file_limit(settings: Settings) -> int:
    """Bytes of the largest file that the child may write: its part, with every format and entry in it."""
    return 4 * settings.max_bytes + (256 << 20)


def _authorities(workdir: Path) -> str:
    """With AKASHI_EXTRA_CA, a file of yt-dlp's own authorities and the extra ones; else empty. Raises OSError."""
    extra = os.environ.get("AKASHI_EXTRA_CA")
    if not extra:
        return ""
    path = workdir / "authorities.pem"
    path.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + Path(extra).read_bytes())
    path.chmod(0o644)
    return str(path)
