"""A witness as a partner runs it: the command, in a process of its own, on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from evidence.cosignature import CosignerKey
from storage.http import post

ROOT = Path(__file__).resolve().parents[2]


def akashi(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command, with nothing of ours in its environment but what is given."""
    return subprocess.Popen(
        (sys.executable, "-m", "console.main", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": "/nonexistent", **environment},
    )


class Service:
    """A command that listens, told by its first line; `lines` are what it told afterwards."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = akashi(*arguments, "--json", **environment)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        self.told: dict[str, Any] = json.loads(first) if first else {}
        if "listening" not in self.told:
            rest = self.process.communicate(timeout=20)
            raise AssertionError(f"it did not start: {self.told} {rest}")
        self.url = self.told["listening"]

    def line(self) -> dict[str, Any]:
        """What it tells next."""
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=10)
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class WitnessProcess(Service):
    """`akashi ledger witness` for these logs."""

    def __init__(self, state: Path, *vkeys: str, listen: str = "127.0.0.1:0", name: str = "") -> None:
        logs = [word for vkey in vkeys for word in ("--log", vkey)]
        named = ["--name", name] if name else []
        super().__init__("ledger", "witness", "--state", str(state), "--listen", listen, *logs, *named)
        self.key = CosignerKey.parse(self.told["vkey"])

    def submit(self, data: bytes, path: str = "/add-checkpoint") -> tuple[int, bytes]:
        """Status and body of the answer."""
        options: dict[str, Any] = {"content_type": "text/plain", "timeout": 10, "limit": 10_000}
        return post(self.url + path, data, allow_private=True, **options)
