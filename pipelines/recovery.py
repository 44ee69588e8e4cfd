"""What a dead process left in the spool is completed or closed by the next start.

no capture.started in the ledger   nothing was fetched: the folder goes
the closing entry is there         the folder goes
the WARC is sealed                 preserved and proved as it is
otherwise                          failed(interrupted): what was recorded, up to its last whole
                                   record, is sealed, preserved and proved

A dead crawl (pipelines/crawl.py) is closed the same way, with the outcome `interrupted`.
"""

from __future__ import annotations

import asyncio
import logging

from evidence.reasons import Reason
from pipelines.capture import Capture
from pipelines.crawl import WARC, recover_crawl
from pipelines.page import open_sink
from pipelines.prove import closing_entry
from pipelines.record.spool import check_folders
from pipelines.record.warcfile import trim_torn_tail
from pipelines.record.ytdlp_wire import CLIENT
from pipelines.runtime import Runtime, in_thread
from pipelines.steps import UNREACHABLE, finish

log = logging.getLogger(__name__)


async def recover(runtime: Runtime) -> list[Capture]:
    """Finish every dead capture of this home; gives those that were closed. Raises UNREACHABLE."""
    closed = []
    for folder in sorted(runtime.settings.home.spool.iterdir()):
        if not folder.is_dir():
            continue
        capture = None
        try:
            if any(folder.glob(WARC)):
                if await recover_crawl(folder, runtime):
                    log.warning("%s: a crawl that its process did not close", folder.name)
                continue
            capture = Capture.reopen(folder)
            if capture is not None and await _close(capture, runtime):
                closed.append(capture)
        except UNREACHABLE:
            raise
        except Exception:  # the process's edge: its files may be those of a child that was taken over
            # One that cannot be finished must not keep the others waiting, nor the captures to come.
            log.exception("%s stays in the spool, unfinished", folder)
        finally:
            if capture is not None:
                capture.release()
    return closed


async def _close(capture: Capture, runtime: Runtime) -> bool:
    if "started_entry" not in capture.facts:
        entries = await in_thread(lambda: list(runtime.ledger.entries_of(capture.id)))
        if not entries:
            capture.discard()
            return False
        capture.facts["started_entry"] = entries[0].index
    if await in_thread(closing_entry, runtime, capture.id) is not None:
        # Nothing is put again: it may have been erased since, and the catalogue has followed the ledger.
        capture.discard()
        return True
    if "sealed" not in capture.facts:
        await _salvage(capture, runtime)
    await finish(capture, runtime)
    log.warning("%s: closed as %s (%s)", capture.id, capture.outcome, capture.candidate.url)
    capture.discard()
    return True


async def _salvage(capture: Capture, runtime: Runtime) -> None:
    """Keep what was recorded: the WARC up to its last whole record, then what lies half-received."""
    if not (capture.failed or capture.did("inspect")):
        died = next((step["name"] for step in reversed(capture.steps) if not step["ended"]), "")
        where = (
            f"in {died}"
            if died
            else f"after {capture.steps[-1]['name']}"
            if capture.steps
            else "before the page"
        )
        capture.fail(Reason("interrupted", f"the process died {where}"))
    if capture.warc_path.exists():
        lost = await asyncio.to_thread(trim_torn_tail, capture.warc_path)
        if lost:
            capture.facts["salvaged"] = {"torn_bytes": lost}
    sink = open_sink(capture, runtime)
    left = [(capture.folder, "")]
    try:
        check_folders(capture.work / "video")
        left.append((capture.work / "video" / "spool", CLIENT))
    except OSError as error:
        capture.note(Reason("video-failed", f"the downloader took its folder away: {error}"))
    for folder, client in left:
        for exchange in sink.salvage(folder, client):  # half received when the process died: marked truncated
            log.info("%s: %s kept of %s", capture.id, exchange.response_body.size, exchange.url)
    capture.save()
