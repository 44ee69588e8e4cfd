"""The posts of 星空ビデオ, an invented platform that shows what real ones show, with invented works.

Titles and tags follow the shape of real posts of generated videos; every name is made up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Post:
    """One post as its page, the listing and the feed show it."""

    path: str
    title: str
    text: str
    clip: str
    """Name of its still picture and, unless `video` says otherwise, of its MP4."""
    uploader: str = "星屑ラボ"
    account: str = "hoshikuzu_lab"
    uploaded: str = "2026-11-20T21:15:00+09:00"
    seconds: int = 6
    views: int = 48210
    likes: int = 1893
    comments: int = 3
    video: str = ""
    """Path or URL of the video when it is not the clip's MP4."""
    video_type: str = "video/mp4"
    listed: bool = True


POSTS = (
    Post(
        "/post/1",
        "【AI動画】星ねこ騎士団 第0話「流星の夜」 #sora2 #AI生成",
        "架空の作品「星ねこ騎士団」をAIで動かしてみた。プロンプトは非公開です。"
        " A made-up trailer of a made-up show.",
        "one",
    ),
    Post(
        "/post/2",
        "Comet Kart Gaiden: lap 3 of 3 (made with AI)",
        "image to video, one take. Comet Kart is an invented game; nobody owns it.",
        "two",
        uploader="Mira Tests",
        account="mira_tests",
        uploaded="2026-11-21T08:02:11+09:00",
        seconds=4,
        views=734,
        likes=52,
    ),
    Post(
        "/post/hls",
        "ノネム・クエスト 実写化してみた(HLS配信)",
        "動画生成AIで架空のRPGを実写化。配信は6つの断片に分かれています。",
        "one",
        video="/media/hls/index.m3u8",
        video_type="application/vnd.apple.mpegurl",
        uploaded="2026-11-21T19:40:00+09:00",
        views=12044,
        likes=860,
    ),
    Post(
        "/post/split",
        "Ninefold Fox: picture and sound apart (DASH)",
        "The player fetches one file for the picture and one for the sound, as large platforms do.",
        "five",
        uploader="Mira Tests",
        account="mira_tests",
        video="/media/manifest.mpd",
        video_type="application/dash+xml",
        uploaded="2026-11-22T10:00:00+09:00",
        seconds=4,
        views=2207,
        likes=131,
    ),
    Post(
        "/friendly/post/1",
        "夕焼けの丘 — AIで描いた空",
        "グラデーションだけの五秒間。Five seconds of evening sky, generated.",
        "three",
        uploader="空いろ工房",
        account="sorairo",
        uploaded="2026-11-22T17:30:00+09:00",
        seconds=5,
        views=318,
        likes=44,
        listed=False,
    ),
    Post(
        "/friendly/post/2",
        "こびとの街あかり | Lights of a tiny town (AI generated)",
        "セル・オートマトンの街に灯がともる。A cellular town lights up for the night.",
        "four",
        uploader="空いろ工房",
        account="sorairo",
        uploaded="2026-11-22T20:05:00+09:00",
        seconds=5,
        views=95,
        likes=12,
        listed=False,
    ),
    Post(
        "/private/post/3",
        "下書き:まだ見せたくない動画",
        "robots.txt が /private/ を断っているので、Akashi はこの頁を開きません。",
        "two",
        uploader="空いろ工房",
        account="sorairo",
        uploaded="2026-11-22T23:59:00+09:00",
        seconds=4,
        views=1,
        likes=0,
        listed=False,
    ),
)
BY_PATH = {post.path: post for post in POSTS}
