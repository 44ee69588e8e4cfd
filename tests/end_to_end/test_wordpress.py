"""Must show 7: a site that no one here wrote. WordPress from Debian, with real clips, found through its feed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Archive, fresh_home
from tests.wordpress.server import WordPress


@pytest.mark.slow
def test_the_feed_of_a_real_blog_is_captured_complete_and_the_audit_passes(tmp_path):
    with WordPress() as blog, fresh_home(blog.environment()) as archive:
        assert isinstance(archive, Archive)
        found = tmp_path / "found.jsonl"
        done = archive.run(
            "scrapy", "crawl", "feeds", "-a", f"url={blog.feed}", "-o", str(found),
            "-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        items = [json.loads(line) for line in found.read_text("utf-8").splitlines()]
        assert {item["url"] for item in items} == set(blog.posts)
        assert [item["outcome"] for item in items] == ["complete"] * len(blog.posts), items
        originals = {m["sha256"] for item in items for m in item["media"] if m["role"] == "original"}
        assert originals == {sha256_of(blog.clip(number)) for number in range(len(blog.posts))}
        assert archive.run("akashi", "audit").returncode == 0


def sha256_of(clip: Path | bytes) -> str:
    from evidence.digests import digest_bytes  # noqa: PLC0415

    return digest_bytes(clip if isinstance(clip, bytes) else clip.read_bytes()).sha256
