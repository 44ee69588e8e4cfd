"""Our own Python in a child: an interpreter and sources that the children's user can read.

As root the checkout may be closed to that user (a clone under /root). The five packages then go,
once for each state of their sources, to a folder that root owns and all can read:

    <spool's parent>/code-<sha256 of the sources, 16 hex>/evidence/… storage/… pipelines/… …
"""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from evidence.errors import UsageError
from storage.home import Home

PACKAGES: Final = ("evidence", "storage", "pipelines", "crawler", "console")
_CHECKOUT: Final = Path(__file__).resolve().parents[1]
_BOOTSTRAP: Final = (
    "import runpy, sys; sys.argv.pop(0); sys.path.insert(0, sys.argv.pop(0)); "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
"""Before the editable install's own path, which names the closed checkout."""


def python_argv(module: str, *args: str) -> list[str]:
    """The command that runs one of our modules (`pipelines.record.ytdlp_child`) as a child's `__main__`.

    Isolated (`-I`): neither the environment nor the folder it runs in adds to what it imports.
    Raises UsageError when the interpreter or the sources cannot be read by the children's user.
    """
    python = Path(sys.prefix).resolve() / "bin" / Path(sys.executable).name
    if os.geteuid() == 0 and not (_open_to_all(python) and _open_to_all(python.resolve())):
        raise UsageError(f"{python} cannot be read by the children's user", next="run make setup as root")
    if os.geteuid() != 0 or _all_open():
        return [str(python), "-I", "-m", module, *args]
    return [str(python), "-I", "-c", _BOOTSTRAP, str(_readable_copy()), module, *args]


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (_CHECKOUT / package).rglob("*.py"))


@cache
def _all_open() -> bool:
    return all(_open_to_all(path) for path in _sources())


@cache
def _contents() -> tuple[str, dict[Path, bytes]]:
    """The copy's name and what is in it; they are this process's own, whatever happens to the checkout."""
    sources = {path.relative_to(_CHECKOUT): path.read_bytes() for path in _sources()}
    state = b"".join(b"%s %d\n%s" % (bytes(name), len(data), data) for name, data in sources.items())
    return f"code-{hashlib.sha256(state).hexdigest()[:16]}", sources


def _readable_copy() -> Path:
    """The folder with a copy of the sources, made if it is not there. Raises UsageError, OSError."""
    name, sources = _contents()
    folder = Home.from_environment().make().spool.parent / name
    if not folder.is_dir():
        _write(sources, folder)
    for path in (folder, *folder.parents):  # code is never run from where someone else could have put it
        facts = path.stat()
        writable = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX
        if facts.st_uid != 0 or writable:
            why = f"{path} can be written by another user than root"
            raise UsageError(why, next="set AKASHI_HOME elsewhere")
    return folder


def _write(sources: dict[Path, bytes], folder: Path) -> None:
    """All of it, or nothing under its final name: a folder made beside it and renamed."""
    half = Path(tempfile.mkdtemp(prefix=".code-", dir=folder.parent))
    try:
        for name, data in sources.items():
            (half / name).parent.mkdir(parents=True, exist_ok=True)
            (half / name).write_bytes(data)
        # The child cannot write its own __pycache__ here, and would compile at each start.
        compileall.compile_dir(half, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        for path in (half, *half.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o444)
        half.rename(folder)
    except OSError:
        shutil.rmtree(half)
        if not folder.is_dir():  # else another process was quicker, with the same bytes
            raise


def _open_to_all(path: Path) -> bool:
    """Whether any user can walk to a file and read it."""
    return bool(path.stat().st_mode & stat.S_IROTH) and all(
        p.stat().st_mode & stat.S_IXOTH for p in path.parents
    )
