"""Which of a video's formats are taken: the best originals, as the site serves them, never merged."""

from __future__ import annotations

from typing import Any

from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.downloader.external import ExternalFD
from yt_dlp.downloader.rtmp import RtmpFD


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
