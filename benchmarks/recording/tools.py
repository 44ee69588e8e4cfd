"""What is measured, each as the command that does the job of one case: a page and its video, or many.

Versions are the newest that pip gave benchmarks/recording/setup; `missing` says which gave none.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.recording import content
from benchmarks.recording.web import BUILD, Web

_HERE: Final = Path(__file__).resolve().parent
_SHELL: Final = "/usr/lib/chromium/chromium-headless-shell"
_PYTHON: Final = shlex.quote(sys.executable)
_YTDLP: Final = f"{shlex.quote(str(Path(sys.executable).with_name('yt-dlp')))} -q --no-warnings --no-cache-dir --fixup never"
_FILES: Final = 'ITEM_PIPELINES={"scrapy.pipelines.files.FilesPipeline": 1}'


_FREE: Final = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"
_ANSWERS: Final = """
import os, socket, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
        break
    except OSError:
        time.sleep(0.1)
"""
_WARCPROX: Final = """
import sys
from warcprox.main import main
from warcprox.warcproxy import WarcProxyHandler
WarcProxyHandler.allow_localhost = True
sys.argv[0] = "warcprox"
main(sys.argv)
"""
"""It refuses this machine's own addresses and has no option for that."""


def _ready(environment: str) -> str:
    return str(BUILD / environment / "bin" / "ready")


@dataclass(frozen=True)
class Case:
    """Posts that are fetched in one run; `name` as the tables have it."""

    name: str
    posts: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Job:
    """One case for one tool: where to write, what to fetch, where the site's own files are."""

    folder: Path
    urls: Sequence[str]
    site: Path
    posts: Sequence[str]

    @property
    def quoted(self) -> str:
        """The URLs for a shell."""
        return shlex.join(self.urls)


@dataclass(frozen=True)
class Tool:
    """`script` gives what /bin/sh runs. `most` posts are given to a slow tool and its figures multiplied."""

    name: str
    about: str
    script: Callable[[Job], str]
    floor: bool = False
    needs: str = ""
    """A file that must be there."""
    most: int = 10**6
    once: bool = False
    """Measured in the first round only."""
    only: str = ""
    """The names of the cases that it is for, if not all."""


CASES: Final = (
    Case("a", ("1",), "one post: 4 pictures, JSON, a video of 5.3 MB"),
    Case("b", tuple(map(str, range(1, content.POSTS + 1))), "20 such posts"),
    Case("c", ("big",), "one post with a video of 102 MB"),
    Case("h", ("hls",), "one post with HLS, 5 segments"),
)


def _each(job: Job, command: str) -> str:
    return "\n".join(f"{command} {shlex.quote(url)}" for url in job.urls)


def _ytdlp(job: Job, *told: str) -> str:
    return " ".join([_YTDLP, *told, "--write-info-json", "-o", f"'{job.folder}/%(id)s-%(epoch)s.%(ext)s'"])


def _bare(job: Job, how: str, proxy: str = "-") -> str:
    return f"{_PYTHON} -m benchmarks.recording.bare {how} {job.folder} {proxy} {job.quoted}"


def _copied(job: Job) -> str:
    files = shlex.join(str(path) for post in job.posts for path in content.videos(job.site, post))
    return f"cp {files} {job.folder} && sha256sum {job.folder}/*.* >{job.folder}/sums"


def _through(job: Job, tool: str, commands: str) -> str:
    """`commands` with warcprox of that environment at http://127.0.0.1:$PORT; it may have drained when this ends."""
    python = BUILD / tool / "bin/python"
    told = f"-q -b 127.0.0.1 -p $PORT -d {job.folder} -g sha256 --stats-db-file /dev/null -j /dev/null"
    return f"""
export PORT=$({python} -c {shlex.quote(_FREE)})
cd {job.folder}
{python} -c {shlex.quote(_WARCPROX)} {told} >proxy.log 2>&1 & proxy=$!
{python} -c {shlex.quote(_ANSWERS)}
(cd {_HERE.parents[1]} && {commands})
code=$?
kill -TERM $proxy; wait $proxy
exit $code
"""


def _warcprox(job: Job) -> str:
    proxy = "http://127.0.0.1:$PORT"
    return _through(
        job, "warcprox", f"{_bare(job, 'shared', proxy)} && {_ytdlp(job, '--proxy', proxy)} {job.quoted}"
    )


def _brozzler(job: Job) -> str:
    browser = job.folder / "chromium"  # which does not run as root with its sandbox
    browser.write_text(f'#!/bin/sh\nexec {shutil.which("chromium")} --no-sandbox "$@"\n', "utf-8")
    browser.chmod(0o755)
    page = f"{BUILD}/brozzler/bin/brozzle-page -q -e {browser} --proxy 127.0.0.1:$PORT"
    return _through(job, "brozzler", f"export PATH={BUILD}/brozzler/bin:$PATH; {_each(job, page)}")


def _wget(job: Job) -> str:
    wget = shutil.which("wget") or BUILD / "wget/usr/bin/wget"
    told = "-q -p -H -e robots=off --user-agent=Mozilla/5.0 --warc-cdx"
    run = f"{wget} {told} --warc-file={job.folder}/site -P {job.folder}/files {job.quoted}"
    return f"{run}; code=$?; test $code = 8 || exit $code"  # 8: the favicon is not there


def _scrapy(job: Job, *told: str, tool: str = "scrapy") -> str:
    settings = " ".join(f"-s {shlex.quote(one)}" for one in told)
    urls = shlex.quote("urls=" + ",".join(job.urls))
    run = f"{BUILD}/{tool}/bin/scrapy runspider {_HERE}/spider.py -L WARNING -a {urls} -O {job.folder}/items.jsonl"
    return f"cd {job.folder} && {run} {settings}"


def _scrapy_files(job: Job, *told: str, tool: str = "scrapy") -> str:
    store = f"FILES_STORE={job.folder}/files"
    big = "DOWNLOAD_WARNSIZE=0"
    return _scrapy(job, _FILES, store, big, *told, tool=tool)


def _webarchive(job: Job) -> str:
    extension = 'EXTENSIONS={"scrapy_webarchive.extensions.WaczExporter": 543}'
    return _scrapy_files(job, extension, f"SW_EXPORT_URI={job.folder}/posts.wacz", tool="scrapy-webarchive")


def _auto_archiver(job: Job) -> str:
    (job.folder / "secrets").mkdir(exist_ok=True)
    steps = "--feeders cli_feeder --extractors generic_extractor --enrichers hash_enricher meta_enricher"
    kept = f"--storages local_storage --local_storage.save_to {job.folder}/kept --formatters html_formatter"
    archive = f"{BUILD}/auto-archiver/bin/auto-archiver {job.quoted} --mode simple {steps} {kept}"
    return f"cd {job.folder} && {archive} --databases console_db"


TOOLS: Final = (
    Tool("cp + sha256sum", "the site's video files copied and hashed", _copied, floor=True),
    Tool(
        "yt-dlp", "alone, one for all posts", lambda job: f"{_ytdlp(job)} {job.quoted}", floor=True
    ),
    Tool("Playwright", "alone, one browser for all posts", lambda job: _bare(job, "shared"), floor=True),
    Tool(
        "yt-dlp, isolated", "alone, a fresh one for each post", lambda job: _each(job, _ytdlp(job)),
        floor=True, only="b",
    ),
    Tool(
        "Playwright, isolated", "alone, a fresh browser for each post", lambda job: _bare(job, "isolated"),
        floor=True, only="b",
    ),
    Tool(
        "Akashi", "page and video, a fresh browser and yt-dlp for each post",
        lambda job: f"{_PYTHON} -m benchmarks.recording.ours {job.folder} {job.quoted}",
    ),
    Tool(
        "Akashi, headless shell",
        "the same with chromium-headless-shell (ADR 13)",
        lambda job: f"AKASHI_BROWSER={_SHELL} {_PYTHON} -m benchmarks.recording.ours {job.folder} {job.quoted}",
        needs=_SHELL,
    ),
    Tool("warcprox", "Playwright and yt-dlp through it", _warcprox, needs=_ready("warcprox")),
    Tool("wget", "--page-requisites --warc-file", _wget),
    Tool("Scrapy", "the HTML alone", _scrapy, needs=_ready("scrapy")),
    Tool("Scrapy + files", "with FilesPipeline for pictures and video", _scrapy_files, needs=_ready("scrapy")),
    Tool("scrapy-webarchive", "the same into a WACZ", _webarchive, needs=_ready("scrapy-webarchive")),
    Tool("auto-archiver", "video, hashes, metadata, HTML report; no page", _auto_archiver, needs=_ready("auto-archiver")),
    Tool(
        "brozzler", "with warcprox and yt-dlp", _brozzler, needs=_ready("brozzler"), most=2, once=True
    ),
)  # fmt: skip


def job_of(tool: Tool, case: Case, web: Web, folder: Path) -> tuple[Job, float]:
    """The job, and by how much its figures are to be multiplied."""
    posts = case.posts[: tool.most]
    urls = [web.url(f"/p/{post}") for post in posts]
    return Job(folder, urls, web.site, posts), len(case.posts) / len(posts)


def missing() -> dict[str, str]:
    """Tools that set-up could not have, and why."""
    lines = (BUILD / "missing").read_text("utf-8").splitlines()
    return {name: why for name, _, why in (line.partition("\t") for line in lines)}
