"""`akashi doctor`: what is installed, reachable, trusted, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import click

from console.output import emit, human_size, json_option
from evidence.anchors import is_due
from evidence.checkpoint import POINTER
from evidence.clock import clock_block
from evidence.errors import AkashiError, NoteError
from pipelines.record.canary import NEXT, holds, read_canary
from pipelines.record.chromium import find_chromium
from storage.anchors import Anchors
from storage.archive import Archive
from storage.connect import open_store
from storage.home import CHILD_USER, Home, child_user
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.probe import probe
from storage.settings import Settings
from storage.signer import open_signer
from storage.witnesses import load_policy


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `ok`, `note` (works, with a limit worth knowing) or `bad`."""

    state: str
    subject: str
    text: str
    next: str = ""


@click.command("doctor")
@json_option
def command(*, as_json: bool) -> int:
    """Check this machine, store and ledger. Exit 1 when something must be mended before a capture.

    \b
    akashi doctor
    """
    found = list(examine(Settings.load()))
    for finding in found:
        if as_json:
            emit(asdict(finding))
        else:
            click.echo(f"{finding.state:5} {finding.subject:10} {finding.text}")
            if finding.next:
                click.echo(f"{'':16} next: {finding.next}")
    return 1 if any(finding.state == "bad" for finding in found) else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, in the order in which a capture needs them."""
    yield Finding(
        "ok", "akashi", f"{version('akashi')}, Scrapy {version('scrapy')}, yt-dlp {version('yt-dlp')}"
    )
    yield from _programs(settings)
    yield _children()
    yield from _home(settings.home)
    yield _recorder(settings)
    yield from _guarded("store", lambda: _store(settings))
    yield _clock()
    yield from _guarded("anchors", lambda: _anchors(settings))
    yield from _guarded("witnesses", lambda: _witnesses(settings))


def _anchors(settings: Settings) -> Iterator[Finding]:
    """Which outside time the newest checkpoint has; no foreign witness is a limit of its own."""
    archive = Archive.open(settings)
    anchors = Anchors(archive)
    entries, size = anchors.entries(), archive.ledger.size
    uncovered = [url for url in settings.timestamp_authorities if is_due(size, url, entries)]
    newest = entries[-1].body if entries else None
    text = "checkpoints carry no outside time yet: a verdict is VERIFIED WITH NOTES at most"
    if newest is not None:
        same = {entry.body["authority"] for entry in entries if entry.body["size"] == newest["size"]}
        text = f"entries below {newest['size']} existed by {newest['time']}, say {', '.join(sorted(same))}"
    if newest is not None and not uncovered and settings.timestamp_authorities:
        yield Finding("ok", "anchors", text)
    else:
        how = "akashi ledger timestamp"
        if not settings.timestamp_authorities:
            how = "set timestamp_authorities, then " + how
        yield Finding("note", "anchors", text, how)


def _witnesses(settings: Settings) -> Iterator[Finding]:
    """Whether the newest checkpoint has the policy's quorum, as its pointer tells; nobody is asked."""
    policy = load_policy(settings)
    if policy is None or not policy.witnesses:
        text = "no foreign witness: the keeper of the log's key could show two histories"
        how = "set ledger_policy (docs/witness.md), then akashi ledger witness"
        yield Finding("note", "witnesses", text, how)
        return
    archive = Archive.open(settings)
    try:
        judgement = policy.judge(archive.store.read(POINTER), archive.keyring.verifiers)
    except FileNotFoundError as error:
        yield Finding("note", "witnesses", f"{error} is not there", "akashi ledger witness")
        return
    except NoteError as error:
        text = f"the newest checkpoint is none by ledger_policy: {error.detail}"
        yield Finding("bad", "witnesses", text, "akashi ledger witness")
        return
    size, by = judgement.checkpoint.size, ", ".join(judgement.cosigned) or "nobody"
    text = f"size {size} is cosigned by {by}; the quorum {policy.quorum!r} is {'' if judgement.met else 'not '}met"
    yield Finding(
        *(
            ("ok", "witnesses", text)
            if judgement.met
            else ("note", "witnesses", text, "akashi ledger witness")
        )
    )


def _programs(settings: Settings) -> Iterator[Finding]:
    try:
        browser = find_chromium(named=settings.browser)
        yield Finding("ok", "chromium", f"{browser} {_first_line([str(browser), '--version'])}")
    except AkashiError as error:
        yield Finding("bad", "chromium", error.detail, error.next)
    for name, package in (("ffmpeg", "ffmpeg"), ("ffprobe", "ffmpeg"), ("certutil", "libnss3-tools")):
        path = shutil.which(name)
        if path:  # certutil tells no version
            yield Finding("ok", name, _first_line([path, "-version"]) or path)
        else:
            yield Finding("bad", name, "is not installed", f"make setup (or apt-get install {package})")
    fonts = _first_line(["fc-list", ":lang=ja", "family"]) if shutil.which("fc-list") else ""
    if fonts:
        yield Finding("ok", "fonts", f"Japanese: {fonts}")
    else:
        yield Finding(
            "note",
            "fonts",
            "no Japanese font: screenshots will show empty boxes",
            "apt-get install fonts-noto-cjk",
        )


def _first_line(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"({error})"
    return (done.stdout.strip().splitlines() or [""])[0][:100]


def _children() -> Finding:
    if os.geteuid() != 0:
        return Finding("ok", "children", "run as this user, in limits and folders of their own")
    if child_user() is None:
        return Finding("bad", "children", f"there is no user {CHILD_USER} for them to run as", "make setup")
    return Finding("ok", "children", f"run as the user {CHILD_USER}")


def _recorder(settings: Settings) -> Finding:
    """What the canary found of the exact recorder; it is tried anew when it is about another machine."""
    told = read_canary(settings.home)
    if settings.page_recorder == "cdp":
        return Finding(
            "note", "recorder", "pages are recorded over DevTools, less exactly", 'set page_recorder = "auto"'
        )
    if told is None or not holds(told, settings):
        return Finding(
            "ok", "recorder", "NetLog, to be tried before the first page: not tried on this Chromium"
        )
    if told["difference"]:
        state = "note" if settings.page_recorder == "auto" else "bad"
        return Finding(state, "recorder", f"NetLog cannot be trusted: {told['difference']}", NEXT)
    return Finding("ok", "recorder", f"NetLog, found exact on {told['checked'][:10]}")


def _home(home: Home) -> Iterator[Finding]:
    home.make()
    free = shutil.disk_usage(home.root).free
    low = free < 5_000_000_000  # noqa: PLR2004 - room for one long video, its WARC and its stored copy
    yield Finding(
        "note" if low else "ok",
        "home",
        f"{home.root}, {human_size(free)} free",
        "make room, or set AKASHI_HOME to a larger disk" if low else "",
    )


def _store(settings: Settings) -> Iterator[Finding]:
    store = open_store(settings)
    abilities = probe(store)
    lacking = abilities.lacking()
    kind = settings.store_endpoint or "embedded"
    yield Finding(
        "note" if lacking else "ok",
        "store",
        f"{kind}, bucket {settings.store_bucket}: "
        + (f"lacks {', '.join(lacking)}" if lacking else "keeps write-once"),
        "the legal profile refuses such a store: see docs/formats/store.md" if lacking else "",
    )
    keyring = Keyring.open_or_create(
        settings.home, settings.ledger_origin, elsewhere=bool(settings.ledger_signer)
    )
    signer = open_signer(settings, keyring)
    ledger = Ledger(settings.home, store, keyring, settings.ledger_database, signer)
    ledger.open()
    yield Finding("ok", "ledger", f"{ledger.size} entries, log key {keyring.verifiers[0].vkey}")
    held = keyring.remembered()
    if held is None or held.size < ledger.size:
        text = f"entries from {held.size if held else 0} on are under no checkpoint yet"
        yield Finding("note", "ledger", text, "AKASHI_LOG=WARNING akashi ledger checkpoint tells why")
    yield Finding("ok", "collector", f"key {keyring.collector.vkey}")


def _guarded(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except AkashiError as error:
        yield Finding("bad", subject, error.detail, error.next)


def _clock() -> Finding:
    clock = clock_block(datetime.now(UTC))
    if clock["synchronised"]:
        return Finding("ok", "clock", f"synchronised, error at most {clock['maximum_error_us']} µs")
    return Finding(
        "note",
        "clock",
        "not known to be synchronised; every manifest says so",
        "run chrony or systemd-timesyncd",
    )
