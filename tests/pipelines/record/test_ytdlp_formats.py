from __future__ import annotations

from typing import Any

import pytest

from pipelines.record.ytdlp_choice import choose_formats


def form(name: str, *, picture: bool = True, sound: bool = True, **more: Any) -> dict[str, Any]:
    codecs = {"vcodec": "avc1" if picture else "none", "acodec": "mp4a" if sound else "none"}
    return {"format_id": name, "url": f"https://a.test/{name}", "protocol": "https", **codecs, **more}


LOW, HIGH = form("low"), form("high")
PICTURE, SOUND = form("picture", sound=False), form("sound", picture=False)


@pytest.mark.parametrize(
    ("formats", "chosen"),
    [
        ([LOW, HIGH], ["high"]),
        ([SOUND, LOW, PICTURE], ["picture", "sound"]),
        ([SOUND, PICTURE, HIGH], ["high"]),
        ([PICTURE], ["picture"]),
        ([SOUND], ["sound"]),
        ([{"format_id": "direct", "url": "https://a.test/v.mp4", "protocol": "https"}], ["direct"]),
        ([LOW, form("drm", has_drm=True)], ["low"]),
        ([LOW, form("story", picture=False, sound=False, protocol="mhtml")], ["low"]),
        ([LOW, form("live", protocol="m3u8_native", is_live=True)], ["low"]),
        ([form("live", protocol="m3u8_native", is_live=True)], ["live"]),
        ([LOW, form("rtmp", protocol="rtmp", url="rtmp://a.test/v")], ["low"]),
        ([LOW, form("hls", protocol="m3u8_native")], ["hls"]),
        ([], []),
    ],
)
def test_the_best_original_is_taken_and_nothing_that_another_program_must_fetch(
    formats: list[dict[str, Any]], chosen: list[str]
) -> None:
    assert [one["format_id"] for one in choose_formats(formats)] == chosen
