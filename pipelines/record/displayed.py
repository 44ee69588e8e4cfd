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

_SUBJECTS: Final = re.compile(r"VideoObject|Clip|Movie|Posting|Article")
_SCHEMA: Final = {
    "title": ("name", "headline"),
    "description": ("description", "articleBody", "text"),
    "uploader": ("author.name", "creator.name", "author", "creator"),
    "published": ("uploadDate", "datePublished", "dateCreated"),
    "views": ("interactionCount",),
    "comments": ("commentCount",),
}
_COUNTS: Final = {
    "Watch": "views",
    "View": "views",
    "Like": "likes",
    "Comment": "comments",
    "Share": "shares",
}
_METAS: Final = re.compile(r"(og|twitter|article|video|profile):|(author|description)$")
_META: Final = {
    "title": ("og:title", "twitter:title"),
    "description": ("og:description", "twitter:description", "description"),
    "uploader": ("article:author", "author", "twitter:creator", "profile:username"),
    "published": ("article:published_time", "video:release_date", "og:published_time"),
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
        text = _clean(str(value)) if isinstance(value, str | int | float) else ""
        if name and text and name not in self.facts:
            self.facts[name] = {"value": text, "where": where}

    def hint(self, value: Any) -> None:
        """Take a video's URL."""
        url = _absolute(self.base, value) if isinstance(value, str) else ""
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
    found: list[tuple[str, Any]] = []
    scripts = document.xpath("//script[@type='application/ld+json']/text()")
    for number, script in enumerate(scripts[:_ITEMS_MAX]):
        try:
            found += _walk(f"json-ld[{number}]", json.loads(script.get()), 0)
        except (ValueError, RecursionError):
            continue
    for number, item in enumerate(document.xpath("//*[@itemscope][not(@itemprop)]")[:_ITEMS_MAX]):
        found += _walk(f"microdata[{number}]", _microdata(item, 0), 0)
    nodes = [one for one in found if isinstance(one[1], dict)][:_ITEMS_MAX]
    subjects = [one for one in nodes if _SUBJECTS.search(_words(one[1].get("@type")))]
    return sorted(subjects, key=lambda one: "VideoObject" not in _words(one[1]["@type"]))


def _walk(where: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The value and all that lies in it, each with its place; lists themselves are left out."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, list):
        for number, inner in enumerate(value[:_ITEMS_MAX]):
            yield from _walk(f"{where}[{number}]", inner, depth + 1)
        return
    yield where, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(f"{where}.{name}", inner, depth + 1)


def _microdata(item: Selector, depth: int) -> Node:
    """An itemscope as the JSON-LD node that says the same."""
    node: dict[str, list[Any]] = {"@type": [item.attrib.get("itemtype", "")]}
    level = len(item.xpath("ancestor-or-self::*[@itemscope]"))
    own = item.xpath(f".//*[@itemprop][count(ancestor::*[@itemscope]) = {level}]")
    for prop in own[:_ITEMS_MAX] if depth < _DEPTH_MAX else ():
        name, value = prop.attrib["itemprop"], prop.xpath("string(@content | @datetime | @href | @src)").get()
        found = _microdata(prop, depth + 1) if "itemscope" in prop.attrib else value
        node.setdefault(name, []).append(found or prop.xpath("string(.)").get())
    return {name: values if len(values) > 1 else values[0] for name, values in node.items()}


def _words(value: Any) -> str:
    return " ".join(str(held) for _, held in _walk("", value, 0) if isinstance(held, str))


def _read_node(read: Displayed, where: str, node: Node) -> None:
    held = [(re.sub(r"\[\d+\]", "", at), at, value) for at, value in _walk("", node, 0)]
    for name, paths in _SCHEMA.items():
        for path in paths:
            for plain, at, value in held:
                if plain == f".{path}":
                    read.fact(name, value, where + at)
    for plain, at, value in held:
        if plain == ".interactionStatistic" and isinstance(value, dict):
            kind = re.search(r"(\w+)Action", _words(value))
            name = _COUNTS.get(kind[1] if kind else "", "")
            read.fact(name, value.get("userInteractionCount"), f"{where}{at}.userInteractionCount")
        if plain in {".contentUrl", ".embedUrl"}:
            read.hint(value)


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


def _clean(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:VALUE_MAX]
