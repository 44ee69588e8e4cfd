"""The site's media, made once by ffmpeg from its own test pictures: same recipe, same bytes.

Cached under the system's temporary folder by recipe and ffmpeg version, so that a second start is
instant and two processes at once do no harm (each file appears whole, by renaming).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_PICTURE: Final = {
    "one": "testsrc2=size=640x360:rate=25:duration=6",
    "two": "mandelbrot=size=640x360:rate=25:end_scale=0.02:end_pts=100,trim=duration=4",
    "three": "gradients=size=640x360:rate=25:duration=5:seed=7:c0=#141e4d:c1=#6a3d8f:c2=#ff7e5f:c3=#ffd59e"
    ":n=4:x0=320:y0=0:x1=320:y1=359:speed=0.002",
    "four": "life=size=80x45:rate=10:seed=8:mold=10:life_color=#ffd36e:death_color=#30336b:mold_color=#11142f"
    ":ratio=0.12,trim=duration=5,scale=640:360:flags=neighbor,fps=25",
    "five": "cellauto=size=320x180:rate=25:seed=3:rule=110:scroll=1"
    ",trim=duration=4,scale=640:360:flags=neighbor",
}
_TONE: Final = {"one": 440, "two": 523, "three": 659, "four": 392, "five": 330}
_SECONDS: Final = {"one": 6, "two": 4, "three": 5, "four": 5, "five": 4}

_EXACT: Final = [
    *["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
]
_H264: Final = [
    *["-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-pix_fmt", "yuv420p"],
    *["-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-threads", "1", "-b:v", "600k"],
]
_AAC: Final = ["-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-ac", "2"]
_COPY: Final = ["-c", "copy"]
_FRAGMENTS: Final = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"]
_NAMES: Final = [
    *[f"{name}.{ending}" for name in _PICTURE for ending in ("mp4", "jpg", "png")],
    *["hls/index.m3u8", *(f"hls/segment{n}.ts" for n in range(6)), "video.mp4", "audio.m4a"],
]


@dataclass(frozen=True)
class Media:
    """The folder of finished media and what lies in it, by name."""

    folder: Path

    def path(self, name: str) -> Path:
        """The file `name`, e.g. `one.mp4`, `one.jpg`, `hls/segment3.ts`. Raises FileNotFoundError."""
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(name)
        return path

    def read(self, name: str) -> bytes:
        """Its bytes; all clips are small, and many exchanges of a log share them."""
        return _read(self.path(name))


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def media() -> Media:
    """All clips, made now if they are not there. Raises CalledProcessError when ffmpeg fails."""
    steps = _steps()
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True).stdout.split(b"\n")[0]
    key = hashlib.sha256(repr((steps, version)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"akashi-site-media-{os.geteuid()}-{key}"
    if not _whole(folder):
        making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        (making / "hls").mkdir()
        for arguments in steps:
            command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments]
            subprocess.run(command, cwd=making, check=True, stdin=subprocess.DEVNULL)
        making.chmod(0o755)
        if not _whole(folder):  # else another process was first; its bytes are the same
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                making.rename(folder)
        shutil.rmtree(making, ignore_errors=True)
    return Media(folder)


def _whole(folder: Path) -> bool:
    """Whether everything is still there: systems tidy their temporary folder, file by file."""
    return all((folder / name).is_file() for name in _NAMES)


def _steps() -> list[list[str]]:
    """ffmpeg's arguments, one list a run, paths relative to the folder."""
    steps = [_clip(name) for name in _PICTURE]
    for name in _PICTURE:
        still = ["-ss", "1.5", "-i", f"{name}.mp4", "-frames:v", "1", *_EXACT]
        steps.append([*still, "-q:v", "4", f"{name}.jpg", *still[4:], "-vf", "scale=160:90", f"{name}.png"])
    steps.append(
        [
            *["-i", "one.mp4", *_COPY, *_EXACT, "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"],
            *[
                "-hls_flags",
                "independent_segments",
                "-hls_segment_filename",
                "hls/segment%d.ts",
                "hls/index.m3u8",
            ],
        ]
    )
    steps.append(["-i", "five.mp4", "-an", *_COPY, *_EXACT, *_FRAGMENTS, "video.mp4"])
    steps.append(["-i", "five.mp4", "-vn", *_COPY, *_EXACT, *_FRAGMENTS, "audio.m4a"])
    return steps


def _clip(name: str) -> list[str]:
    return [
        *["-f", "lavfi", "-i", _PICTURE[name]],
        *["-f", "lavfi", "-i", f"sine=frequency={_TONE[name]}:sample_rate=44100:duration={_SECONDS[name]}"],
        *[*_H264, *_AAC, "-shortest", *_EXACT, "-movflags", "+faststart", f"{name}.mp4"],
    ]
