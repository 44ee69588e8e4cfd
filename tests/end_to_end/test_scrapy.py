"""Must show 2: Scrapy behaves as Scrapy documents, and both ways to a capture are one."""

from __future__ import annotations

import json

VARIABLE = {
    "id",
    "time",
    "started",
    "ended",
    "date",
    "requested_at",
    "read_at",
    "salt",
    "elapsed_us",
    "skew_ms",
    "monotonic_us",
}


def test_list_names_both_spiders(archive):
    done = archive.run("scrapy", "list")
    assert done.stdout.split() == ["feeds", "seed"]


def test_check_runs_the_spiders_contracts_without_touching_the_network(archive):
    done = archive.run("scrapy", "check")
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stderr


def test_feeds_writes_what_it_found_and_captured(site, own_archive, tmp_path):
    found = tmp_path / "found.jsonl"
    done = own_archive.run(
        "scrapy", "crawl", "feeds", "-a", f"url={site.url('/friendly/listing')}", "-o", str(found),
        "-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0", "-s", "AKASHI_NO_VIDEO=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    items = [json.loads(line) for line in found.read_text("utf-8").splitlines()]
    assert len(items) == 2
    assert {item["outcome"] for item in items} == {"partial"}  # the video was not asked for
    assert all(item["query"] == site.url("/friendly/listing") for item in items)
    assert "robots" in done.stderr
    again = own_archive.run(
        "scrapy", "crawl", "feeds", "-a", f"url={site.url('/friendly/listing')}",
        "-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0",
    )  # fmt: skip
    assert "captured already" in again.stderr
    assert "'item_scraped_count'" not in again.stderr


def test_the_rss_feed_leads_to_the_same_posts(site, own_archive, tmp_path):
    found = tmp_path / "found.jsonl"
    done = own_archive.run(
        "scrapy", "crawl", "feeds", "-a", f"url={site.url('/feed.xml')}", "-a", "limit=1", "-o", str(found),
        "-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0", "-s", "AKASHI_NO_VIDEO=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (item,) = (json.loads(line) for line in found.read_text("utf-8").splitlines())
    assert item["rank"] == 1
    manifest = own_archive.objects("akashi", "show", item["capture"])[0]["manifest"]
    assert manifest["request"]["found_by"]["crawl"]["warc"].startswith("crawls/")


def test_the_same_url_by_scrapy_and_by_akashi_gives_equal_manifests(site, own_archive):
    url = site.url("/post/novideo")  # a player's reads differ from run to run
    own_archive.capture(url, options=("--no-video",), code=3)
    done = own_archive.run(
        "scrapy",
        "crawl",
        "seed",
        "-a",
        f"url={url}",
        "-s",
        "AKASHI_ALLOW_PRIVATE=1",
        "-s",
        "AKASHI_NO_VIDEO=1",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = own_archive.objects("akashi", "list")
    one, other = (own_archive.objects("akashi", "show", row["capture"])[0]["manifest"] for row in rows)
    ids = {one["capture"]["id"]: "ID", other["capture"]["id"]: "ID"}
    assert shape(one, ids) == shape(other, ids)
    crawls = [entry for entry in own_archive.entries() if entry["type"].startswith("crawl.")]
    assert not crawls  # Scrapy itself fetched robots.txt only, and that stands in the captures' own WARCs


def shape(value, ids):
    """The value without what differs from run to run: ids, times, digests of bytes that hold them, salt."""
    if isinstance(value, dict):
        return {k: shape(v, ids) for k, v in value.items() if k not in VARIABLE | NOISE}
    if isinstance(value, list):
        return [shape(item, ids) for item in value]
    if isinstance(value, str):
        for name, same in ids.items():
            value = value.replace(name, same)
    return value


NOISE = {
    "sha256",
    "sha512",
    "size",
    "record",
    "records",
    "key",
    "detail",
    "started_entry",
    "server_dates",
    "command_line",
    "own_requests",
    "sandbox",
}


def test_a_crawl_without_preserve_or_prove_refuses_to_start(site, archive):
    for pipelines in ("{}", '{"pipelines.items.PagePipeline": 1, "pipelines.items.PreservePipeline": 2}'):
        done = archive.run(
            "scrapy",
            "crawl",
            "feeds",
            "-a",
            f"url={site.url('/listing')}",
            "-s",
            f"ITEM_PIPELINES={pipelines}",
        )
        assert done.returncode == 2
        assert "crawl refused" in done.stderr
        assert "downloader/request_count" not in done.stderr


def test_the_refusal_holds_outside_the_project_folder(archive, tmp_path):
    from tests.end_to_end.conftest import ROOT  # noqa: PLC0415

    done = archive.run(
        "scrapy",
        "runspider",
        str(ROOT / "crawler/spiders/seed.py"),
        "-a",
        "url=https://a.example/",
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "crawl refused" in done.stderr
