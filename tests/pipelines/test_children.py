from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from evidence.errors import UsageError
from pipelines import children
from pipelines.children import (
    ChildResult,
    Limits,
    child_argv,
    child_environment,
    make_workdir,
    run_child,
)

PYTHON = "/usr/bin/python3" if os.geteuid() == 0 else sys.executable
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


@pytest.fixture
def workdir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # pytest's own is closed to children
        Path(folder).chmod(0o711)
        yield make_workdir(Path(folder) / "work")


def run(
    code: str | Sequence[str],
    workdir: Path,
    *,
    limits: Limits | None = None,
    timeout: float = 30,
    on_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
    env: dict[str, str] | None = None,
) -> ChildResult:
    argv = [PYTHON, "-c", code] if isinstance(code, str) else code
    return asyncio.run(
        run_child(
            argv,
            workdir=workdir,
            limits=limits or Limits(),
            timeout=timeout,
            on_line=on_line,
            stdin=stdin,
            env=env,
        )
    )


def lines_of(code: str | Sequence[str], workdir: Path, **options: object) -> list[str]:
    lines: list[str] = []
    result = run(code, workdir, on_line=lines.append, **options)  # type: ignore[arg-type]
    assert result.code == 0, result.stderr_tail
    return lines


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet, has)."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_lines_stdin_code_and_the_end_of_stderr_come_back(workdir: Path) -> None:
    lines: list[str] = []
    result = run(
        "import sys; print(sys.stdin.read().upper()); print('no end', end='');"
        "sys.stderr.write('x' * 100000 + 'last words'); sys.exit(7)",
        workdir,
        stdin="入力\n".encode() + b"a",
        on_line=lines.append,
    )
    assert lines == ["入力", "A", "no end"]
    assert (result.code, result.killed) == (7, None)
    assert result.stderr_tail.endswith("xlast words")
    assert len(result.stderr_tail) == children.STDERR_TAIL


def test_a_child_that_does_not_read_its_stdin_ends_well(workdir: Path) -> None:
    assert run("pass", workdir, stdin=bytes(1 << 20)).code == 0


def test_no_secret_is_in_the_environment(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AKASHI_HOME", "/somewhere")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    found = lines_of(
        "import os; [print(f'{k}={v}') for k, v in os.environ.items()]", workdir, env={"GIVEN": "1"}
    )
    names = {line.partition("=")[0] for line in found}
    assert names <= {
        *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIVEN"),
        *("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    }
    assert {f"HOME={workdir}", f"TMPDIR={workdir}", "TZ=Asia/Tokyo", "GIVEN=1"} <= set(found)
    assert "hunter2" not in "\n".join(found)


def test_what_is_given_goes_over_what_is_ours(workdir: Path) -> None:
    assert child_environment(workdir, {"HOME": "/x"})["HOME"] == "/x"


def test_a_child_works_in_its_own_folder_and_session_and_holds_nothing_of_ours(workdir: Path) -> None:
    with (workdir.parent / "secret").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        facts = lines_of(
            "import os; print(os.getcwd()); print(os.getsid(0) == os.getpid() == os.getpgid(0));"
            "print(sorted(os.listdir('/proc/self/fd'))[:4]); open('made', 'w').close()",
            workdir,
        )
    assert facts == [str(workdir), "True", "['0', '1', '2', '3']"]
    assert (workdir / "made").exists()


@as_root
def test_a_child_of_root_is_the_user_akashi_without_a_way_back(workdir: Path) -> None:
    (workdir.parent / "ours").write_text("secret")
    (workdir.parent / "ours").chmod(0o600)
    facts = lines_of(
        "import os, pwd\n"
        "print(pwd.getpwuid(os.getuid()).pw_name, os.getresuid() == (os.getuid(),) * 3, os.getgroups())\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('NoNewPrivs', 'CapEff', 'CapPrm'))])\n"
        "try: open('../ours')\n"
        "except PermissionError: print('closed')\n"
        "try: os.setuid(0)\n"
        "except PermissionError: print('no way back')\n",
        workdir,
    )
    assert facts == [
        "akashi True []",
        "['0000000000000000', '0000000000000000', '1']",
        "closed",
        "no way back",
    ]


def test_a_child_cannot_gain_privileges(workdir: Path) -> None:
    status = lines_of(["cat", "/proc/self/status"], workdir)
    assert "NoNewPrivs:\t1" in status


def test_a_file_above_its_limit_ends_the_child(workdir: Path) -> None:
    result = run(
        ["sh", "-c", "exec head -c 2000000 /dev/zero >big"], workdir, limits=Limits(file_bytes=1_000_000)
    )
    assert (result.code, result.killed) == (-signal.SIGXFSZ, "file-size")
    assert (workdir / "big").stat().st_size == 1_000_000


def test_cpu_time_above_its_limit_ends_the_child(workdir: Path) -> None:
    result = run(["sh", "-c", "while :; do :; done"], workdir, limits=Limits(cpu_s=1))
    assert (result.code, result.killed) == (-signal.SIGXCPU, "cpu")


def test_memory_above_its_limit_is_not_given(workdir: Path) -> None:
    result = run("x = bytearray(1 << 30)", workdir, limits=Limits(memory_bytes=512 << 20))
    assert result.code == 1
    assert "MemoryError" in result.stderr_tail


@as_root
def test_a_fork_bomb_ends_at_its_limit(workdir: Path) -> None:
    result = run(
        "import os\nfor _ in range(100):\n    if os.fork() == 0: os.read(os.pipe()[0], 1)",
        workdir,
        limits=Limits(processes=20),
    )
    assert "BlockingIOError" in result.stderr_tail


FAMILY = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if os.fork() == 0:\n"
    "    print(os.getpid(), flush=True)\n"
    "time.sleep({seconds})\n"
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.2)


def test_a_timeout_kills_child_and_grandchild_even_when_they_ignore_sigterm(
    workdir: Path, impatient: None
) -> None:
    pids: list[str] = []
    started = time.monotonic()
    result = run(FAMILY.format(seconds=60), workdir, timeout=0.8, on_line=pids.append)
    assert (result.code, result.killed) == (-signal.SIGKILL, "timeout")
    assert time.monotonic() - started < 5
    assert gone(int(pids[0]))


def test_sigterm_comes_first_so_that_a_child_can_close_its_files(workdir: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): open('closed', 'w').close(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); time.sleep(60)"
    )
    result = run(code, workdir, timeout=0.8)
    assert (result.code, result.killed) == (0, "timeout")
    assert (workdir / "closed").exists()


def test_a_cancel_kills_the_whole_group(workdir: Path, impatient: None) -> None:
    pids: list[str] = []

    async def cancelled() -> None:
        seen = asyncio.Event()

        def note(line: str) -> None:
            pids.append(line)
            seen.set()

        argv = [PYTHON, "-c", FAMILY.format(seconds=60)]
        task = asyncio.create_task(
            run_child(argv, workdir=workdir, limits=Limits(), timeout=60, on_line=note)
        )
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert gone(int(pids[0]))


def test_a_grandchild_that_outlives_the_child_neither_delays_nor_survives(workdir: Path) -> None:
    pids: list[str] = []
    started = time.monotonic()
    result = run(
        "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True); time.sleep(60)\ntime.sleep(0.3)",
        workdir,
        on_line=pids.append,
    )
    assert (result.code, result.killed) == (0, None)
    assert time.monotonic() - started < 10
    assert gone(int(pids[0]))


def test_what_on_line_raises_ends_the_child_and_is_raised(workdir: Path) -> None:
    def refuse(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError, match="first"):
        run("import time; print('first', flush=True); time.sleep(60)", workdir, on_line=refuse)


def test_a_line_without_end_ends_the_child(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LONGEST_LINE", 100_000)
    result = run(["sh", "-c", "exec cat /dev/zero"], workdir, on_line=lambda line: None)
    assert result.killed == "long-line"


def test_a_program_that_is_not_there_is_told_in_stderr(workdir: Path) -> None:
    result = run(["/no/such/program"], workdir)
    assert result.code == 127
    assert "/no/such/program" in result.stderr_tail


def test_when_akashi_is_killed_the_kernel_kills_the_child(workdir: Path) -> None:
    parent = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom pipelines.children import Limits, run_child\n"
        "async def main():\n"
        f"    await run_child([{PYTHON!r}, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'],\n"
        "        workdir=Path(sys.argv[1]), limits=Limits(), timeout=60, on_line=lambda line: print(line, flush=True))\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(workdir)], stdout=subprocess.PIPE) as akashi:
        assert akashi.stdout is not None
        pid = int(akashi.stdout.readline())
        assert not Path(f"/proc/{pid}/status").read_text().startswith("Name:\tsetpriv")
        akashi.kill()
        akashi.wait()
    assert gone(pid)


def test_the_leash_keeps_descriptors_and_the_process_id(workdir: Path) -> None:
    code = "import os, sys; os.write(int(sys.argv[1]), f'{os.getpid()} {os.getuid()}'.encode())"
    reading, writing = os.pipe()
    with subprocess.Popen(
        child_argv([PYTHON, "-c", code, str(writing)], Limits()),
        pass_fds=(writing,),
        cwd=workdir,
        env=child_environment(workdir),
    ) as process:
        os.close(writing)
        with os.fdopen(reading) as told:
            pid, uid = told.read().split()
        assert process.wait(10) == 0
    assert int(pid) == process.pid
    assert int(uid) != 0


def test_a_workdir_is_closed_to_others_and_a_symbolic_link_is_refused(workdir: Path) -> None:
    assert workdir.stat().st_mode & 0o777 == 0o700
    ours = workdir.parent / "ours"
    ours.mkdir(mode=0o755)
    (workdir.parent / "link").symlink_to(ours)
    with pytest.raises(OSError, match=r"link|directory"):
        make_workdir(workdir.parent / "link")
    assert ours.stat().st_uid == os.geteuid()
    assert make_workdir(workdir) == workdir


def test_a_missing_user_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children.os, "geteuid", lambda: 0)
    monkeypatch.setattr(children, "child_user", lambda: None)
    with pytest.raises(UsageError, match="akashi") as missing:
        child_argv(["true"], Limits())
    assert missing.value.next == "run make setup"
