"""The steps of one capture, as named data: log, progress, manifest, console and docs use these names.

    admit → page → video → inspect → preserve → prove

Scrapy runs them as item pipelines (`pipelines/items.py`); durable jobs will run the same list.
Each is idempotent: run again after a kill it finds what is done and goes on. A recording step
never raises: what goes wrong becomes a named reason, and the capture goes on to be preserved
and proved, so that every capture that was started is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from evidence.errors import LedgerUnavailableError, StoreUnavailableError
from evidence.reasons import Reason
from pipelines.capture import FULL, Capture
from pipelines.inspect import inspect
from pipelines.page import record_the_page
from pipelines.preserve import preserve
from pipelines.prove import prove
from pipelines.runtime import Runtime
from pipelines.video import record_the_video

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name everywhere, what a person reads while it runs, its place among the pipelines."""

    name: str
    title: str
    order: int
    recording: bool
    """Recording steps are skipped once a capture failed and stopped by Ctrl-C; the others always run."""
    run: Callable[[Capture, Runtime], Awaitable[str]]
    """Does it; gives a sentence of what was done, for the log and the manifest."""


PAGE: Final = Step("page", "recording the page", 200, True, record_the_page)
VIDEO: Final = Step("video", "recording the video", 300, True, record_the_video)
INSPECT: Final = Step("inspect", "reading facts off the files", 400, True, inspect)
PRESERVE: Final = Step("preserve", "storing, reading back, comparing", 500, False, preserve)
PROVE: Final = Step("prove", "entering it in the ledger", 600, False, prove)
STEPS: Final = (PAGE, VIDEO, INSPECT, PRESERVE, PROVE)


async def run_step(step: Step, capture: Capture, runtime: Runtime) -> None:
    """Run one step of a capture.

    Raises StoreUnavailableError or LedgerUnavailableError from preserve and prove: then the
    spool keeps everything and the next start finishes it.
    """
    if capture.did(step.name):
        return
    if not step.recording:
        try:
            with capture.step(step.name) as conclude:
                runtime.listener(capture.candidate.url, step.name, step.title)
                conclude("done", await step.run(capture, runtime))
        except OSError as error:
            raise StoreUnavailableError(
                f"{step.name}: {error}",
                next="make room or mend the disk; the next start finishes this capture",
            ) from error
        return
    if capture.failed:
        return
    with capture.step(step.name) as conclude:
        runtime.listener(capture.candidate.url, step.name, step.title)
        try:
            conclude("done", await _until_interrupted(step, capture, runtime))
        except InterruptedError:
            conclude("interrupted", "stopped by a signal")
            capture.fail(Reason("interrupted", f"stopped by a signal during {step.name}"))
        except OSError as error:
            code = "disk-full" if error.errno in FULL else "step-failed"
            _failed(step, capture, Reason(code, f"{step.name}: {error}"))
            conclude("failed", str(error))
        except Exception as error:  # the edge of a capture: whatever a step raises is named, closed, proved
            log.exception("%s of %s", step.name, capture.id)
            _failed(step, capture, Reason("step-failed", f"{step.name}: {type(error).__name__}: {error}"))
            conclude("failed", f"{type(error).__name__}: {error}")


def _failed(step: Step, capture: Capture, reason: Reason) -> None:
    """A page that could not be recorded fails the capture; a later step leaves it partial."""
    if step is PAGE or reason.code == "disk-full":
        capture.fail(reason)
    elif step is VIDEO:
        capture.note(Reason("video-failed", reason.detail))
    else:
        capture.note(Reason("inspect-failed", reason.detail))


async def _until_interrupted(step: Step, capture: Capture, runtime: Runtime) -> str:
    """Run the step; on Ctrl-C cancel it, wait until it has let go, and raise InterruptedError."""
    work = asyncio.ensure_future(step.run(capture, runtime))
    stop = asyncio.ensure_future(runtime.interrupted.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        raise InterruptedError
    finally:
        stop.cancel()
        work.cancel()


async def finish(capture: Capture, runtime: Runtime) -> None:
    """Preserve and prove, as a recovery or a pipeline's end needs it. Raises as `run_step`."""
    for step in (PRESERVE, PROVE):
        await run_step(step, capture, runtime)


UNREACHABLE: Final = (StoreUnavailableError, LedgerUnavailableError)
"""What ends a process with exit 5 while the spool keeps what was fetched."""
