"""The video step alone, with what it took at its peak: {"memory", "disk", "bytes", "roles"}, in bytes.

    python -m tests.pipelines.record.footprint URL          with AKASHI_HOSTS and AKASHI_EXTRA_CA set

Memory is that of the largest process, disk all that lies below the working folder, each file once.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path

from pipelines.guard import Resolver, Tunnel
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import record_video
from pipelines.record.ytdlp_inbox import VideoRecord
from storage.settings import Settings


def lies_in(folder: Path) -> int:
    """Bytes of disk below a folder; a file with two names counts once."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                facts = (Path(path) / name).lstat()
            except OSError:
                continue
            found[facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())


async def record(url: str, folder: Path) -> VideoRecord:
    sink = WarcSink(folder / "a.warc.gz", spool=folder, capture_id="01TEST", warcinfo={"a": "b"})
    settings = Settings(timeout=3000.0, max_bytes=64 << 30)
    async with Tunnel(Resolver(allow_private=True), log=folder / "connections.jsonl") as tunnel:
        gave = await record_video(url, sink=sink, workdir=folder / "work", tunnel=tunnel, settings=settings)
    sink.close()
    return gave


def main() -> None:
    disk, over = [0], threading.Event()
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-footprint-") as made:
        folder = Path(made)
        folder.chmod(0o711)

        def watch() -> None:
            while not over.wait(0.02):
                disk.append(lies_in(folder))

        watcher = threading.Thread(target=watch)
        watcher.start()
        gave = asyncio.run(record(sys.argv[1], folder))
        over.set()
        watcher.join()
    memory = max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    figures = {
        "memory": memory * 1024,
        "disk": max(disk),
        "bytes": sum(file.size for file in gave.files),
        "roles": [file.role for file in gave.files],
        "reasons": [reason.as_json() for reason in gave.reasons],
    }
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    main()
