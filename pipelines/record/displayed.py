"""What a page says of itself, read off its DOM: each fact with where it stood. Facts, never verdicts.

    {"published": {"value": "2026-11-20T21:15:00+09:00", "where": "json-ld[0].uploadDate"},
     "likes":     {"value": "1893", "where": "microdata[0].interactionStatistic[1].userInteractionCount"},
     "uploader":  {"value": "星屑ラボ", "where": "meta[name=author]"}}

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
_SUBJECTS: Final = re.compile(
    r"VideoObject|Clip|Movie|SocialMediaPosting|DiscussionForumPosting|BlogPosting|(News)?Article"
)
_META: Final = {
    "title": ("og:title", "twitter:title"),
    "description": ("og:description", "twitter:description", "description"),
    "uploader": ("article:author", "author", "twitter:creator", "profile:username"),
    "published": (
        "article:published_time",
        "video:release_date",
        "og:video:release_date",
        "og:published_time",
    ),
    "modified": ("article:modified_time", "og:updated_time"),
    "duration": ("video:duration", "og:video:duration"),
    "thumbnail": ("og:image:secure_url", "og:image", "twitter:image"),
}
_COUNTS: Final = {
    "Watch": "views",
    "View": "views",
    "Like": "likes",
    "Comment": "comments",
    "Share": "shares",
}
_LABELS: Final = {
    "views": "views", "plays": "views", "likes": "likes", "replies": "comments", "comments": "comments",
    "reposts": "shares", "shares": "shares", "posted at": "published",
}  # fmt: skip
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

    title: str = ""
    canonical: str = ""
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name → {value, where}."""
    meta: dict[str, list[str]] = field(default_factory=dict)
    """OpenGraph, Twitter and article metas, as they stand."""
    hints: list[str] = field(default_factory=list)
    """URLs that the markup names as the page's video, the plainest first."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {"facts": self.facts, "meta": self.meta}


def read_displayed(html: str, url: str) -> Displayed:
    """Read the DOM of the page at `url`. Malformed markup is read as far as it goes, never raised on."""
    document = Selector(text=html[:_HTML_MAX] or "<html></html>", type="html")
    base = _absolute(url, document.xpath("string(//base/@href)").get() or "") or url
    read = Displayed()
    read.title = _clean(document.xpath("string(//head/title | //title[not(ancestor::svg)])").get() or "")
    canonical = document.xpath("string(//link[translate(@rel,'CANOIL','canoil')='canonical']/@href)").get()
    read.canonical = _absolute(base, canonical or "")
    for where, node in _nodes(document):
        _read_node(read, where, node, base)
    _read_metas(read, document, base)
    _read_elements(read, document, base)
    _fact(read, "title", read.title, "title")
    return read


def _nodes(document: Selector) -> Iterator[tuple[str, Node]]:
    """The schema.org nodes that can be about a post, those about a video first."""
    found: list[tuple[str, Node]] = []
    for number, script in enumerate(
        document.xpath("//script[@type='application/ld+json']/text()")[:_ITEMS_MAX]
    ):
        try:
            found += _walk(f"json-ld[{number}]", json.loads(script.get()), 0)
        except (ValueError, RecursionError):
            continue
    for number, item in enumerate(document.xpath("//*[@itemscope][not(@itemprop)]")[:_ITEMS_MAX]):
        found += _walk(f"microdata[{number}]", _microdata(item, 0), 0)
    subjects = [(where, node) for where, node in found[:_ITEMS_MAX] if _SUBJECTS.search(_type(node))]
    return iter(sorted(subjects, key=lambda one: "VideoObject" not in _type(one[1])))


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
    node: Node = {"@type": (item.attrib.get("itemtype") or "").rpartition("/")[2]}
    if depth > _DEPTH_MAX:
        return node
    level = "count(ancestor::*[@itemscope])"
    own = item.xpath(f".//*[@itemprop][{level} = {int(float(item.xpath(level).get() or 0)) + 1}]")
    for prop in own[:_ITEMS_MAX]:
        name = prop.attrib["itemprop"]
        if "itemscope" in prop.attrib:
            value: Any = _microdata(prop, depth + 1)
        else:
            stated = (prop.attrib.get(at) for at in ("content", "datetime", "href", "src"))
            value = next((one for one in stated if one), None) or prop.xpath("normalize-space(.)").get()
        node[name] = [*_listed(node.get(name)), value] if name in node else value
    return node


def _read_node(read: Displayed, where: str, node: Node, base: str) -> None:
    for name, paths in _SCHEMA.items():
        for path in paths:
            for at, value in _at(node, path):
                _fact(read, name, value, f"{where}.{at}")
    for number, counter in enumerate(_listed(node.get("interactionStatistic"))):
        if isinstance(counter, dict):
            kind = counter.get("interactionType", "")
            kind = _type(kind) if isinstance(kind, dict) else str(kind)
            name = next((name for word, name in _COUNTS.items() if f"{word}Action" in kind), "")
            at = f"{where}.interactionStatistic[{number}].userInteractionCount"
            _fact(read, name, counter.get("userInteractionCount"), at)
    for key in ("contentUrl", "embedUrl"):
        for _, value in _at(node, key):
            _hint(read, base, value)


def _at(node: Node, path: str) -> Iterator[tuple[str, Any]]:
    """The plain values at a dotted path; of a list, the first that has one."""
    name, _, rest = path.partition(".")
    values = _listed(node.get(name))
    for number, value in enumerate(values[:_ITEMS_MAX]):
        at = name if len(values) == 1 else f"{name}[{number}]"
        if rest and isinstance(value, dict):
            yield from ((f"{at}.{inner}", found) for inner, found in _at(value, rest))
        elif not rest and not isinstance(value, dict | list):
            yield at, value


def _read_metas(read: Displayed, document: Selector, base: str) -> None:
    for meta in document.xpath("//meta[@content]")[:_ITEMS_MAX]:
        name = (meta.attrib.get("property") or meta.attrib.get("name") or "").strip().lower()
        if re.match(r"(og|twitter|article|video|profile):|(author|description)$", name):
            read.meta.setdefault(name[:100], []).append(_clean(meta.attrib["content"]))
    for fact, names in _META.items():
        for name in names:
            for value in read.meta.get(name, ()):
                _fact(read, fact, value, f"meta[{name}]")
    for number in range(1, 5):
        label = (read.meta.get(f"twitter:label{number}") or [""])[0].lower()
        for value in read.meta.get(f"twitter:value{number}", ()):
            _fact(read, _LABELS.get(label, ""), value, f"meta[twitter:value{number}]")
    for name in _META_HINTS:
        for value in read.meta.get(name, ()):
            _hint(read, base, value)


def _read_elements(read: Displayed, document: Selector, base: str) -> None:
    for source in document.xpath("//video/@src | //video/source/@src")[:_ITEMS_MAX]:
        _hint(read, base, source.get())
    for time in document.xpath("//time/@datetime")[:1]:
        _fact(read, "published", time.get(), "time[datetime]")


def _fact(read: Displayed, name: str, value: Any, where: str) -> None:
    text = _clean("" if value is None or isinstance(value, bool) else str(value))
    if name and text and name not in read.facts:
        read.facts[name] = {"value": text, "where": where}


def _hint(read: Displayed, base: str, value: Any) -> None:
    url = _absolute(base, str(value))
    if url and url not in read.hints and len(read.hints) < _ITEMS_MAX:
        read.hints.append(url)


def _absolute(base: str, value: str) -> str:
    try:
        url = urljoin(base, value.strip()) if value.strip() else ""
        return url if urlsplit(url).scheme in {"http", "https"} else ""
    except ValueError:
        return ""


def _type(node: Node) -> str:
    return " ".join(str(one) for one in _listed(node.get("@type")))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _clean(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:VALUE_MAX]
