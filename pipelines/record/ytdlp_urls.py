r"""Finding the extractor of a URL without compiling the pattern of every site.

yt-dlp asks its 1900 extractors one after another, each with a pattern that has to be compiled
first: a third of the CPU of a small download. Most patterns begin in one way,

    https?://(?:www\.)?example\.com/watch/…          optional groups, then letters that must be there

and a URL without those letters cannot match, whatever follows, unless the pattern has another
branch beside this one. Such a pattern is passed over. So is PeerTube's list of a thousand hosts, unless the
URL's host is on it. Every other pattern is asked as before.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from yt_dlp.extractor import lazy_extractors

_PREFIX: Final = re.compile(r"https\?://(?:\(\?:[\w|.\\+*?-]+\)\??)*((?:[a-z0-9-]|\\\.)+)(?![?*{+|])")
"""A pattern's beginning; the last letter counts only if nothing makes it optional."""
_HOST_LIST: Final = "# Taken from https://instances.joinpeertube.org/instances"
"""Stands in the patterns that are a list of hosts, each with its dots escaped."""
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?\]?[^\]]*\]")
_GROUP: Final = re.compile(r"\([^()]*\)")


def can_match(pattern: str, url: str) -> bool:
    """False only if `pattern`, in Python's syntax, cannot match at the beginning of `url`."""
    if _HOST_LIST in pattern and url.startswith(("https://", "http://")):
        return (urlsplit(url).hostname or "").replace(".", "\\.") in pattern
    prefix = _PREFIX.match(pattern)
    return prefix is None or prefix[1].replace("\\.", ".") in url or _has_branches(pattern)


def skip_hopeless_patterns() -> None:
    """Make the lazy extractors of this process ask `can_match` before they compile a pattern."""
    base = lazy_extractors.LazyLoadExtractor
    match_compiled = base._match_valid_url.__func__  # noqa: SLF001

    def match(extractor: Any, url: str) -> Any:
        patterns = extractor._VALID_URL  # noqa: SLF001
        stated = [patterns] if isinstance(patterns, str) else patterns or []
        if stated and not any(can_match(pattern, url) for pattern in stated):
            return None
        return match_compiled(extractor, url)

    base._match_valid_url = classmethod(match)  # noqa: SLF001


def _has_branches(pattern: str) -> bool:
    """Whether an alternation may stand outside all groups and classes."""
    if "|" not in pattern:
        return False
    rest = _CLASS.sub("", _ESCAPED.sub("", pattern))
    while (shorter := _GROUP.sub("", rest)) != rest:
        rest = shorter
    return "|" in rest
