from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.errors import UsageError
from pipelines import child_python
from pipelines.child_python import python_argv
from pipelines.children import Limits, make_workdir, run_child

CHECKOUT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's children are another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:  # pytest's own is closed to children
        Path(made).chmod(0o711)
        yield Path(made)


def run(argv: list[str], workdir: Path) -> list[str]:
    lines: list[str] = []
    result = asyncio.run(
        run_child(argv, workdir=make_workdir(workdir), limits=Limits(), timeout=30, on_line=lines.append)
    )
    assert result.code == 0, result.stderr_tail
    return lines


def test_a_module_of_ours_runs_isolated_from_the_folder_it_runs_in(folder: Path) -> None:
    work = make_workdir(folder / "work")
    for name in ("evidence.py", "json.py", "sitecustomize.py"):
        (work / name).write_text("raise SystemExit('imported what lay there')")
    argv = python_argv("evidence.identifiers")
    assert "-I" in argv
    run(argv, work)


@as_root
def test_a_checkout_that_is_closed_to_the_child_is_copied_where_it_can_read(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for package in child_python.PACKAGES:
        shutil.copytree(CHECKOUT / package, closed / package, ignore=shutil.ignore_patterns("__pycache__"))
    (closed / "pipelines" / "probe.py").write_text(
        "import sys\nimport evidence.errors\n"
        "print(__name__); print(__file__); print(evidence.errors.__file__); print(sys.argv)\n"
    )
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from pipelines.child_python import python_argv; "
    )
    script += "print(json.dumps(python_argv('pipelines.probe', '--a b', 'c')))"
    env = {**os.environ, "AKASHI_HOME": str(folder / "home")}

    def asked() -> list[str]:
        told = subprocess.run(
            [sys.executable, "-c", script, str(closed)], env=env, capture_output=True, text=True, check=True
        ).stdout
        return [str(part) for part in json.loads(told)]

    argv = asked()
    name, file, errors, args = run(argv, folder / "work")
    (copied,) = (folder / "home").glob("code-*")
    assert name == "__main__"
    assert file == str(copied / "pipelines" / "probe.py")
    assert errors == str(copied / "evidence" / "errors.py")
    assert args == repr([file, "--a b", "c"])
    assert copied.stat().st_mode & 0o777 == 0o755
    for path in copied.rglob("*"):
        assert path.stat().st_uid == 0
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o444)
    assert asked() == argv, "the same sources are copied once"
    (closed / "pipelines" / "probe.py").write_text("print('changed')")
    assert run(asked(), folder / "work") == ["changed"]
    assert not list((folder / "home").glob(".code-*")), "a half-made copy was left"


@as_root
def test_code_is_not_run_from_a_folder_that_another_user_can_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASHI_HOME", str(folder / "home"))
    monkeypatch.setattr(child_python, "_all_open", lambda: False)
    monkeypatch.setattr(child_python, "PACKAGES", ("evidence",))
    (folder / "home").mkdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="another user"):
        python_argv("pipelines.probe")


@as_root
def test_an_interpreter_that_the_child_cannot_read_is_a_usage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").touch(mode=0o700)
    (folder / "venv" / "bin" / "python").chmod(0o700)
    monkeypatch.setattr(sys, "prefix", str(folder / "venv"))
    monkeypatch.setattr(sys, "executable", str(folder / "venv" / "bin" / "python"))
    with pytest.raises(UsageError, match="cannot be read"):
        python_argv("pipelines.probe")
