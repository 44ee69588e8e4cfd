"""The video child: yt-dlp with recording handlers, in a process of its own.

    python -m pipelines.record.ytdlp_child  <job.json  >events.jsonl

stdin, one JSON object: `Job` of pipelines/record/ytdlp_wire.py. stdout, one JSON object a line:

    {"event": "exchange", "number": 0, "keep": false, "exchange": {…}}     pipelines/record/ytdlp_wire.py
    {"event": "progress", "text": "22 mp4", "done": 65536, "total": 102400}
    {"event": "file", "what": "video", "hollow": true, "name": "1-22.mp4", "format_id": "22", "how": "https",
     "exchanges": [4, 10]}
    {"event": "resource", "name": "info.json", "text": "…"}
    {"event": "missing", "url": "https://…", "why": "…"}
    {"event": "reason", "code": "video-cut", "detail": "…"}
    {"event": "end", "info": {…}, "ytdlp": {"version": "…", "options": {…}, "extractor": "…"}}

`exchanges` says, from one number up to before the other, what was exchanged while that file was downloaded.
A hollow file has its size alone: its bytes are those of exchanges, whose bodies are to be kept for it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from threading import Lock
from typing import Any, Final

from pipelines.record.ytdlp_wire import Job, encode

_NOT_NEEDED: Final = ("mutagen", "websockets", "secretstorage")
"""What yt-dlp would import for things that we do not let it do: tags, sockets, browsers' cookies."""
_EMULATION: Final = ("curl_cffi",)
"""What it would pass for a browser with."""
_GARBAGE: Final = 100_000
"""Objects made before garbage is looked for while yt-dlp is imported: nothing is, and looking costs 0.05 s."""


def main() -> None:
    """Run the job on stdin."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever prints must not disturb the events

    one_at_a_time = Lock()

    def tell(event: str, **facts: Any) -> None:
        line = encode({"event": event, **facts})
        with one_at_a_time:
            out.write(line)

    job = Job(**json.load(sys.stdin))
    if job.ca_file:
        os.environ["SSL_CERT_FILE"] = os.environ["CURL_CA_BUNDLE"] = job.ca_file
    for optional in _NOT_NEEDED if job.client_emulation else _NOT_NEEDED + _EMULATION:
        sys.modules[optional] = None  # type: ignore[assignment]  # yt-dlp goes on without
    usual = gc.get_threshold()
    gc.set_threshold(_GARBAGE)
    from pipelines.record.ytdlp_run import Run  # noqa: PLC0415  # after the settings above, which it reads

    gc.freeze()
    gc.set_threshold(*usual)  # what a download leaves is garbage: 3 MB for each GB of a video
    Run(job, tell).run()


if __name__ == "__main__":
    main()
