"""Step *video*: a yt-dlp child downloads the original formats; its exchanges go to the same WARC."""

from __future__ import annotations

from typing import Final

from evidence.reasons import Reason
from pipelines.capture import Capture
from pipelines.page import open_sink, open_tunnel, remember_connections
from pipelines.record.ytdlp import record_video
from pipelines.runtime import Runtime

_GONE: Final = "page-gone"


async def record_the_video(capture: Capture, runtime: Runtime) -> str:
    """Record the video unless it was not asked for or the page is gone; facts in `facts["video"]`."""
    if runtime.options.no_video:
        capture.note(Reason("no-video-requested"))
        return "left out by --no-video"
    if any(reason.code == _GONE for reason in capture.reasons):
        return "left out: the page is gone"
    url = capture.facts.get("page", {}).get("final") or capture.candidate.url
    async with open_tunnel(capture, runtime) as tunnel:
        video = await record_video(
            url,
            sink=open_sink(capture, runtime),
            workdir=capture.work / "video",
            tunnel=tunnel,
            settings=runtime.settings,
            page_hints=[*capture.facts.get("page", {}).get("hints", []), *capture.candidate.hints],
            on_progress=lambda text, done, total: runtime.listener(
                capture.candidate.url, "video", text, done=done, total=total
            ),
        )
        remember_connections(capture, tunnel)
    for reason in video.reasons:
        capture.note(reason)
    capture.live["media"] = list(video.files)
    capture.facts["video_files"] = video.extras
    capture.facts["video"] = {
        "info": video.info,
        "missing": [missing.as_json() for missing in video.missing],
        "yt_dlp": video.ytdlp,
    }
    return f"{len(video.files)} files, {sum(f.size for f in video.files)} bytes"
