"""The blog itself: Debian's WordPress serves its feed and real clips, whole and by range."""

from __future__ import annotations

import subprocess
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import bare
from tests.wordpress.server import HOST, POSTS, WordPress

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def blog() -> Iterator[WordPress]:
    with WordPress() as running:
        yield running


def get(url: str, **headers: str) -> tuple[int, bytes]:
    port = url.removeprefix(f"http://{HOST}:").partition("/")[0]
    request = urllib.request.Request(  # noqa: S310
        url.replace(HOST, "127.0.0.1"), headers={"Host": f"{HOST}:{port}", **headers}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return answer.status, answer.read()


def enclosures(blog: WordPress) -> dict[str, ET.Element]:
    """By permalink, in the feed's order (newest first)."""
    feed = ET.fromstring(get(blog.feed)[1])  # noqa: S314
    return {item.findtext("link", ""): item.find("enclosure") for item in feed.iter("item")}  # type: ignore[misc]


def test_the_feed_lists_the_posts_newest_first_with_their_clips(blog: WordPress) -> None:
    found = enclosures(blog)
    assert list(found) == blog.posts[::-1]
    lengths = [int(found[url].get("length", "0")) for url in blog.posts]
    assert lengths == [blog.clip(n).stat().st_size for n in range(len(POSTS))]


def test_serves_a_clip_whole_and_by_range(blog: WordPress) -> None:
    whole = blog.clip(0).read_bytes()
    url = enclosures(blog)[blog.posts[0]].get("url", "")
    assert get(url) == (200, whole)
    assert get(url, Range="bytes=100-199") == (206, whole[100:200])
    assert get(url, Range="bytes=-10") == (206, whole[-10:])


def test_a_post_is_rendered_by_its_theme(blog: WordPress) -> None:
    page = get(blog.posts[0])[1].decode()
    assert "うさぎの朝" in page
    assert "<video controls src=" in page
    assert "wp-site-blocks" in page


def test_unmodified_yt_dlp_takes_the_clip_from_the_post(blog: WordPress, tmp_path: Path) -> None:
    command = bare.yt_dlp("--fixup", "never", "-o", f"{tmp_path}/clip.mp4", blog.posts[0])
    subprocess.run(command, check=True)
    assert (tmp_path / "clip.mp4").read_bytes() == blog.clip(0).read_bytes()


def test_two_blogs_do_not_meet() -> None:
    with WordPress() as one, WordPress() as two:
        assert one.base != two.base
        assert get(one.feed)[0] == get(two.feed)[0] == 200
