"""Step *admit*: refuse by policy before anything starts, or start: `capture.started` in the ledger.

What is refused here leaves no entry and fetched nothing but robots.txt. What passes is an
attempt: its request document is fixed, salted and digested into the ledger before the first
fetch, so that an unfavourable capture cannot silently vanish.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, Final

from evidence.canonical import utc
from evidence.errors import RefusedError, UsageError
from evidence.manifest import request_digests
from evidence.reasons import REFUSALS
from pipelines.candidate import Candidate
from pipelines.capture import Capture
from pipelines.guard import Resolver, check_url
from pipelines.robots import Decision, Fetch, decide
from pipelines.runtime import Runtime, in_thread

MAX_URL: Final = 4096
_ROBOTS_CODES: Final = {"disallowed": "robots-disallowed", "unreachable": "robots-unreachable"}


async def admit(candidate: Candidate, runtime: Runtime, fetch_robots: Fetch) -> Capture:
    """Refuse the candidate (RefusedError, UsageError) or start its capture.

    Raises LedgerUnavailableError or StoreUnavailableError when the start cannot be entered;
    then nothing was fetched.
    """
    if runtime.interrupted.is_set():
        raise RefusedError("stopped by a signal before it was started", code="interrupted")
    if len(candidate.url) > MAX_URL:
        raise UsageError(f"a URL of {len(candidate.url)} characters", next=f"give one of at most {MAX_URL}")
    resolver = Resolver(allow_private=runtime.options.allow_private)
    await in_thread(check_url, candidate.url, resolver)
    _refuse_repeats(candidate, runtime)
    decision = await decide(candidate.url, fetch_robots)
    if not decision.allowed and not runtime.options.override_robots:
        code = _ROBOTS_CODES[decision.code]
        raise RefusedError(
            REFUSALS[code],
            code=code,
            next="a named person may lift it for this URL: --override-robots REASON --operator NAME",
        )
    if runtime.options.limit and runtime.admitted >= runtime.options.limit:
        raise RefusedError(f"the limit of {runtime.options.limit} captures is reached", code="over-budget")
    runtime.admitted += 1
    return await start(candidate, runtime, resolver, decision)


def _refuse_repeats(candidate: Candidate, runtime: Runtime) -> None:
    if candidate.named_by_person:
        return
    if candidate.url in runtime.seen or runtime.catalogue.is_captured(candidate.url):
        raise RefusedError(REFUSALS["already-captured"], code="already-captured")
    runtime.seen.add(candidate.url)


async def start(candidate: Candidate, runtime: Runtime, resolver: Resolver, decision: Decision) -> Capture:
    """Fix the request, enter `capture.started`; only then may anything be fetched."""
    capture = Capture.begin(runtime.settings.home.spool, candidate)
    capture.facts["request"] = _request(candidate, runtime)
    capture.facts["robots"] = decision.facts
    capture.facts["attempt_of"] = runtime.catalogue.interrupted_attempt(candidate.url)
    document = request_digests(capture.facts["request"])
    body: dict[str, Any] = {"request": document.as_json()}
    if capture.facts["attempt_of"]:
        body["attempt_of"] = capture.facts["attempt_of"]
    capture.save()
    try:
        appended = await in_thread(runtime.ledger.append, "capture.started", capture.id, body)
    except BaseException:
        capture.release()  # the next start asks the ledger whether the entry got in
        raise
    capture.facts["started_entry"] = appended.index
    capture.live["resolver"] = resolver
    capture.live["robots_exchanges"] = decision.exchanges
    capture.save()
    return capture


def _request(candidate: Candidate, runtime: Runtime) -> dict[str, Any]:
    options = runtime.options
    override = None
    if options.override_robots:
        override = {"operator": options.operator, "reason": options.override_robots}
    return {
        "case": options.case,
        "found_by": candidate.found_by(runtime.crawl),
        "note": options.note,
        "operator": options.operator_facts(runtime.settings),
        "options": {
            **options.as_json(),
            "max_bytes": runtime.settings.max_bytes,
            "timeout_ms": int(runtime.settings.timeout * 1000),
        },
        "override": override,
        "requested_at": utc(datetime.now(UTC)),
        "salt": secrets.token_hex(16),
        "title": candidate.title,
        "url": candidate.url,
    }
