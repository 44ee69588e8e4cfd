"""What pages say of themselves, on markup of the shapes that platforms really serve."""

from __future__ import annotations

import json

import pytest

from pipelines.record.displayed import VALUE_MAX, Displayed, read_displayed

URL = "https://v.example.test/watch?v=1"


def page(head: str = "", body: str = "") -> Displayed:
    return read_displayed(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>", URL)


def fact(read: Displayed, name: str) -> tuple[str, str]:
    return read.facts[name]["value"], read.facts[name]["where"]


def json_ld(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


def test_json_ld_of_a_video_is_read_with_its_place():
    read = page(
        json_ld({"@type": "BreadcrumbList", "name": "crumbs"})
        + json_ld(
            {
                "@context": "https://schema.org",
                "@graph": [
                    {
                        "@type": ["VideoObject"],
                        "name": "星ねこ",
                        "uploadDate": "2026-11-20",
                        "contentUrl": "/v.mp4",
                        "author": [{"@type": "Person", "name": "Lab", "url": "/@lab"}],
                        "interactionStatistic": [
                            {"interactionType": {"@type": "LikeAction"}, "userInteractionCount": 7},
                            {
                                "interactionType": "http://schema.org/WatchAction",
                                "userInteractionCount": "12",
                            },
                        ],
                    }
                ],
            }
        )
    )
    at = "json-ld[1].@graph[0]"
    assert fact(read, "title") == ("星ねこ", f"{at}.name")
    assert fact(read, "published") == ("2026-11-20", f"{at}.uploadDate")
    assert fact(read, "uploader") == ("Lab", f"{at}.author[0].name")
    assert fact(read, "likes") == ("7", f"{at}.interactionStatistic[0].userInteractionCount")
    assert fact(read, "views") == ("12", f"{at}.interactionStatistic[1].userInteractionCount")
    assert read.hints == ["https://v.example.test/v.mp4"]


def test_microdata_of_a_video_is_read_with_its_nested_items():
    read = page(
        body="""<div itemscope itemtype="http://schema.org/VideoObject">
        <meta itemprop="name" content="Trailer"><meta itemprop="uploadDate" content="2017-04-14">
        <span itemprop="author" itemscope itemtype="http://schema.org/Person">
          <link itemprop="url" href="http://v.test/@one"><link itemprop="name" content="ONE Media"></span>
        <meta itemprop="interactionCount" content="1077715"></div>"""
    )
    assert fact(read, "title") == ("Trailer", "microdata[0].name")
    assert fact(read, "uploader") == ("ONE Media", "microdata[0].author.name")
    assert fact(read, "views") == ("1077715", "microdata[0].interactionCount")


def test_metas_are_read_when_no_schema_says_it():
    read = page(
        """<title>Post &amp; more</title><link rel="canonical" href="/p/1">
        <meta property="og:title" content="Title"><meta property="og:video" content="//cdn.test/v.mp4">
        <meta property="article:published_time" content="2026-01-26T18:50:48Z">
        <meta name="twitter:label2" content="Likes">
        <meta name="author" content="Somebody">"""
    )
    assert fact(page("<title>Post &amp; more</title>"), "title") == ("Post & more", "title")
    assert read.canonical == "https://v.example.test/p/1"
    assert fact(read, "title") == ("Title", "meta[og:title]")
    assert fact(read, "published") == ("2026-01-26T18:50:48Z", "meta[article:published_time]")
    assert read.meta["twitter:label2"] == ["Likes"]
    assert fact(read, "uploader") == ("Somebody", "meta[author]")
    assert read.hints == ["https://cdn.test/v.mp4"]
    assert read.meta["og:title"] == ["Title"]


def test_schema_wins_over_metas_and_elements_come_last():
    read = page(
        '<meta property="og:title" content="meta">' + json_ld({"@type": "VideoObject", "name": "schema"}),
        '<time datetime="2018-01-27T22:42:06Z">then</time><video><source src="a.mp4"></video>',
    )
    assert fact(read, "title") == ("schema", "json-ld[0].name")
    assert fact(read, "published") == ("2018-01-27T22:42:06Z", "time[datetime]")
    assert read.hints == ["https://v.example.test/a.mp4"]


def test_a_video_is_preferred_to_the_article_around_it():
    read = page(
        json_ld([{"@type": "NewsArticle", "headline": "News"}, {"@type": "VideoObject", "name": "The video"}])
    )
    assert fact(read, "title")[0] == "The video"


@pytest.mark.parametrize(
    "html",
    [
        "",
        "\0\0\0",
        "<",
        "<html" * 5000,
        "<div>" * 20000,
        '<script type="application/ld+json">{"@type":"VideoObject",</script>',
        '<script type="application/ld+json">' + "[" * 100000 + "</script>",
        '<script type="application/ld+json">{"@type":{"a":1},"author":7,"interactionStatistic":[1,null]}</script>',
        '<script type="application/ld+json">{"@type":"VideoObject","interactionStatistic":'
        + '{"a":' * 900
        + "1"
        + "}" * 902
        + "</script>",
        '<base href="http://[bad"><link rel=canonical href="http://[worse"><video src="http://[::1">',
        '<meta property="og:video" content="javascript:alert(1)"><video src="blob:https://x/1">',
    ],
    ids=range(11),
)
def test_hostile_or_broken_markup_is_read_as_far_as_it_goes(html):
    read = read_displayed(html, URL)
    assert read.hints == []


def test_values_are_cut_and_plain_text():
    read = page(f"<title>{'あ ' * 5000}</title>")
    assert len(fact(read, "title")[0]) == VALUE_MAX
    assert json.dumps([read.facts, read.meta])
