"""What `record_video` asks of its child: one JSON object on its stdin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One video to fetch."""

    url: str
    hints: list[str]
    """Where else on the page a video may be, if the page's own URL gives none."""
    folder: str
    """Ours alone: files go to its `files`, bodies on their way to the WARC to its `spool`."""
    proxy: str
    """`socks5h://127.0.0.1:<port>`, or empty for none."""
    connections: str
    """The tunnel's log."""
    ca_file: str
    """PEM of every authority to trust, or empty for yt-dlp's own choice."""
    max_bytes: int
    """Of all bodies that one file takes, and of any one body."""
    client_emulation: bool
    timeout: float
    """Seconds without a byte after which a connection is given up."""
