"""Step *inspect*: digests and ffprobe's facts of every media file, off the untouched bytes.

A file that no player takes as it is (HLS segments in a row, separate video and audio) also gets
the recipe of a playable copy: a bit-exact ffmpeg command over named inputs and the digest of
what it gave. The copy itself is not kept: whoever wants it makes it again and compares.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from evidence.digests import digest_file
from evidence.reasons import Reason
from pipelines.capture import Capture
from pipelines.children import Limits, run_child
from pipelines.record.ytdlp_inbox import MediaFile
from pipelines.runtime import Runtime, in_thread

_PROBE: Final = ("ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams")
_PROBE_KEYS: Final = frozenset(
    {
        "avg_frame_rate",
        "channels",
        "codec_name",
        "codec_type",
        "duration",
        "format_name",
        "height",
        "nb_frames",
        "pix_fmt",
        "sample_rate",
        "tags",
        "width",
    }
)
_PLAYABLE: Final = frozenset({"video/mp4", "video/webm"})


async def inspect(capture: Capture, _: Runtime) -> str:
    """Probe each media file and describe its playable copy; facts in `facts["media"]`."""
    files: Sequence[MediaFile] = capture.live.get("media", ())
    media = [await _describe(file, capture) for file in files]
    if files and (len(files) > 1 or files[0].type not in _PLAYABLE):
        derivative = await _playable_copy(files, capture)
        if derivative is not None:
            media.append(derivative)
    capture.facts["media"] = media
    return f"{len(media)} media files"


async def _describe(file: MediaFile, capture: Capture) -> dict[str, Any]:
    return {
        "bytes": file.size,
        "format_id": file.format_id,
        "how": file.how,
        "name": file.path.name,
        "probe": await _probe(file.path, capture),
        "records": list(file.records),
        "role": file.role or "assembled",  # not tied to exchanges: kept whole, and the reasons say so
        "sha256": file.sha256,
        "type": file.type,
    }


async def _probe(path: Path, capture: Capture) -> dict[str, Any]:
    """What ffprobe says of the container and its streams; empty, with a reason, when it cannot tell."""
    if shutil.which("ffprobe") is None:
        capture.note(Reason("inspect-failed", "ffprobe is not installed: run make setup"))
        return {}
    lines: list[str] = []
    result = await run_child(
        [*_PROBE, str(path)], workdir=capture.work, limits=Limits(cpu_s=60), timeout=120, on_line=lines.append
    )
    if result.code != 0:
        capture.note(Reason("inspect-failed", f"ffprobe of {path.name}: {result.stderr_tail.strip()[-200:]}"))
        return {}
    found = json.loads("\n".join(lines))
    return {
        "format": _chosen(found.get("format", {})),
        "streams": [_chosen(s) for s in found.get("streams", [])],
    }


def _chosen(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key in _PROBE_KEYS}


def playable_command(inputs: Sequence[str], output: str) -> list[str]:
    """The ffmpeg command of a playable copy: streams copied, nothing re-encoded, the same bytes each time.

    `-bitexact` leaves out what varies (version strings, times); `+faststart` lets a player seek.
    """
    sources = [part for name in inputs for part in ("-i", name)]
    maps = [part for number in range(len(inputs)) for part in ("-map", str(number))]
    exact = ["-c", "copy", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"]
    return [
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        *sources,
        *maps,
        *exact,
        "-movflags",
        "+faststart",
        "-f",
        "mp4",
        output,
    ]


async def make_playable(inputs: Sequence[Path], output: Path, workdir: Path) -> str:
    """Run the recipe in a child; gives an empty string, or what ffmpeg said when it failed."""
    result = await run_child(
        playable_command([str(path) for path in inputs], str(output)),
        workdir=workdir,
        limits=Limits(cpu_s=600),
        timeout=900,
    )
    return "" if result.code == 0 else result.stderr_tail.strip()[-300:] or f"exit {result.code}"


async def _playable_copy(files: Sequence[MediaFile], capture: Capture) -> dict[str, Any] | None:
    if shutil.which("ffmpeg") is None:
        capture.note(Reason("derivative-failed", "ffmpeg is not installed: run make setup"))
        return None
    output = capture.work / "video" / "playable.mp4"
    said = await make_playable([file.path for file in files], output, capture.work)
    if said:
        capture.note(Reason("derivative-failed", said))
        return None
    digests = await in_thread(digest_file, output)
    output.unlink()
    command = playable_command([file.sha256 for file in files], "playable.mp4")
    return {
        "bytes": digests.size,
        "format_id": "",
        "how": " ".join(command),
        "name": "playable.mp4",
        "probe": {},
        "records": [],
        "role": "derivative",
        "sha256": digests.sha256,
        "type": "video/mp4",
    }
