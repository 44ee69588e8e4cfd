"""`make demo`: the whole main job on a friendly local site, then a forged byte and the audit that catches it.

Everything is real but the web, which is served from this machine (tests/site) because a demo
must not depend on anybody else's posts: real Scrapy, Chromium, yt-dlp, S3 server and ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.site.process import SiteProcess  # noqa: E402 - found only once the root is on the path
from tests.site.timestamping import TimestampAuthority  # noqa: E402 - likewise

HOME = ROOT / "demo"
BIN = ROOT / ".venv" / "bin"


def main() -> int:
    """Run it; 0 when everything went as it is told below."""
    environment = {**os.environ, "AKASHI_HOME": str(HOME), "AKASHI_OPERATOR": "demo"}
    if HOME.exists():
        run(["akashi", "store", "stop"], environment, quiet=True)
        shutil.rmtree(HOME)
    HOME.mkdir()
    with SiteProcess() as site, TimestampAuthority("Alpha") as alpha, TimestampAuthority("Beta") as beta:
        environment |= site.environment() | configured(alpha, beta)
        title("1. A spider reads a listing; each post it finds is captured, or refused with a reason")
        crawl(site.url("/friendly/listing"), environment)
    anchored = run(["akashi", "ledger", "timestamp", "--list"], environment)
    title("2. What the archive holds")
    run(["akashi", "list"], environment)
    captures: list[dict[str, str]] = [
        json.loads(line) for line in output(["akashi", "list", "--json"], environment).splitlines()
    ]
    if not captures:
        title("SOMETHING IS WRONG: nothing was captured. See above, then `uv run akashi doctor`")
        return 1
    title("3. One capture's files")
    files = HOME / "files"
    run(["akashi", "get", captures[0]["capture"], "--to", str(files)], environment)
    title("4. Audit: every object, manifest and ledger entry, re-read and compared")
    sound = run(["akashi", "audit"], environment)
    title("5. The same audit of a copy in which one byte of a video was changed")
    caught = forge(environment)
    run(["akashi", "store", "stop"], environment, quiet=True)
    ok = len(captures) == 2 and sound == anchored == 0 and caught  # noqa: PLR2004 - the listing has two that may be captured
    title("The evidence" if ok else "SOMETHING IS WRONG: see above")
    say(f"""\
store      {HOME / "store"}   (started again by any akashi command)
files      {files}
look       AKASHI_HOME={HOME} uv run akashi show {captures[0]["capture"]}
your own   uv run akashi capture https://…""")
    return 0 if ok else 1


def configured(*authorities: TimestampAuthority) -> dict[str, str]:
    """Settings in the demo's home: two timestamp authorities of this machine, and the roots that they must reach."""
    roots = [HOME / f"{authority.name}-root.pem" for authority in authorities]
    for root, authority in zip(roots, authorities, strict=True):
        shutil.copy(authority.folder / "root.pem", root)
    lines = {
        "timestamp_authorities": [authority.url() for authority in authorities],
        "timestamp_roots": list(map(str, roots)),
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    (HOME / "akashi.toml").write_text(text + "ledger_allow_private = true\n")
    return {"AKASHI_CONFIG": str(HOME / "akashi.toml")}


def crawl(listing: str, environment: dict[str, str]) -> None:
    """Crawl the listing as a person would, and tell what came of each candidate."""
    found = HOME / "found.jsonl"
    command = ["scrapy", "crawl", "feeds", "-a", f"url={listing}", "-O", str(found)]
    command += ["-s", "AKASHI_ALLOW_PRIVATE=1", "-s", "DOWNLOAD_DELAY=0"]  # our own server, on this machine
    say(f"$ uv run {' '.join(command)}")
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stderr.splitlines():
        if "[pipelines" in line or "[feeds]" in line or "Dropped:" in line or "ERROR" in line:
            say(f"  {line}")
    if done.returncode or not found.exists() or not found.stat().st_size:
        say(done.stderr)
    for line in found.read_text("utf-8").splitlines() if found.exists() else []:
        item = json.loads(line)
        say(f"  {item['outcome']}: {item['url']}  ledger entry {item['entry']}, {len(item['media'])} video")


def forge(environment: dict[str, str]) -> bool:
    """Copy the store, flip one byte in a WARC of the copy, and audit it; True when it was caught."""
    copy = HOME / "copy"
    run(["akashi", "store", "copy", "--to", str(copy)], environment, quiet=True)
    warc = sorted(copy.glob("captures/**/*.warc.gz"))[0]
    data = bytearray(warc.read_bytes())
    place = len(data) // 2
    data[place] ^= 1
    warc.chmod(0o644)
    warc.write_bytes(data)
    say(f"flipped one bit of byte {place} in {warc.relative_to(copy)}")
    return run(["akashi", "audit", "--copy", str(copy)], environment) == 1


def run(command: list[str], environment: dict[str, str], *, quiet: bool = False) -> int:
    """Run one command as a person would see it; gives its exit code."""
    if not quiet:
        say(f"$ uv run {' '.join(command)}")
    sink = subprocess.DEVNULL if quiet else None
    sys.stdout.flush()
    return subprocess.run(
        [BIN / command[0], *command[1:]], env=environment, cwd=ROOT, stdout=sink, stderr=sink, check=False
    ).returncode


def output(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints on stdout."""
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def title(text: str) -> None:
    """A heading."""
    say(f"\n── {text}")


def say(text: str) -> None:
    """A line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
