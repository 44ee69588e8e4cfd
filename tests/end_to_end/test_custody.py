"""A real capture's life after it was closed: taken out, held, erased by two persons; the audit passes all along."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_life_of_a_capture_is_in_the_ledger_and_no_audit_has_a_finding(site, own_archive, tmp_path):
    archive = own_archive
    capture = archive.capture(site.url("/post/2"), code=0)["capture"]

    def do(*words: str, code: int = 0) -> list:
        return archive.objects("akashi", *words, "--reason", "case K-17", code=code)

    files = archive.files(capture, tmp_path / "first")
    assert sorted((files / "media").iterdir())
    do("hold", capture)
    do("hold", capture, "--until", "2099-12-31")
    do("erase", capture, "--authority", "order 12/2026", code=6)
    assert archive.run("akashi", "audit").returncode == 0
    do("release", capture)
    do("erase", capture, "--authority", "order 12/2026")
    do("erase", capture, "--confirm", code=6)
    do("erase", capture, "--confirm", "--operator", "Ben")
    do("get", capture, "--to", str(tmp_path / "second"), code=6)
    assert not (tmp_path / "second").exists()
    assert archive.run("akashi", "audit").returncode == 0
    (row,) = archive.objects("akashi", "list")
    assert (row["capture"], row["custody"], row["url"]) == (capture, ["erased"], "")
    acts = ["accessed", "held", "retained", "released", "erasure-requested", "erased"]
    (shown,) = archive.objects("akashi", "show", capture)
    assert [act["type"] for act in shown["custody"]] == [f"custody.{act}" for act in acts]
    copy = tmp_path / "copy"
    assert archive.run("akashi", "store", "copy", "--to", str(copy)).returncode == 0
    assert (len(list(copy.glob("custody/**/*.json"))), list(copy.glob("captures/**/*.*"))) == (len(acts), [])
    assert archive.run("akashi", "audit", "--copy", str(copy)).returncode == 0
    text = b"".join(path.read_bytes() for path in (copy / "ledger/segments").iterdir())
    assert not [word for word in (b"K-17", b"Ben", b"order 12") if word in text]
