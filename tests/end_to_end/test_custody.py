"""A real capture's life after it was closed: taken out, held, retained, kept from eyes, erased; audited all along."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_the_whole_life_of_a_capture_is_in_the_ledger_and_the_audit_has_no_finding(
    site, own_archive, tmp_path
):
    archive = own_archive
    capture = archive.capture(site.url("/post/2"), code=0)["capture"]
    other = archive.capture(site.url("/post/1"))["capture"]

    def run(*words: str, code: int = 0) -> list:
        told = archive.objects("akashi", *words, code=code)
        assert archive.run("akashi", "audit").returncode == 0
        return told

    def do(*words: str, code: int = 0) -> list:
        return run(*words, "--reason", "case K-17", code=code)

    files = archive.files(capture, tmp_path / "first")
    assert sorted((files / "media").iterdir())
    do("hold", capture)
    do("hold", capture, "--until", "2099-12-31")
    do("release", capture)
    do("quarantine", capture)
    do("get", capture, "--to", str(tmp_path / "second"), code=6)
    do("quarantine", capture, "--clear")
    do("transfer", capture, "--to", "Ms Sato")
    do("erase", capture, "--authority", "order 12/2026")
    do("erase", capture, "--confirm", "--operator", "tester", code=6)
    do("erase", capture, "--confirm", "--operator", "Ben")
    assert not (tmp_path / "second").exists()
    (gone, kept) = run("list")
    assert (gone["capture"], gone["custody"], gone["url"]) == (capture, ["erased"], "")
    assert (kept["capture"], kept["custody"]) == (other, [])
    acts = ["accessed", "held", "retained", "released", "quarantined", "cleared", "transferred"]
    acts += ["erasure-requested", "erased"]
    assert [act["type"] for act in run("show", capture)[0]["custody"]] == [f"custody.{act}" for act in acts]
    copy = tmp_path / "copy"
    assert archive.run("akashi", "store", "copy", "--to", str(copy)).returncode == 0
    assert (len(list(copy.glob("custody/**/*.json"))), list(copy.glob(f"captures/**/{capture}/*"))) == (9, [])
    assert archive.run("akashi", "audit", "--copy", str(copy)).returncode == 0
    text = b"".join(path.read_bytes() for path in (copy / "ledger/segments").iterdir())
    assert not [word for word in (b"K-17", b"Ben", b"Ms Sato", b"order 12") if word in text]
