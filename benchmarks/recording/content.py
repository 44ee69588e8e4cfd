"""The site of posts that every tool is sent to, made once by one recipe: same seed, same bytes.

    /p/1 … /p/20   4 pictures of noise (59 KB), JSON that a script fetches, a video of 5,320,815 bytes, each another
    /p/big         the same with a video of 102,000,000 bytes
    /p/hls         the same with 5 HLS segments, which a page cannot play without a script: the tools find the list

Every page names its video three times, as platforms do: og:video, JSON-LD, `<video autoplay>`.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Final

POSTS: Final = 20
VIDEO_BYTES: Final = 5_320_815
BIG_BYTES: Final = 102_000_000
_PICTURE_SIDE: Final = 140
"""Pixels; three bytes of noise each are 59 KB that no compression makes smaller."""
_SECONDS: Final = 10
_LOOPS: Final = 18
_EXACT: Final = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1"]
_FREE_HEADER: Final = 8


def build(folder: Path) -> None:
    """Make the site in `folder`, unless it is there. Raises CalledProcessError, OSError."""
    stamp = folder / "made"
    if stamp.exists() and stamp.read_text("ascii") == _recipe():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("p", "media", "pictures", "api"):
        (folder / name).mkdir(parents=True)
    noise = random.Random(20261122)  # noqa: S311
    clip, long = folder / "clip.mp4", folder / "long.mp4"
    _film(clip)
    _ffmpeg("-stream_loop", str(_LOOPS - 1), "-i", str(clip), "-c", "copy", *_EXACT, str(long))
    hls = ["-hls_time", "2", "-hls_list_size", "0", "-hls_segment_filename", str(folder / "media/hls-%d.ts")]
    _ffmpeg("-i", str(clip), "-c", "copy", *_EXACT, "-f", "hls", *hls, str(folder / "media/hls.m3u8"))
    for post in [*map(str, range(1, POSTS + 1)), "big", "hls"]:
        for number in range(4):
            (folder / f"pictures/{post}-{number}.png").write_bytes(_picture(noise))
        (folder / f"api/{post}.json").write_text(json.dumps({"post": post, "likes": noise.randrange(10**6)}))
        (folder / f"p/{post}").write_text(_page(post), "utf-8")
    for number in range(1, POSTS + 1):
        _padded(clip, folder / f"media/{number}.mp4", VIDEO_BYTES, noise)
    _padded(long, folder / "media/big.mp4", BIG_BYTES, noise)
    for source in (clip, long):
        source.unlink()
    stamp.write_text(_recipe(), "ascii")


def videos(folder: Path, post: str) -> list[Path]:
    """The files that are the post's video: one, or its segments in order."""
    if post == "hls":
        listed = (folder / "media/hls.m3u8").read_text("ascii").splitlines()
        return [folder / "media" / line for line in listed if line.endswith(".ts")]
    return [folder / f"media/{post}.mp4"]


def _recipe() -> str:
    return f"{zlib.crc32(Path(__file__).read_bytes()):08x}"


def _film(path: Path) -> None:
    """Ten seconds of H.264 and AAC at about 4 Mbit/s, a key frame each second."""
    picture = f"testsrc2=size=640x360:rate=25:duration={_SECONDS},noise=alls=30:allf=t:all_seed=7"
    _ffmpeg(
        *["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=440:duration={_SECONDS}"],
        *["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-pix_fmt", "yuv420p"],
        *["-g", "25", "-sc_threshold", "0", "-b:v", "4000k", "-maxrate", "4000k", "-bufsize", "1000k"],
        *["-c:a", "aac", "-b:a", "96k", *_EXACT, "-movflags", "+faststart", str(path)],
    )


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *arguments], check=True)


def _padded(clip: Path, path: Path, size: int, noise: random.Random) -> None:
    """The clip and a `free` box of noise (ISO/IEC 14496-12 §8.1.2), `size` bytes in all: each another file."""
    data = clip.read_bytes()
    left = size - len(data)
    if left < _FREE_HEADER:
        raise ValueError(f"the clip has {len(data)} bytes, more than {size}: lower its bitrate")
    path.write_bytes(data + struct.pack(">I4s", left, b"free") + noise.randbytes(left - _FREE_HEADER))


def _picture(noise: random.Random) -> bytes:
    """A PNG of noise (ISO/IEC 15948)."""
    row = 3 * _PICTURE_SIDE
    pixels = b"".join(b"\0" + noise.randbytes(row) for _ in range(_PICTURE_SIDE))
    head = struct.pack(">IIBBBBB", _PICTURE_SIDE, _PICTURE_SIDE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def _page(post: str) -> str:
    video = "/media/hls.m3u8" if post == "hls" else f"/media/{post}.mp4"
    kind = "application/vnd.apple.mpegurl" if post == "hls" else "video/mp4"
    linked = {"@context": "https://schema.org", "@type": "VideoObject", "name": f"Post {post}"}
    linked |= {"contentUrl": video, "uploadDate": "2026-11-01", "thumbnailUrl": f"/pictures/{post}-0.png"}
    pictures = "".join(f'<img src="/pictures/{post}-{number}.png" alt="">' for number in range(4))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Post {post}</title>
<meta property="og:title" content="Post {post}"><meta property="og:type" content="video.other">
<meta property="og:video" content="{video}"><meta property="og:video:type" content="{kind}">
<script type="application/ld+json">{json.dumps(linked)}</script>
<h1>Post {post}</h1>
<video autoplay muted controls width="640"><source src="{video}" type="{kind}"></video>
<p>{pictures}</p><p id="likes"></p>
<script>fetch('/api/{post}.json').then(answer => answer.json()).then(found => {{
  document.getElementById('likes').textContent = found.likes + ' likes';
}});</script></html>
"""
