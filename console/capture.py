"""`akashi capture URL…`: the seed spider over the same pipelines, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings as ScrapySettings

from console.output import emit, human_size, json_option, say
from console.progress import Watcher
from crawler.spiders.seed import SeedSpider, read_list
from evidence.errors import AkashiError, CaptureFailedError, RefusedError, UsageError
from pipelines.candidate import Candidate
from pipelines.guard import parse_url
from pipelines.items import Refused, Workshop
from pipelines.options import options_from
from storage.settings import Settings

SEVERITY: Final = (5, 4, 6, 2, 3, 0)
"""Several URLs: the exit is the first of these that occurred (design §8; 2 for a URL too long to take)."""
BY_OUTCOME: Final = {"complete": 0, "partial": 3, "failed": 4}


@click.command("capture")
@click.argument("urls", nargs=-1)
@click.option("--from", "source", metavar="FILE|-", help="Read URLs from a file or from stdin, one a line.")
@click.option("--case", help="The case that the captures belong to.")
@click.option("--note", help="A note, kept in the manifest.")
@click.option("--operator", help="Who answers for the capture (default: this system's user).")
@click.option("--max-bytes", type=click.IntRange(min=1), help="The largest video file to take, in bytes.")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds for the page, and for the video.")
@click.option("--no-video", is_flag=True, help="The page only.")
@click.option("--override-robots", metavar="REASON", help="Capture one URL although robots.txt disallows it.")
@click.option("--allow-private", is_flag=True, help="Let this run reach addresses that are not public.")
@json_option
def command(urls: tuple[str, ...], source: str | None, *, as_json: bool, **options: Any) -> int:
    """Secure URLs now. Page, video and every exchange behind them are stored write-once and proved.

    \b
    akashi capture https://example.com/post/1 --case 2026-014 --note "sent by A. Sato"
    """
    wanted = [*urls, *_listed(source)]
    if not wanted:
        raise UsageError("no URL was given", next="akashi capture URL, or --from FILE")
    if options["override_robots"] and len(wanted) != 1:
        raise UsageError("robots.txt is lifted for one named URL", next="give exactly one URL")
    for url in wanted:
        parse_url(url)  # a malformed one: nothing at all is fetched
    settings = _scrapy_settings(options)
    options_from(settings, Settings.load())  # what is wrong with them is told before anything is fetched
    with Watcher(quiet=as_json) as watcher:
        results = Results(wanted, None if as_json else watcher.say)
        _crawl(wanted, settings, results, watcher)
        return results.finish()


def _listed(source: str | None) -> list[str]:
    if source is None:
        return []
    return read_list(Path("/dev/stdin" if source == "-" else source))


def _scrapy_settings(options: dict[str, Any]) -> ScrapySettings:
    settings = ScrapySettings()
    settings.setmodule("crawler.settings", priority="project")
    settings.set("LOG_INSTALL_ROOT_HANDLER", value=False, priority="cmdline")
    for name, value in options.items():
        if value is not None:
            settings.set(f"AKASHI_{name.upper()}", value, priority="cmdline")
    return settings


def _crawl(urls: list[str], settings: ScrapySettings, results: Results, watcher: Watcher) -> None:
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(SeedSpider)
    Workshop.of(crawler).listener = watcher

    def scraped(item: Candidate) -> None:
        watcher.end(item.url)
        results.add(item, None)

    def dropped(item: Candidate, exception: Refused) -> None:
        watcher.end(item.url)
        results.add(item, exception.error)

    def broke(item: Candidate, failure: Any) -> None:
        watcher.end(item.url)
        results.add(item, CaptureFailedError(f"{type(failure.value).__name__}: {failure.value}"))

    crawler.signals.connect(scraped, signal=signals.item_scraped, weak=False)
    crawler.signals.connect(dropped, signal=signals.item_dropped, weak=False)
    crawler.signals.connect(broke, signal=signals.item_error, weak=False)
    process.crawl(crawler, urls=urls)
    process.start()
    if told := Workshop.of(crawler).told:
        say(told)


class Results:
    """Prints results in the order of the URLs as soon as that order allows, and knows the exit code."""

    def __init__(self, urls: list[str], say: Callable[[str], None] | None) -> None:
        self.urls = urls
        self.say = say
        """Takes lines for people; None: JSON on stdout."""
        self.done: dict[int, tuple[Candidate, AkashiError | None]] = {}
        self.printed = 0
        self.codes: set[int] = set()

    def add(self, item: Candidate, error: AkashiError | None) -> None:
        """One subject has ended."""
        self.done[item.rank] = (item, error)
        self.codes.add(exit_code(item, error))
        while self.printed + 1 in self.done:
            self.printed += 1
            self._print(*self.done[self.printed])

    def finish(self) -> int:
        """Print what a stop left unfinished, and give the exit code."""
        for rank, url in enumerate(self.urls, start=1):
            if rank not in self.done:
                stopped = RefusedError("stopped by a signal before it was started", code="interrupted")
                self.add(Candidate(url, rank=rank), stopped)
        return next(code for code in SEVERITY if code in self.codes)

    def _print(self, item: Candidate, error: AkashiError | None) -> None:
        if self.say is None:
            emit(as_json(item, error))
        elif error is not None:
            verb = "refused" if isinstance(error, RefusedError) else "not done"
            self.say(
                f"{item.url}\n  {verb}: {error.detail}" + (f"\n  next: {error.next}" if error.next else "")
            )
        else:
            self.say(for_people(item))


def exit_code(item: Candidate, error: AkashiError | None) -> int:
    """The code of one subject."""
    if isinstance(error, RefusedError) and error.code == "interrupted":
        return 4
    if error is not None:
        return error.exit_code
    if item.outcome == "failed" and item.reasons[0]["code"] == "address-refused":
        return 6
    return BY_OUTCOME[str(item.outcome)]


def as_json(item: Candidate, error: AkashiError | None) -> dict[str, Any]:
    """`capture --json`: design §7 and §8; refused ones have null ids and say why."""
    wanted = [
        "capture",
        "url",
        "final_url",
        "outcome",
        "reasons",
        "warc",
        "sha256",
        "bytes",
        "media",
        "manifest",
        "entry",
    ]
    facts = asdict(item)
    document = {name: facts[name] for name in wanted}
    if error is not None:
        document |= {"error": error.name, "detail": error.detail, "next": error.next}
    return document


def for_people(item: Candidate) -> str:
    """A capture's result in a few lines, readable without colour."""
    lines = [item.url, f"  {item.outcome}: capture {item.capture}, ledger entry {item.entry}"]
    lines += [f"  {reason['code']}: {reason['detail']}" for reason in item.reasons]
    lines += [f"  video {m['role']}, {human_size(m['bytes'])}, sha256 {m['sha256']}" for m in item.media]
    lines += [f"  warc {item.warc}, {human_size(item.bytes or 0)}", f"  sha256 {item.sha256}"]
    lines += [f"  next: akashi show {item.capture}"]
    return "\n".join(lines)
