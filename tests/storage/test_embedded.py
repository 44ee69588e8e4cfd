"""The embedded server: one for many starters, alive while used, gone when idle, whole after kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest

from evidence.digests import digest_bytes
from evidence.errors import StoreUnavailableError
from storage import weed
from storage.connect import open_store
from storage.embedded import EmbeddedStore
from storage.files import is_held, write_private
from storage.home import Home
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
from storage.settings import Settings
from storage.weed import WeedFiles
from tests.storage.samples import kill_server, new_store

START = """
from storage.embedded import EmbeddedStore
embedded = EmbeddedStore(home)
print(embedded.start().url, embedded.status()["pid"], flush=True)
input()
"""


@pytest.fixture
def embedded(home: Home) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(home)
    yield store
    kill_server(store)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose server runs, started with secrets in our environment: for tests that only look."""
    home = Home(tmp_path_factory.mktemp("shared")).make()
    store = EmbeddedStore(home)
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "http_proxy",
            "HTTPS_PROXY",
            "AWS_SECRET_ACCESS_KEY",
            "WEED_X",
            "AKASHI_STORE_SECRET_KEY",
        ):
            patch.setenv(name, "secret-of-ours")
        store.start()
    yield home
    kill_server(store)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_many_starters_at_once_make_one_server_that_is_not_stopped_while_they_live(
    home: Home, embedded: EmbeddedStore, run_python: Callable[..., subprocess.Popen[str]]
) -> None:
    starters = [run_python(START) for _ in range(6)]
    said = {starter.stdout.readline() for starter in starters if starter.stdout}
    assert len(said) == 1, said
    url, pid = said.pop().split()
    assert (embedded.status()["endpoint"], embedded.status()["pid"]) == (url, int(pid))
    for starter in starters[1:]:
        starter.kill()
        starter.communicate()
    with pytest.raises(StoreUnavailableError, match="another process is using"):
        embedded.stop()
    starters[0].communicate("\n")
    began = time.monotonic()
    assert embedded.stop()
    assert time.monotonic() - began < 10
    assert not embedded.stop()


def test_it_outlives_its_starter_in_a_session_of_its_own_with_nothing_of_our_environment(
    shared: Home,
) -> None:
    pid = WeedFiles(shared.store).pid
    assert os.getsid(pid) != os.getsid(0)
    assert parent_of(pid) != os.getpid()
    assert b"secret-of-ours" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert "telemetry=false" in Path(f"/proc/{pid}/cmdline").read_text()


def test_it_listens_on_loopback_below_the_ephemeral_ports_only(shared: Home) -> None:
    ours = {*WeedFiles(shared.store).ports().values()}
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {(row[1].split(":")[0], int(row[1].split(":")[1], 16)) for row in table if row[3] == "0A"}
    for port in ours | {port + 10_000 for port in ours}:
        assert port < 32768
        assert {address for address, found in listening if found == port} == {"0100007F"}
    assert Path("/proc/net/tcp6").read_text().count(f":{min(ours):04X} ") == 0


def test_its_inner_ports_let_in_nobody_without_its_certificate(shared: Home) -> None:
    mine = ssl.create_default_context(cafile=shared.store / "tls" / "ca.crt")
    mine.load_cert_chain(shared.store / "tls" / "server.crt", shared.store / "tls" / "server.key")
    stranger = ssl.create_default_context(cafile=shared.store / "tls" / "ca.crt")
    for context in (mine, stranger):
        context.set_alpn_protocols(["h2"])
    assert {path.stat().st_mode & 0o777 for path in (shared.store / "tls").iterdir()} == {0o600}
    for service, port in WeedFiles(shared.store).ports().items():
        if service == "volume":
            answer = HTTPConnection("127.0.0.1", port, timeout=5)
            answer.request("DELETE", "/1,0123456789")
            assert answer.getresponse().status == HTTPStatus.UNAUTHORIZED
            answer.close()
        greeted = {context: speak(context, port + 10_000) for context in (mine, stranger)}
        assert greeted[mine].startswith(b"\0"), service  # the server's HTTP/2 settings
        assert greeted[stranger] == b"refused", service


def speak(context: ssl.SSLContext, port: int) -> bytes:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            return stream.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b"refused"


def test_its_secrets_are_readable_by_us_only_and_random(
    shared: Home, tmp_path: Path, endpoint: S3Endpoint
) -> None:
    for name in ("credentials.json", "s3.json"):
        assert (shared.store / name).stat().st_mode & 0o777 == 0o600
    other = WeedFiles(Home(tmp_path / "other").make().store)
    assert other.credentials() != WeedFiles(shared.store).credentials()
    assert len(endpoint.secret_key) == 64
    assert endpoint.secret_key not in repr(endpoint)


def test_killed_with_9_it_starts_again_at_the_same_place_with_all_it_acknowledged(
    home: Home, embedded: EmbeddedStore
) -> None:
    settings = Settings(home=home, store_endpoint="", store_bucket="akashi")
    store = open_store(settings)
    data = {f"crawls/{number}": os.urandom(1000 * number) for number in range(1, 6)}
    for key, value in data.items():
        store.put_once(key, value, digest_bytes(value), content_type="text/plain")
    pid, url = embedded.status()["pid"], store.endpoint.url
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not embedded.status()["running"])
    assert {key: store.read(key) for key in data} == data  # the store revives its server by itself
    assert store.endpoint.url == url
    assert embedded.status()["pid"] != pid
    store.put_once("crawls/9", b"9", digest_bytes(b"9"), content_type="text/plain")
    store.close()


def test_an_idle_server_is_stopped_but_never_one_in_use(home: Home) -> None:
    embedded = EmbeddedStore(home, idle_seconds=0.6)
    embedded.start()
    time.sleep(1.0)
    assert embedded.status()["running"]
    embedded.release()
    wait_until(lambda: not embedded.status()["running"])
    assert "data" in {path.name for path in home.store.iterdir()}


def test_a_server_whose_home_was_removed_ends(home: Home) -> None:
    embedded = EmbeddedStore(home, idle_seconds=0.4)
    embedded.start()
    pid = embedded.status()["pid"]
    wait_until(lambda: is_held(home.store / "watch.lock"))
    embedded.release()
    while home.root.exists():  # the server may write while its folders go
        shutil.rmtree(home.root, ignore_errors=True)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_ports_taken_by_another_program_are_given_up(
    home: Home, embedded: EmbeddedStore, endpoint: S3Endpoint
) -> None:
    taken = int(endpoint.url.rpartition(":")[2])
    write_private(home.store / "ports.json", b'{"first": %d}' % taken)
    assert embedded.start().url != endpoint.url
    assert WeedFiles(home.store).ports()["s3"] != taken


def test_a_server_that_cannot_start_is_one_line_with_the_next_step(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weed, "weed_binary", lambda: "/bin/false")
    embedded = EmbeddedStore(home)
    with pytest.raises(StoreUnavailableError, match="did not become ready") as told:
        embedded.start()
    assert "server.log" in told.value.next
    embedded.stop()


def test_a_missing_binary_is_one_line_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(StoreUnavailableError, match="not installed") as told:
        weed.weed_binary()
    assert told.value.next == "run `make setup`"


def test_the_environment_does_not_bend_the_way_to_it(
    endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "AWS_PROFILE": "nobody",
        "AWS_CA_BUNDLE": "/nowhere", "REQUESTS_CA_BUNDLE": "/nowhere", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_CONFIG_FILE": "/nowhere",
        "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_REGION": "mars",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    store: S3Store = new_store(endpoint, retention=timedelta(days=1))
    store.put_once("crawls/a", b"a", digest_bytes(b"a"), content_type="text/plain")
    assert store.read("crawls/a") == b"a"
