"""`akashi get CAPTURE --to DIR`: the files of one capture, each compared with its manifest."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from console.custody import custodian, operator_option
from console.output import emit, human_size, json_option, say
from evidence.digests import digest_file
from evidence.errors import CheckFailedError, UsageError
from pipelines.children import make_workdir
from pipelines.inspect import make_playable
from pipelines.record.cdxj import replay_rows
from pipelines.record.rebuild import rebuild_media, write_body
from pipelines.record.wacz import write_wacz
from storage.archive import Archive

_SHOTS: Final = {
    "screenshot-viewport.png": "screenshots/viewport.png",
    "screenshot-full.png": "screenshots/full.png",
    "dom.html": "dom.html",
}


@click.command("get")
@click.argument("capture")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder, made if it is not there.",
)
@click.option("--wacz", is_flag=True, help="Also one file for replayweb.page or pywb: <capture>.wacz.")
@click.option("--reason", default="", metavar="R", help="Why; kept in the side record.")
@operator_option
@json_option
def command(capture: str, target: Path, *, wacz: bool, reason: str, operator: str, as_json: bool) -> int:
    """The files of one capture. WARC, manifest, entry, index, media, screenshots, DOM.

    \b
    akashi get 01KAR5Q8Z4 --to evidence/ --wacz

    Each time is entered in the ledger (custody.accessed), before the files are handed out.
    """
    archive = Archive.open()
    row = archive.find(capture)
    folder = target / row["capture"]
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", next="give another --to, or move it away")
    custodian(archive, operator=operator, reason=reason).accessed(row["capture"], "download")
    manifest = archive.manifest(row)
    folder.mkdir(parents=True, exist_ok=True)
    written = _write(archive, row, manifest, folder, wacz=wacz)
    for path in written:
        size = path.stat().st_size
        if as_json:
            emit({"path": str(path), "bytes": size})
        else:
            click.echo(f"{path}  {human_size(size)}")
    return 0


def _write(
    archive: Archive, row: dict[str, Any], manifest: dict[str, Any], folder: Path, *, wacz: bool
) -> list[Path]:
    warc = folder / manifest["warc"]["key"].rsplit("/", 1)[1]
    archive.store.download(manifest["warc"]["key"], warc)
    if digest_file(warc).as_json() != {name: manifest["warc"][name] for name in ("sha256", "sha512", "size")}:
        raise CheckFailedError(
            f"{warc} is not what the manifest names", rule="warc-digest", next="akashi audit"
        )
    written, rows = [warc], replay_rows(warc)
    for name, data in {
        "manifest.json": archive.store.read(row["manifest"]),
        "entry.json": archive.ledger.entry_bytes(row["entry"]),
        "index.cdxj": "".join(map(str, rows)).encode("ascii"),
    }.items():
        (folder / name).write_bytes(data)
        written.append(folder / name)
    if wacz:
        written.append(folder / f"{folder.name}.wacz")
        write_wacz(written[-1], warc, rows, manifest)
    records = {file["name"]: file["record"] for file in manifest["files"]}
    for name, place in _SHOTS.items():
        if name in records:
            (folder / place).parent.mkdir(exist_ok=True)
            write_body(warc, records[name], folder / place)
            written.append(folder / place)
    return written + _media(manifest, warc, folder)


def _media(manifest: dict[str, Any], warc: Path, folder: Path) -> list[Path]:
    """Originals and assembled files out of the WARC, derivatives made again; each compared."""
    written: list[Path] = []
    by_digest: dict[str, Path] = {}
    (folder / "media").mkdir(exist_ok=True)
    for medium in manifest["media"]:
        suffix = mimetypes.guess_extension(medium["type"]) or ".bin"
        path = folder / "media" / f"{medium['sha256'][:16]}{suffix}"
        if medium["role"] == "derivative":
            said = _derive(list(by_digest.values()), path)
            if said:
                say(f"the playable copy could not be made: {said}")
                continue
        else:
            rebuild_media(warc, medium["records"], path)
        if digest_file(path).sha256 != medium["sha256"]:
            if medium["role"] == "derivative":
                say(f"{path.name}: this machine's ffmpeg gives other bytes than the recorded copy")
            else:
                raise CheckFailedError(
                    f"{path} is not what the manifest names", rule="media-digest", next="akashi audit"
                )
        by_digest.setdefault(medium["sha256"], path)
        written.append(path)
    return written


def _derive(sources: list[Path], output: Path) -> str:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        work = make_workdir(Path(name) / "work")
        inputs = []
        for source in sources:
            shutil.copyfile(source, work / source.name)
            (work / source.name).chmod(0o644)
            inputs.append(work / source.name)
        said = asyncio.run(make_playable(inputs, work / "out.mp4", work))
        if not said:
            shutil.copyfile(work / "out.mp4", output)
        return said
