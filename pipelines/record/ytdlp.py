"""Recording a video: yt-dlp in a child (pipelines/record/ytdlp_child.py), its exchanges into the capture's WARC.

The child tells of each exchange as it ends, large bodies by the name of a spool file, and a thread
here writes it. When the child has ended, however it ended, what it left half-received is filed as
cut short, and each file that it brought is tied to the records that hold its bytes
(pipelines/record/media.py). A file that cannot be tied is stored itself, and said not to be recorded.
What it says is judged by pipelines/record/ytdlp_inbox.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import certifi
import playwright

from evidence.reasons import Reason
from pipelines.child_python import python_argv
from pipelines.children import ChildResult, Limits, make_workdir, run_child
from pipelines.guard import Tunnel
from pipelines.record.limits import VIDEO_MEMORY
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp_inbox import Inbox, Progress, VideoRecord
from pipelines.record.ytdlp_wire import Job
from storage.settings import Settings

_FILE_SLACK: Final = 64 << 20
_SOCKET_SECONDS: Final = 20.0
_NODE: Final = Path(playwright.__file__).with_name("driver") / "node"
"""Pinned with Playwright, and there already: what runs players' own JavaScript (ADR 8)."""
_AT_ONCE: Final = 4
"""Segments of a video that are fetched at a time; a browser would take six."""


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

    What lay in `workdir` goes; files stay in it. Never raises for what a site does: that is
    in `reasons`. Raises OSError when the WARC cannot be written, UsageError when children cannot run.
    """
    shutil.rmtree(workdir, ignore_errors=True)  # an earlier child may have laid links in it
    make_workdir(workdir)
    job = Job(
        url=url,
        hints=[hint for hint in page_hints if hint.startswith(("http://", "https://")) and hint != url],
        folder=str(workdir),
        proxy=f"socks5h://127.0.0.1:{tunnel.port}",
        connections=str(tunnel.log),
        ca_file=_authorities(workdir),
        max_bytes=settings.max_bytes,
        client_emulation=settings.client_emulation,
        node=str(_NODE),
        at_once=_AT_ONCE,
        timeout=_SOCKET_SECONDS,
    )
    inbox = Inbox(sink, workdir, on_progress)
    result = None
    try:
        result = await run_child(
            python_argv("pipelines.record.ytdlp_child"),
            workdir=workdir,
            limits=Limits(
                cpu_s=int(settings.timeout) + 60,
                file_bytes=settings.max_bytes + _FILE_SLACK,
                memory_bytes=VIDEO_MEMORY,
            ),
            timeout=settings.timeout,
            on_line=inbox.line,
            stdin=json.dumps(asdict(job)).encode("utf-8"),
            env={"YTDLP_NO_PLUGINS": "1"},
        )
    finally:
        # On Ctrl-C as well: what was received is kept before the capture is closed.
        video = await asyncio.shield(asyncio.to_thread(inbox.finish))
    video.reasons += _reasons_of(result, settings, ended=inbox.ended)
    return video


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


def _authorities(workdir: Path) -> str:
    """With AKASHI_EXTRA_CA, a file of yt-dlp's own authorities and the extra ones; else empty. Raises OSError."""
    extra = os.environ.get("AKASHI_EXTRA_CA")
    if not extra:
        return ""
    path = workdir / "authorities.pem"
    with path.open("xb") as stream:
        stream.write(Path(certifi.where()).read_bytes() + b"\n" + Path(extra).read_bytes())
        os.fchmod(stream.fileno(), 0o644)
    return str(path)
