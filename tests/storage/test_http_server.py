"""Where the witness and the signer listen: what is there already is left, what cannot be is told, all are answered."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from evidence.errors import UsageError
from storage.http import post
from storage.http_server import Answer, Server
from tests.storage.witness_process import Service, akashi


def server(listen: str) -> Server:
    return Server(listen, lambda *_: Answer(200, b"", ""), print, limit=9)


def test_a_file_where_the_socket_would_be_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UsageError, match="in use"):
        server(f"unix:{tmp_path / 'notes'}")
    assert (tmp_path / "notes").read_text() == "mine"


def test_the_socket_of_another_that_runs_is_not_taken_and_that_of_one_that_was_killed_is(
    tmp_path: Path,
) -> None:
    listen = f"unix:{tmp_path / 'socket'}"
    first = server(listen)
    with pytest.raises(UsageError, match="somebody listens there"):
        server(listen)
    socket.socket.close(first.socket)  # as a kill leaves it
    with server(listen):
        assert (tmp_path / "socket").is_socket()
    assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize(
    "listen", ["here", "127.0.0.1:99999", "nowhere.invalid:80", "unix:/no/such/folder/s"]
)
def test_where_nobody_can_listen_is_a_usage_error(listen: str) -> None:
    with pytest.raises(UsageError, match=listen):
        server(listen)


def test_a_port_that_is_taken_is_told_with_the_exit_code_of_a_configuration(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        process = akashi("ledger", "sign", "--listen", listen, AKASHI_HOME=str(tmp_path))
        assert "in use" in process.communicate(timeout=20)[1]
    assert process.returncode == 2


def test_whoever_reads_its_lines_may_go_and_it_answers_on(tmp_path: Path) -> None:
    with Service("ledger", "sign", AKASHI_HOME=str(tmp_path)) as signer:
        signer.process.stdout.close()
        for _ in range(2):
            status, _ = post(f"{signer.url}:/x", b"", content_type="text/plain", timeout=5, limit=99)
            assert status == 404
        signer.process.kill()
        signer.process.wait()
        signer.process.stderr.close()
