"""WordPress as Debian ships it, with posts that hold a real clip: a site that nobody here wrote.

A throw-away instance in a temporary folder: its own mariadbd on a Unix socket, installed by
WordPress's own functions, served by PHP's built-in server with several workers on 127.0.0.1.
`tests/wordpress/setup` must have run. Plain HTTP, reached by name through AKASHI_HOSTS.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE.parents[1] / "build" / "wordpress"
ROOT: Final = BUILD / "debian" / "usr" / "share" / "wordpress"
THEMES: Final = ROOT / "wp-content" / "themes"
HOST: Final = "blog.example.test"
WORKERS: Final = "4"
START_SECONDS: Final = 30.0

POSTS: Final = (
    {
        "slug": "big-buck-bunny",
        "title": "うさぎの朝 — Big Buck Bunny",
        "text": "本物のクリップです。Five seconds of Big Buck Bunny (© Blender Foundation, CC BY 3.0).",
        "date": "2026-11-20 09:30:00",
        "clip": "bigbuckbunny.mp4",
        "tags": ["AI動画", "animation"],
    },
    {
        "slug": "bikes",
        "title": "Bicycles at the corner",
        "text": "A second clip out of the same package.",
        "date": "2026-11-21 18:00:00",
        "clip": "bikes.mp4",
        "tags": ["street"],
    },
)


class WordPress:
    """A running blog; use as a context manager, or `start()` and `stop()`. Raises OSError."""

    base: str
    """`http://blog.example.test:port`, without a slash at the end."""
    posts: list[str]
    """Permalinks, in the order of POSTS."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="akashi-wordpress-"))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def feed(self) -> str:
        """The RSS feed that WordPress makes."""
        return f"{self.base}/feed/"

    def environment(self) -> dict[str, str]:
        """The variables by which every client of Akashi finds the blog."""
        return {"AKASHI_HOSTS": f"{HOST}=127.0.0.1"}

    def clip(self, number: int) -> Path:
        """The file that post `number` of POSTS holds."""
        return BUILD / "clips" / str(POSTS[number]["clip"])

    def start(self) -> None:
        """Database, installation, posts, web server."""
        if not (BUILD / ".stamp").is_file():
            raise FileNotFoundError("build/wordpress: run tests/wordpress/setup first")
        port = _free_port()
        self.base = f"http://{HOST}:{port}"
        content = self._folder / "content"
        (content / "uploads").mkdir(parents=True)
        (content / "plugins").mkdir()
        (content / "themes").symlink_to(THEMES)
        # Every WordPress has a configuration of its own; Debian's looks below /etc/wordpress.
        shutil.copyfile(HERE / "wp-config.php", ROOT / "wp-config.php")
        self._environment = {
            **os.environ,
            "WORDPRESS_SOCKET": str(self._folder / "db.sock"),
            "WORDPRESS_URL": self.base,
            "WORDPRESS_CONTENT": str(content),
            "WORDPRESS_ROOT": str(ROOT),
            "PHP_CLI_SERVER_WORKERS": WORKERS,
        }
        self._start_database()
        self.posts = self._install()
        limits = ["-d", "upload_max_filesize=64M", "-d", "post_max_size=64M", "-d", "expose_php=On"]
        serve = ["php", *limits, "-S", f"127.0.0.1:{port}", "-t", str(ROOT), str(HERE / "router.php")]
        self._spawn(serve, "php.log")
        _wait_for(lambda: _answers(port), "PHP's server")

    def stop(self) -> None:
        """End what was started and remove the folder."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_database(self) -> None:
        data = self._folder / "db"
        as_user = []
        if os.geteuid() == 0:  # mariadbd refuses to run as root
            user = pwd.getpwnam("nobody")
            self._folder.chmod(0o711)
            data.mkdir()
            os.chown(data, user.pw_uid, user.pw_gid)
            as_user = ["--user=nobody"]
        log = self._folder / "db-install.log"
        with log.open("wb") as out:
            install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", *as_user]
            subprocess.run(install, check=True, stdout=out, stderr=out)
        account = self._folder / "init.sql"
        account.write_text(
            "CREATE DATABASE wordpress;\n"  # one statement a line, or mariadbd runs only the first
            "CREATE USER wordpress@localhost IDENTIFIED BY '';\n"
            "GRANT ALL ON wordpress.* TO wordpress@localhost;\n"
        )
        sockets = self._folder / "db.sock" if not as_user else data / "db.sock"
        self._environment["WORDPRESS_SOCKET"] = str(sockets)
        self._spawn(
            [
                *["mariadbd", "--no-defaults", *as_user, f"--datadir={data}", f"--socket={sockets}"],
                *["--skip-networking", f"--init-file={account}", "--innodb-buffer-pool-size=32M"],
                *["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"],
            ],
            "db.log",
        )
        _wait_for(sockets.exists, "mariadbd")

    def _install(self) -> list[str]:
        posts = json.dumps([{**post, "clip": str(BUILD / "clips" / str(post["clip"]))} for post in POSTS])
        command = ["php", "-d", "sendmail_path=/bin/true", str(HERE / "install.php")]
        done = subprocess.run(
            command, input=posts.encode(), env=self._environment, stdout=subprocess.PIPE, check=True
        )
        links: list[str] = json.loads(done.stdout)
        return links

    def _spawn(self, command: list[str], log: str) -> None:
        with (self._folder / log).open("wb") as out:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._processes.append(process)


def _free_port() -> int:
    """Below the range from which outgoing connections take theirs, so that none can come between."""
    while True:
        port = random.randrange(20000, 32000)  # noqa: S311
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _answers(port: int) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/robots.txt", headers={"Host": f"{HOST}:{port}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait_for(is_ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not start within {START_SECONDS:.0f} s")
        time.sleep(0.1)
