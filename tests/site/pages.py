"""The platform's pages: listings, feed, robots, and the posts that hold a video."""

from __future__ import annotations

import html as markup
import json
from datetime import datetime
from email.utils import format_datetime

from tests.site import names
from tests.site.clips import media
from tests.site.messages import Request, Response, gzipped, html, redirect, typed
from tests.site.posts import BY_PATH, POSTS, Post
from tests.site.router import Router
from tests.site.templating import render

router = Router()


def origin(request: Request, host: str = names.VIDEOS) -> str:
    """`https://host:port` of one of the site's hosts."""
    return f"https://{host}:{request.port}"


def framed(request: Request, title: str, body: str, *, head: str = "", lang: str = "ja") -> str:
    """A page of the platform around `body` (HTML)."""
    values = {"title": title, "body": body, "head": head, "lang": lang}
    return render("frame.html", {**values, "cdn": origin(request, names.CDN)})


def video_url(request: Request, post: Post) -> str:
    """Where the post's video lies."""
    return origin(request, names.CDN) + (post.video or f"/media/{post.clip}.mp4")


def post_page(request: Request, post: Post, *, extra: str = "", video: str = "") -> str:
    """The post's page: OpenGraph, JSON-LD, player; `extra` (HTML) follows the player."""
    url = video or video_url(request, post)
    page = origin(request) + post.path
    image = f"{origin(request, names.CDN)}/img/{post.clip}.jpg"
    values = {
        "title": post.title,
        "text": post.text,
        "uploader": post.uploader,
        "account": post.account,
        "channel": f"{origin(request)}/@{post.account}",
        "uploaded": post.uploaded,
        "shown_date": f"{datetime.fromisoformat(post.uploaded):%Y年%-m月%-d日 %H:%M}",
        "views": f"{post.views:,}",
        "likes": f"{post.likes:,}",
        "video": url,
        "video_type": post.video_type,
        "image": image,
        "page": page,
        "initial": post.uploader[0],
        "extra": extra,
        "json_ld": json.dumps(_json_ld(post, page, url, image), ensure_ascii=False, indent=1),
        "player": '<script src="/assets/player.js" defer></script>' if "dash" in post.video_type else "",
    }
    head = render("post.head.html", values)
    return framed(request, post.title, render("post.html", values), head=head)


def _json_ld(post: Post, page: str, url: str, image: str) -> dict[str, object]:
    """schema.org VideoObject, as platforms embed it for search engines."""
    counts = {"WatchAction": post.views, "LikeAction": post.likes, "CommentAction": post.comments}
    return {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "@id": page,
        "name": post.title,
        "description": post.text,
        "uploadDate": post.uploaded,
        "duration": f"PT{post.seconds}S",
        "thumbnailUrl": [image],
        "contentUrl": url,
        "encodingFormat": post.video_type,
        "author": {"@type": "Person", "name": post.uploader, "alternateName": f"@{post.account}"},
        "interactionStatistic": [
            {
                "@type": "InteractionCounter",
                "interactionType": {"@type": f"https://schema.org/{kind}"},
                "userInteractionCount": count,
            }
            for kind, count in counts.items()
        ],
    }


@router.page("/post/1")
def full_post(request: Request) -> Response:
    """The test post: every kind of exchange that a page makes."""
    port = str(request.port)
    extra = render(
        "post1.extra.html", {"cdn": origin(request, names.CDN), "other": origin(request, names.OTHER)}
    )
    headers = [
        ("Set-Cookie", "session=hoshi-1; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ("Set-Cookie", f"port={port}; Path=/; Secure"),
        ("X-Post-Title", "流星の夜"),
        ("Cache-Control", "no-store"),
    ]
    return gzipped(html(post_page(request, BY_PATH["/post/1"], extra=extra), headers=headers))


@router.page("/p/<number>")
def short_link(request: Request, number: str) -> Response:
    """The short link that people share."""
    return redirect(f"{origin(request)}/post/{number}")


def _plain(post: Post) -> None:
    @router.page(post.path)
    def plain_post(request: Request) -> Response:
        return html(post_page(request, post))


for _post in POSTS[1:]:
    _plain(_post)


@router.page("/listing")
def listing(request: Request) -> Response:
    """New posts, with links that lead elsewhere too, as any listing has."""
    cards = "".join(_card(request, post) for post in POSTS if post.listed)
    intro = "新着の動画です。New videos, for Akashi's tests."
    body = render("listing.html", {"heading": "新着動画", "intro": intro, "cards": cards})
    return html(framed(request, "新着動画 — 星空ビデオ", body, head=_feed_link(request)))


@router.page("/friendly/listing")
def friendly_listing(request: Request) -> Response:
    """The demo's listing: two posts to capture and one that robots.txt keeps us from."""
    friendly = [post for post in POSTS if post.path.startswith(("/friendly/", "/private/"))]
    cards = "".join(_card(request, post) for post in friendly)
    intro = (
        "小さな見本の一覧です。二つは保存され、三つめは robots.txt に従って開かれません。"
        " Two of these will be captured; the third is left alone because robots.txt asks for it."
    )
    body = render("listing.html", {"heading": "空いろ工房の動画", "intro": intro, "cards": cards})
    return html(framed(request, "空いろ工房の動画 — 星空ビデオ", body))


def _card(request: Request, post: Post) -> str:
    image = f"{origin(request, names.CDN)}/img/{post.clip}.png"
    when = f"{datetime.fromisoformat(post.uploaded):%-m月%-d日}"
    values = {"path": post.path, "title": post.title, "uploader": post.uploader, "image": image}
    return render(
        "card.html", {**values, "views": f"{post.views:,}", "when": when, "seconds": f"0:{post.seconds:02}"}
    )


def _feed_link(request: Request) -> str:
    url = f"{origin(request)}/feed.xml"
    return f'<link rel="alternate" type="application/rss+xml" title="星空ビデオ 新着" href="{url}">'


@router.page("/feed.xml")
def feed(request: Request) -> Response:
    """RSS 2.0 of the listed posts; those with an MP4 carry an enclosure."""
    items = "".join(_feed_item(request, post) for post in POSTS if post.listed)
    text = render("feed.xml", {"site": origin(request), "items": items})
    return typed(text.encode(), "application/rss+xml; charset=utf-8")


def _feed_item(request: Request, post: Post) -> str:
    url = origin(request) + post.path
    enclosure = ""
    if not post.video:
        length = media().path(f"{post.clip}.mp4").stat().st_size
        enclosure = f'<enclosure url="{video_url(request, post)}" length="{length}" type="video/mp4"/>'
    date = format_datetime(datetime.fromisoformat(post.uploaded))
    return (
        f"<item><title>{markup.escape(post.title)}</title><link>{url}</link>"
        f'<guid isPermaLink="true">{url}</guid><pubDate>{date}</pubDate>'
        f"<dc:creator>{markup.escape(post.uploader)}</dc:creator>"
        f"<description>{markup.escape(post.text)}</description>{enclosure}</item>\n"
    )


@router.page("/robots.txt")
def robots(request: Request) -> Response:
    """Leaves everything open but /private/."""
    text = f"User-agent: *\nDisallow: /private/\n\nSitemap: {origin(request)}/sitemap.xml\n"
    return typed(text.encode(), "text/plain; charset=utf-8")


@router.page("/")
def home(request: Request) -> Response:
    """The front page leads to the listing."""
    return redirect(f"{origin(request)}/listing")


@router.page("/embed/<number>")
def embed(request: Request, number: str) -> Response:
    """What the frame from the second party shows."""
    return html(render("embed.html", {"cdn": origin(request, names.CDN)}))


@router.page("/about")
def about(request: Request) -> Response:
    """Says what this site is."""
    return html(framed(request, "このサイトについて — 星空ビデオ", render("about.html", {})))


@router.page("/@<account>")
def channel(request: Request, account: str) -> Response:
    """A person's page, without a video of its own."""
    theirs = [post for post in POSTS if post.account == account and post.listed]
    cards = "".join(_card(request, post) for post in theirs)
    body = render("listing.html", {"heading": f"@{account}", "intro": "このアカウントの動画", "cards": cards})
    return html(framed(request, f"@{account} — 星空ビデオ", body))
