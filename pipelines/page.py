"""Step *page*: a Chromium process of its own opens the URL; what it sent and received goes to the WARC."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from evidence.canonical import parse_utc
from evidence.reasons import Reason
from pipelines.capture import Capture
from pipelines.children import make_workdir
from pipelines.guard import Resolver, Tunnel
from pipelines.record.page import PageRecord, record_page
from pipelines.record.sink import WarcSink
from pipelines.runtime import Runtime


async def record_the_page(capture: Capture, runtime: Runtime) -> str:
    """Record the page; its facts stand in `capture.facts["page"]`, its records in the WARC."""
    make_workdir(capture.work)
    sink = open_sink(capture, runtime)
    url = capture.candidate.url
    async with open_tunnel(capture, runtime) as tunnel:
        page = await record_page(
            url,
            sink=sink,
            workdir=capture.work / "page",
            tunnel=tunnel,
            settings=runtime.settings,
            on_progress=lambda text, done: runtime.listener(url, "page", text, done=done),
            recorder=runtime.recorder,
        )
        remember_connections(capture, tunnel)
    capture.facts["page"] = _facts(page)
    for reason in page.reasons:
        capture.note(reason)
    if page.failed is not None:
        capture.fail(page.failed)
    elif _says_removed(page) and not page.video_hints:
        capture.note(Reason("page-gone", "the page says that the post was removed"))
    return f"{page.exchanges} exchanges, {page.bytes} bytes, status {page.status}"


def open_sink(capture: Capture, runtime: Runtime) -> WarcSink:
    """The capture's one WARC, opened once; what robots.txt answered stands first in it."""
    sink: WarcSink | None = capture.live.get("sink")
    if sink is None:
        sink = WarcSink(
            capture.warc_path,
            capture_id=capture.id,
            warcinfo=_warcinfo(capture, runtime),
            spool=capture.folder,
        )
        capture.live["sink"] = sink
        for exchange in capture.live.pop("robots_exchanges", ()):
            sink.write_exchange(exchange)
    return sink


def open_tunnel(capture: Capture, runtime: Runtime) -> Tunnel:
    """The one door out. One resolver per capture: a name keeps its first answer throughout."""
    resolver = capture.live.setdefault("resolver", Resolver(allow_private=runtime.options.allow_private))
    return Tunnel(resolver, log=capture.folder / "connections.jsonl")


def remember_connections(capture: Capture, tunnel: Tunnel) -> None:
    """Keep which hosts were reached at which addresses, and which were refused."""
    hosts = capture.facts.setdefault("hosts", {})
    for connection in tunnel.connections:
        known = hosts.setdefault(connection.host, {"dns": list(connection.dns), "peers": []})
        peer = f"{connection.ip}:{connection.port}"
        if peer not in known["peers"]:
            known["peers"].append(peer)
    refused = capture.facts.setdefault("refused", [])
    for host, port, why in tunnel.refused:
        fact = {"host": host, "port": port, "why": why}
        if fact not in refused:
            refused.append(fact)


def _warcinfo(capture: Capture, runtime: Runtime) -> dict[str, str]:
    operator = runtime.options.operator_facts(runtime.settings)
    return {
        "description": f"one capture of {capture.candidate.url}",
        "hostname": operator["host"],
        "isPartOf": capture.id,
        "operator": operator["name"],
        "robots": "override" if runtime.options.override_robots else "obey",
    }


def _facts(page: PageRecord) -> dict[str, object]:
    return {
        "browser": page.browser,
        "bytes": page.bytes,
        "canonical": page.canonical_url,
        "displayed": _displayed(page),
        "exchanges": page.exchanges,
        "final": page.final_url,
        "hints": page.video_hints,
        "missing": [missing.as_json() for missing in page.missing],
        "redirects": _redirects(page),
        "server_dates": [_server_date(answer) for answer in page.server_dates],
        "status": page.status or None,
        "title": page.title,
    }


def _displayed(page: PageRecord) -> dict[str, object]:
    """Facts as displayed, each with where it was read; the page's own metas, as they stand, as one more."""
    told = page.displayed
    facts: dict[str, object] = {
        name: {"value": fact["value"], "read_from": fact["where"]}
        for name, fact in told.get("facts", {}).items()
    }
    if told.get("meta"):
        facts["metas"] = {"value": told["meta"], "read_from": "meta elements"}
    return facts


def _redirects(page: PageRecord) -> list[dict[str, object]]:
    """Each hop with where it led: the next one, at last the page."""
    after = [hop["url"] for hop in page.redirects[1:]] + [page.final_url]
    return [{**hop, "location": location} for hop, location in zip(page.redirects, after, strict=False)]


def _server_date(answer: dict[str, str]) -> dict[str, object]:
    """A server's clock beside ours; its Date has whole seconds, so a second of skew means nothing."""
    try:
        skew = parsedate_to_datetime(answer["date"]) - parse_utc(answer["received"])
        milliseconds = round(skew.total_seconds() * 1000)
    except (ValueError, TypeError):  # not a date, or one without a zone: kept as it was sent
        milliseconds = 0
    return {"url": answer["url"], "date": answer["date"], "skew_ms": milliseconds}


_REMOVED = (
    "has been removed",
    "was removed",
    "has been deleted",
    "no longer available",
    "video unavailable",
    "this post is unavailable",
    "content isn't available",
    "削除されました",
    "削除された",
    "存在しません",
    "公開されていません",
    "利用できなくなりました",
)


def _says_removed(page: PageRecord) -> bool:
    text = f"{page.title}\n{page.text}".casefold()
    return any(phrase in text for phrase in _REMOVED)
