"""What of a video is taken: its best original as served, what is said in it, and its still picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pipelines.record.ytdlp_policy import recordable

EXTRAS: Final = 33
"""Taken beside one video: the thumbnail and 32 languages; sites translate captions into hundreds."""
_STILLS: Final = 3
"""Thumbnails that are tried, best first: sites name some that are not there."""


class Extra(NamedTuple):
    """Something beside the video: yt-dlp's facts of where it lies, best first, one of which is enough."""

    what: str
    """`subtitles ja`, `automatic captions en`, `thumbnail`."""
    places: list[dict[str, Any]]


def choose_formats(formats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best original as the site serves it: one file, or picture and sound apart; never merged.

    `formats` come worst first, as yt-dlp sorts them. What only another program could fetch is
    chosen only if there is nothing else, and refused then with its reason.
    """
    media = [f for f in formats if f.get("vcodec") != "none" or f.get("acodec") != "none"]
    media = [f for f in media if f.get("protocol") != "mhtml" and not f.get("has_drm")]
    usable = [f for f in media if recordable(f)] or media
    both = [f for f in usable if f.get("vcodec") != "none" and f.get("acodec") != "none"]
    pictures = [f for f in usable if f.get("acodec") == "none"]
    sounds = [f for f in usable if f.get("vcodec") == "none"]
    if pictures and (not both or usable.index(pictures[-1]) > usable.index(both[-1])):
        return [pictures[-1], *sounds[-1:]]
    return both[-1:] or sounds[-1:]


def choose_extras(video: dict[str, Any]) -> Iterator[Extra]:
    """The thumbnail, each language of the subtitles, then of the automatic captions."""
    stills = [still for still in video.get("thumbnails") or [] if still.get("url")]
    if stills:
        yield Extra("thumbnail", stills[: -_STILLS - 1 : -1])
    for kind, what in (("subtitles", "subtitles"), ("automatic_captions", "automatic captions")):
        for language, places in (video.get(kind) or {}).items():
            # Without a URL it is in the page already; a live chat is none of what is said in the video.
            given = [place for place in places if place.get("url") and recordable(place)]
            if given:
                yield Extra(f"{what} {language}", given[:-2:-1])
