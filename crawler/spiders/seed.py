"""The *seed* spider: URLs that a person names. `akashi capture` runs this very spider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from crawler.spiders.base import AkashiSpider, being_checked
from evidence.errors import UsageError
from pipelines.candidate import Candidate


class SeedSpider(AkashiSpider):
    """Yields each URL it is given as a candidate; fetches nothing itself.

    Usage: scrapy crawl seed -a url=URL [-a url=…] | -a file=LIST
    """

    name = "seed"
    reach = "any public URL that a person names; one a line in a file"

    def __init__(
        self, url: str = "", file: str = "", urls: Sequence[str] = (), *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.urls = [*urls, *url.split(), *(read_list(Path(file)) if file else [])]
        if not self.urls and not being_checked():
            raise UsageError("the seed spider was given no URL", next="scrapy crawl seed -a url=URL")

    async def start(self) -> AsyncIterator[Candidate]:
        """One candidate a URL, in their order."""
        for rank, url in enumerate(self.urls, start=1):
            yield self.candidate(url, rank=rank, named_by_person=True)


def read_list(path: Path) -> list[str]:
    """URLs from a text file: one a line, `#` begins a comment. Raises UsageError."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", next="give a UTF-8 text file with one URL a line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
