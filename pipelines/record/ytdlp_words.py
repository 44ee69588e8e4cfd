"""What yt-dlp says: its log, and of what it understood the part that the manifest states."""

from __future__ import annotations

from typing import Any, Final

_LOG_MAX: Final = 1 << 20
_FACTS: Final = (
    "id", "title", "description", "uploader", "uploader_id", "uploader_url", "channel", "channel_id",
    "channel_url", "timestamp", "upload_date", "duration", "view_count", "like_count", "comment_count",
    "repost_count", "webpage_url", "original_url", "extractor", "extractor_key", "availability",
    "live_status", "tags",
)  # fmt: skip


class Log:
    """What yt-dlp says, in the interface that it wants; the first MiB is kept."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self.last = ""

    def debug(self, line: str) -> None:
        """Take a line of any kind."""
        self.last = line.strip() or self.last
        self._size += len(line)
        if self._size <= _LOG_MAX:
            self._lines.append(line)

    info = warning = error = debug

    def text(self) -> str:
        """All of it."""
        return "".join(f"{line}\n" for line in self._lines)


def facts_of_info(info: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of the video: whole numbers and strings, a fraction as a string."""
    facts: dict[str, Any] = {}
    for key in _FACTS:
        value = info.get(key)
        if isinstance(value, float):
            value = int(value) if value.is_integer() else repr(value)
        if isinstance(value, list):
            value = [str(one) for one in value[:100]]
        if value is not None:
            facts[key] = value
    return facts
