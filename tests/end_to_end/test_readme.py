"""Every command of the README is run, in its order, as it stands there; only the site is ours."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT, Archive
from tests.site import Site

LOCAL = {
    "akashi capture": " --allow-private",
    "scrapy crawl": " -s AKASHI_ALLOW_PRIVATE=1 -s AKASHI_NO_VIDEO=1 -s DOWNLOAD_DELAY=0",
}
"""What our own server on this machine needs, and nobody else's."""


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    lines = [
        line[2:].split("   #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert len(lines) >= 12
    return lines


@pytest.mark.timeout(300)
def test_every_command_in_the_readme_works(site: Site, own_archive: Archive, tmp_path: Path):
    for line in commands():
        if line.startswith("make "):
            run(["make", "-n", line.removeprefix("make ")], own_archive)  # CI itself runs demo and test
        elif line.startswith("uv run "):
            own_archive_runs(line, site, own_archive, tmp_path)
        elif line.startswith("docs/verify.sh "):
            keys = own_archive.run("akashi", "ledger", "keys", "--json").stdout.splitlines()
            words = line.replace("VKEY", json.loads(keys[0])["vkey"]).replace("proof/", f"{tmp_path}/proof/")
            run(words.split(), own_archive)
        elif line.startswith("cp "):
            run(["cp", *line.split()[1:2], str(tmp_path)], own_archive)
        else:
            assert line.startswith("export ")
    assert (tmp_path / "found.jsonl").stat().st_size > 0


def own_archive_runs(line: str, site: Site, archive: Archive, folder: Path) -> None:
    words = line.replace("https://videos.example.test", site.url("").rstrip("/"))
    for name, extra in LOCAL.items():
        words += extra if name in line else ""
    if "CAPTURE" in words:
        listed = archive.run("akashi", "list", "--json").stdout.splitlines()
        words = words.replace("CAPTURE", json.loads(listed[0])["capture"])
    for name in ("found.jsonl", "evidence", "proof", "FILE"):
        words = re.sub(rf"(?<= ){name}$|(?<= ){name}(?= )", str(folder / name), words)
    run(words.split(), archive)


def run(words: list[str], archive: Archive) -> None:
    done = subprocess.run(
        words, cwd=ROOT, env=archive.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (words, done.stdout[-1500:], done.stderr[-1500:])
