"""What a page says of itself, read off its DOM: each fact with where it stood. Facts, never verdicts.

    {"published": {"value": "2026-11-20T21:15:00+09:00", "where": "json-ld[0].uploadDate"},
     "likes":     {"value": "1893", "where": "microdata[0].interactionStatistic[1].userInteractionCount"},
     "uploader":  {"value": "星屑ラボ", "where": "meta[author]"}}

Markup is read in this order, the first that names a fact wins: JSON-LD, microdata (both schema.org),
OpenGraph and other <meta>, <time>. Values are the page's own text, cut at 2,000 characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from parsel import Selector

VALUE_MAX: Final = 2000
"""Characters of one value."""
_ITEMS_MAX: Final = 500
"""Nodes, metas and hints that are looked at: a hostile page must not keep us busy."""
_DEPTH_MAX: Final = 12
_HTML_MAX: Final = 32 << 20

Node = dict[str, Any]

_SUBJECTS: Final = re.compile(
    r"VideoObject|Clip|Movie|SocialMediaPosting|DiscussionForumPosting|BlogPosting|Article"
)
_SCHEMA: Final = {
    "title": ("name", "headline"),
    "description": ("description", "articleBody", "text"),
    "uploader": ("author.name", "creator.name", "author", "creator"),
    "uploader_url": ("author.url", "creator.url"),
    "published": ("uploadDate", "datePublished", "dateCreated"),
    "modified": ("dateModified",),
    "duration": ("duration",),
    "thumbnail": ("thumbnailUrl", "thumbnail.url", "image.url", "image"),
    "views": ("interactionCount",),
    "comments": ("commentCount",),
}
_COUNTS: Final = {
    "WatchAction": "views",
    "ViewAction": "views",
    "LikeAction": "likes",
    "CommentAction": "comments",
    "ShareAction": "shares",
}
_METAS: Final = re.compile(r"(og|twitter|article|video|profile):|(author|description)$")
_META: Final = {
    "title": ("og:title", "twitter:title"),
    "description": ("og:description", "twitter:description", "description"),
    "uploader": ("article:author", "author", "twitter:creator", "profile:username"),
    "published": ("article:published_time", "video:release_date", "og:published_time"),
    "modified": ("article:modified_time", "og:updated_time"),
    "duration": ("video:duration", "og:video:duration"),
    "thumbnail": ("og:image:secure_url", "og:image", "twitter:image"),
}
_META_HINTS: Final = (
    "og:video:secure_url",
    "og:video:url",
    "og:video",
    "twitter:player:stream",
    "twitter:player",
)


@dataclass(slots=True)
class Displayed:
    """What was read; `canonical` and `hints` are absolute URLs."""

    base: str
    """What the page's links are relative to."""
    canonical: str = ""
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name → {value, where}."""
    meta: dict[str, list[str]] = field(default_factory=dict)
    """OpenGraph, Twitter and article metas, as they stand."""
    hints: list[str] = field(default_factory=list)
    """URLs that the markup names as the page's video, the plainest first."""

    def fact(self, name: str, value: Any, where: str) -> None:
        """Take a fact, unless it is empty or known already."""
        text = _clean("" if value is None else str(value))
        if text and name not in self.facts:
            self.facts[name] = {"value": text, "where": where}

    def hint(self, value: Any) -> None:
        """Take a video's URL."""
        url = _absolute(self.base, str(value))
        if url and url not in self.hints and len(self.hints) < _ITEMS_MAX:
            self.hints.append(url)


def read_displayed(html: str, url: str) -> Displayed:
    """Read the DOM of the page at `url`. Malformed markup is read as far as it goes, never raised on."""
    document = Selector(text=html[:_HTML_MAX] or "<html></html>", type="html")
    read = Displayed(_absolute(url, document.xpath("string(//base/@href)").get() or "") or url)
    read.canonical = _absolute(
        read.base, document.xpath("string(//link[@rel='canonical']/@href)").get() or ""
    )
    for where, node in _nodes(document):
        _read_node(read, where, node)
    _read_metas(read, document)
    for source in document.xpath("//video/@src | //video/source/@src")[:_ITEMS_MAX]:
        read.hint(source.get())
    read.fact("published", document.xpath("string(//time/@datetime)").get(), "time[datetime]")
    read.fact("title", document.xpath("string(//head/title)").get(), "title")
    return read


def _nodes(document: Selector) -> list[tuple[str, Node]]:
    """The schema.org nodes that can be about a post, those about a video first."""
    found: list[tuple[str, Node]] = []
    scripts = document.xpath("//script[@type='application/ld+json']/text()")
    for number, script in enumerate(scripts[:_ITEMS_MAX]):
        try:
            found += _walk(f"json-ld[{number}]", json.loads(script.get()), 0)
        except (ValueError, RecursionError):
            continue
    for number, item in enumerate(document.xpath("//*[@itemscope][not(@itemprop)]")[:_ITEMS_MAX]):
        found += _walk(f"microdata[{number}]", _microdata(item, 0), 0)
    subjects = [one for one in found[:_ITEMS_MAX] if _SUBJECTS.search(str(one[1].get("@type")))]
    return sorted(subjects, key=lambda one: "VideoObject" not in str(one[1]["@type"]))


def _walk(where: str, value: Any, depth: int) -> Iterator[tuple[str, Node]]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, dict):
        yield where, value
        for name, inner in value.items():
            yield from _walk(f"{where}.{name}", inner, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value[:_ITEMS_MAX]):
            yield from _walk(f"{where}[{number}]", inner, depth + 1)


def _microdata(item: Selector, depth: int) -> Node:
    """An itemscope as the JSON-LD node that says the same."""
    node: Node = {"@type": item.attrib.get("itemtype", "")}
    level = len(item.xpath("ancestor-or-self::*[@itemscope]"))
    own = item.xpath(f".//*[@itemprop][count(ancestor::*[@itemscope]) = {level}]")
    for prop in own[:_ITEMS_MAX] if depth < _DEPTH_MAX else ():
        name, value = prop.attrib["itemprop"], prop.xpath("string(@content | @datetime | @href | @src)").get()
        found = _microdata(prop, depth + 1) if "itemscope" in prop.attrib else value
        node[name] = [*_listed(node.get(name)), found or prop.xpath("string(.)").get()]
    return node


def _read_node(read: Displayed, where: str, node: Node) -> None:
    for name, paths in _SCHEMA.items():
        for path in paths:
            for at, value in _at(node, path):
                read.fact(name, value, f"{where}.{at}")
    for number, counter in enumerate(_listed(node.get("interactionStatistic"))[:_ITEMS_MAX]):
        kind = re.search(r"\w+Action", str(counter))
        if isinstance(counter, dict) and kind and kind[0] in _COUNTS:
            for at, value in _at(counter, "userInteractionCount"):
                read.fact(_COUNTS[kind[0]], value, f"{where}.interactionStatistic[{number}].{at}")
    for key in ("contentUrl", "embedUrl"):
        for _, value in _at(node, key):
            read.hint(value)


def _at(node: Node, path: str) -> Iterator[tuple[str, Any]]:
    """The plain values at a dotted path, each with its place."""
    name, _, rest = path.partition(".")
    values = _listed(node.get(name))
    for number, value in enumerate(values[:_ITEMS_MAX]):
        at = name if len(values) == 1 else f"{name}[{number}]"
        if rest and isinstance(value, dict):
            yield from ((f"{at}.{inner}", found) for inner, found in _at(value, rest))
        elif not rest and not isinstance(value, dict | list):
            yield at, value


def _read_metas(read: Displayed, document: Selector) -> None:
    for meta in document.xpath("//meta[@content]")[:_ITEMS_MAX]:
        name = (meta.attrib.get("property") or meta.attrib.get("name") or "").strip().lower()
        if _METAS.match(name):
            read.meta.setdefault(name[:100], []).append(_clean(meta.attrib["content"]))
    for fact, names in _META.items():
        for name in names:
            for value in read.meta.get(name, ()):
                read.fact(fact, value, f"meta[{name}]")
    for name in _META_HINTS:
        for value in read.meta.get(name, ()):
            read.hint(value)


def _absolute(base: str, value: str) -> str:
    try:
        url = urljoin(base, value.strip()) if value.strip() else ""
        return url if urlsplit(url).scheme in {"http", "https"} else ""
    except ValueError:
        return ""


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _clean(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:VALUE_MAX]
