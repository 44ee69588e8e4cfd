"""Must show 3: others' tools accept the WARC and the WACZ, and their replayers show page and video without the web.

`tests/replay/setup` must have run. Screenshots are left in build/replay/screenshots, to be looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.record.chromium import VIEWPORT, find_chromium
from pipelines.record.index import read_index
from tests.end_to_end.conftest import Archive
from tests.replay import servers
from tests.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NO_WEB = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
SCREENSHOTS = servers.BUILD / "screenshots"
GRID = (16, 9)
CAPTURES = {
    "post": ("/p/1", (), 0),
    "hls": ("/post/hls", (), 0),
    "split": ("/post/split", (), 0),  # DASH, by a script that fetches and feeds the player
    "direct": ("/direct.mp4", (), 0),
    "browser": ("/post/2", ("--no-video",), 3),  # the video as the browser's player got it, in ranges
    "removed": ("/post/removed", (), 3),
}
FILMS = {"post": "one.mp4", "hls": "one.mp4", "split": "video.mp4", "direct": "two.mp4", "browser": "two.mp4"}
"""What the site served: the truth that the replayed picture is compared with."""
SEEK = """async () => {
    const video = document.querySelector("video");
    const either = (promise) => Promise.race([promise, new Promise((r) => setTimeout(() => r("late"), 20000))]);
    const once = (name) => new Promise((r) => video.addEventListener(name, () => r(name), { once: true }));
    video.muted = true;
    for (let n = 0; n < 300 && video.currentTime < 0.5; n++) {
        video.play().catch(() => {});  // a script may still be giving it its source
        await new Promise((r) => setTimeout(r, 100));
    }
    const played = video.currentTime;
    video.pause();
    video.controls = false;
    const said = [];
    for (const at of [3.02, 1.02]) {
        const sought = once("seeked");
        const shown = new Promise((r) => {  // "seeked" may come before its frame, and a frame from before it late
            const look = (_, frame) =>
                Math.abs(frame.mediaTime - at) < 0.1 ? r() : video.requestVideoFrameCallback(look);
            video.requestVideoFrameCallback(look);
        });
        video.currentTime = at;
        said.push(await either(sought));
        await Promise.race([shown, new Promise((r) => setTimeout(r, 5000))]);
        const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 9 });
        const picture = canvas.getContext("2d");
        picture.imageSmoothingQuality = "high";
        picture.drawImage(video, 0, 0, 16, 9);
        said.push([at, Array.from(picture.getImageData(0, 0, 16, 9).data).filter((_, n) => n % 4 < 3)]);
    }
    return { played, width: video.videoWidth, height: video.videoHeight, said };
}"""
DRAW = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 9 });
    const picture = canvas.getContext("2d");
    picture.imageSmoothingQuality = "high";
    picture.drawImage(document.querySelector("video"), 0, 0, 16, 9);
    return Array.from(picture.getImageData(0, 0, 16, 9).data).filter((_, n) => n % 4 < 3);
}"""
SEGMENTS = """async () => {
    const address = document.querySelector("video").currentSrc || document.querySelector("source").src;
    const segments = [0, 1, 2, 3, 4, 5].map((n) => new URL(`segment${n}.ts`, address));
    const sizes = segments.map(async (one) => (await (await fetch(one)).arrayBuffer()).byteLength);
    return [await (await fetch(address)).text(), await Promise.all(sizes)];
}"""
NEAR = 32
"""How far apart two pictures of one moment are at most: colours and scaling differ between Chromium and ffmpeg."""
POST = """async () => {
    const json = { "Content-Type": "application/json" };
    const body = JSON.stringify({ post: 1, 題: "流星の夜", mood: "🌠" });
    const form = new URLSearchParams({ post: "1", 名前: "ねこ", note: "a b&c=d" });
    const view = await fetch("/api/view?post=1", { method: "POST", headers: json, body });
    const like = await fetch("/api/like", { method: "POST", body: form });
    return [await view.json(), await like.json()];
}"""


@pytest.fixture(scope="module")
def captured(site: Site, archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Captures of several kinds, each with its files and its WACZ, by name; one failed."""
    folders = {}
    for name, (path, options, code) in {**CAPTURES, "failed": ("", (), 4)}.items():
        url = site.url(path) if path else site.closed_url
        for _ in range(6 if name == "browser" else 1):
            result = archive.capture(url, options=options, code=code)
            target = tmp_path_factory.mktemp(name)
            done = archive.run("akashi", "get", result["capture"], "--to", str(target), "--wacz")
            assert done.returncode == 0, done.stderr
            folders[name] = target / result["capture"]
            if in_one_answer(folders[name]):
                break
    return folders


def in_one_answer(folder: Path) -> bool:
    """Whether a player got its file in one answer; in ranges as it likes, replay has the first (docs/formats/wacz.md)."""
    answers = [line for line in read_index(next(folder.glob("*.warc.gz"))) if line.get("mime") == "video/mp4"]
    return any(not (line.get("truncated") or line.get("part")) for line in answers if line["status"] < 300)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Real Chromium, for which no host exists but 127.0.0.1."""
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", NO_WEB]
        yield playwright.chromium.launch(executable_path=find_chromium(), args=args)


@contextmanager
def replayed(browser: Browser, replayer: str, folder: Path, work: Path) -> Iterator[tuple[Page, Frame]]:
    """The captured page in a replayer: the whole window, and the frame that shows the page."""
    wacz = folder / f"{folder.name}.wacz"
    with zipfile.ZipFile(wacz) as members:
        shown = json.loads(members.read("pages/pages.jsonl").splitlines()[1])
    stamp = "".join(filter(str.isdigit, shown["ts"][:19]))
    served = servers.replayweb(wacz) if replayer == "replayweb.page" else servers.pywb(wacz, work)
    context = browser.new_context(viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]})
    try:
        with served as base:
            page = context.new_page()
            place = (
                f"?url={shown['url']}&ts={stamp}"
                if replayer == "replayweb.page"
                else f"{stamp}mp_/{shown['url']}"
            )
            yield page, _frame(page, base + place, f"mp_/{shown['url']}")
    finally:
        context.close()


def _frame(page: Page, url: str, ends: str) -> Frame:
    for attempt in range(
        3
    ):  # replayweb.page's own first start, while its worker installs, can miss its message
        page.goto(url) if not attempt else page.reload()
        for _ in range(60):
            found = [frame for frame in page.frames if frame.url.endswith(ends)]
            if found:
                try:
                    found[0].wait_for_load_state("load", timeout=30_000)
                except PlaywrightTimeout:
                    break
                return found[0]
            page.wait_for_timeout(500)
    raise AssertionError(f"{ends} was never shown, only {[frame.url for frame in page.frames]}")


def picture(source: Path, *, at: float = 0, only: str = "") -> list[int]:
    """A picture, or a film's at a time, as RGB values of a small grid: by ffmpeg."""
    size = f"{only}scale={GRID[0]}:{GRID[1]}:flags=area"
    command = ["ffmpeg", "-v", "error", "-ss", str(at), "-i", source, "-frames:v", "1", "-vf", size]
    done = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    )
    return list(done.stdout)


def apart(one: list[int], other: list[int]) -> float:
    """Mean difference of two pictures, 0 to 255."""
    assert len(one) == len(other) == 3 * GRID[0] * GRID[1]
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("name", [*CAPTURES, "failed"])
def test_strangers_accept_warc_and_wacz(captured, name):
    folder = captured[name]
    (warc,) = folder.glob("*.warc.gz")
    (wacz,) = folder.glob("*.wacz")
    here = Path(sys.executable).parent
    for command in (
        [here / "warcio", "check", warc],
        [here / "fastwarc", "check", "-p", warc],
        [servers.BIN / "wacz", "validate", "-f", wacz],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("replayer", ["replayweb.page", "pywb"])
def test_the_page_is_replayed_with_the_live_hosts_unreachable(captured, browser, replayer, site, tmp_path):
    mark = site.log.mark()
    with replayed(browser, replayer, captured["post"], tmp_path) as (page, frame):
        frame.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        assert "流星の夜" in frame.inner_text("h1")
        assert "これ本物なの" in frame.inner_text("#comments"), "what a script fetched"
        widths = frame.evaluate("Array.from(document.images, (i) => [i.alt, i.naturalWidth])")
        assert [alt for alt, width in widths if not width] == ["ない画像"], "which answered 404"
        (inner,) = frame.child_frames
        inner.get_by_text("3件の感想").wait_for(timeout=30_000)
        view, like = frame.evaluate(POST)
        assert view["echo"] == {"post": 1, "題": "流星の夜", "mood": "🌠"}
        assert like == {"post": "1", "名前": "ねこ", "note": "a b&c=d"}
        frame.evaluate("window.scrollTo(0, 0)")
        box = frame.frame_element().bounding_box()  # pywb has a banner above it
        shot = save(page.screenshot(clip=box), f"{replayer}-page.png")
    then = picture(
        captured["post"] / "screenshots" / "viewport.png", only=f"crop=iw:{box['height']:.0f}:0:0,"
    )
    assert apart(picture(shot), then) < 12, "as the capture's own screenshot shows it"
    assert site.log.since(mark) == []


# Chromium's own HLS player does not go on behind a playlist that a service worker gave it.
PLAYED = [
    (replayer, name)
    for replayer in ("replayweb.page", "pywb")
    for name in ("post", "hls", "split", "direct", "browser")
    if (replayer, name) != ("replayweb.page", "hls")
]


@pytest.mark.parametrize(("replayer", "name"), PLAYED)
def test_the_video_plays_and_seeks_in_the_archived_page(captured, browser, replayer, name, media, tmp_path):
    if name == "browser" and not in_one_answer(captured[name]):
        pytest.skip("six times the player got its file in several ranges")
    source = media.path(FILMS[name])
    with replayed(browser, replayer, captured[name], tmp_path) as (page, frame):
        frame.wait_for_selector("video", timeout=30_000)
        seen = frame.evaluate(SEEK)
        shot = f"{replayer}-{name}.png"
        screen = soon(lambda: picture(save(frame.locator("video").first.screenshot(), shot)), source, 1.02)
        then = soon(lambda: frame.evaluate(DRAW), source, 1.02)
        save(page.screenshot(), f"{replayer}-{name}-window.png")
    assert seen["played"] >= 0.5
    assert (seen["width"], seen["height"]) == (640, 360)
    first, (at, there), second, (back, _) = seen["said"]
    assert (first, second) == ("seeked", "seeked")
    for shown, moment in ((there, at), (then, back), (screen, back)):  # the last is the screen itself
        assert apart(shown, picture(source, at=moment)) < NEAR
        assert apart(shown, [0] * len(shown)) > 2 * NEAR, "not black"


def test_scripts_get_playlist_and_segments_from_replayweb_page(captured, browser, media, tmp_path):
    with replayed(browser, "replayweb.page", captured["hls"], tmp_path) as (_, frame):
        playlist, sizes = frame.evaluate(SEGMENTS)
    assert [line for line in playlist.splitlines() if line.endswith(".ts")] == [
        f"segment{n}.ts" for n in range(6)
    ]
    assert sizes == [len(media.read(f"hls/segment{n}.ts")) for n in range(6)]


def soon(take, source: Path, moment: float) -> list[int]:
    """What is shown, within ten seconds that of the moment: a busy machine paints a frame late."""
    for _ in range(20):
        shown = take()
        if apart(shown, picture(source, at=moment)) < NEAR:
            break
        time.sleep(0.5)
    return shown


def save(data: bytes, name: str) -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    (SCREENSHOTS / name).write_bytes(data)
    return SCREENSHOTS / name
