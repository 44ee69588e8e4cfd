"""Outside time by the real commands: stamped at the end of a capture, on demand, listed, audited, or told why not."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.end_to_end.conftest import ROOT
from tests.site.timestamping import environment_of


@pytest.mark.slow
def test_the_ledger_is_stamped_on_demand_and_every_failure_has_its_exit_code(own_archive, alpha, beta):
    def run(*command: str, **environment: str):
        return own_archive.run("akashi", *command, **environment)

    assert run("ledger", "timestamp").returncode == 2
    dead = environment_of(alpha) | {"AKASHI_TIMESTAMP_AUTHORITIES": "http://127.0.0.1:9/tsa"}
    failed = run("ledger", "timestamp", **dead)
    assert failed.returncode == 5
    assert "failed  http://127.0.0.1:9/tsa" in failed.stdout
    assert "next: " in failed.stdout
    assert "no timestamp yet" in run("ledger", "timestamp", "--list").stderr
    assert "note  anchors" in run("doctor", **environment_of(alpha)).stdout

    own_archive.environment |= environment_of(alpha, beta)
    stamped = own_archive.objects("akashi", "ledger", "timestamp")
    assert [one["authority"] for one in stamped] == [alpha.url(), beta.url()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", one["time"]) for one in stamped)
    again = run("ledger", "timestamp")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to stamp" in again.stderr
    listed = own_archive.objects("akashi", "ledger", "timestamp", "--list")
    assert [one["entry"] for one in listed] == [one["entry"] for one in stamped]
    assert f"entries 0 to {listed[0]['size'] - 1} existed by" in run("ledger", "timestamp", "--list").stdout
    assert "ok    anchors" in run("doctor").stdout
    assert own_archive.objects("akashi", "audit")[-1]["anchors"] == 2
    stranger = run("audit", AKASHI_TIMESTAMP_ROOTS="")  # certifi knows neither
    assert stranger.returncode == 1
    assert stranger.stdout.count("timestamp-chain") == 2


@pytest.mark.slow
def test_openssl_verifies_a_token_by_the_documented_commands_and_refuses_another_checkpoint(
    own_archive, alpha, tmp_path
):
    own_archive.environment |= environment_of(alpha)
    (stamped,) = own_archive.objects("akashi", "ledger", "timestamp")
    copy = tmp_path / "copy"
    own_archive.run("akashi", "store", "copy", "--to", str(copy))
    documented = (ROOT / "docs/formats/ledger.md").read_text("utf-8")
    script = documented[documented.index("cd COPY/ledger") :].partition("```")[0]
    (checkpoint,) = (copy / "ledger/anchors").iterdir()
    for sample, real in {
        "COPY": str(copy),
        "00000000000000000009": checkpoint.name,
        "timestamp.example-tsa": next(checkpoint.glob("*.tsr")).stem,
        "root.pem": str(alpha.folder / "root.pem"),
        "GENTIME": stamped["time"],
    }.items():
        assert sample in script
        script = script.replace(sample, real)

    def verify() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    good = verify()
    assert "Time stamp:" in good.stdout
    assert "Verification: OK" in good.stdout + good.stderr, good
    assert good.returncode == 0
    note = copy / "ledger/checkpoints" / checkpoint.name
    note.chmod(0o644)
    note.write_bytes(note.read_bytes().replace(b"\n\n", b"\n\n\n"))
    forged = verify()
    assert forged.returncode != 0
    assert "Verification: FAILED" in forged.stdout + forged.stderr


@pytest.mark.slow
def test_the_end_of_a_capture_has_the_ledger_stamped_and_never_fails_for_it(own_archive, site, alpha):
    url = site.url("/friendly/post/1")
    options = ("capture", "--no-video", "--allow-private", url)
    done = own_archive.run("akashi", *options, **environment_of(alpha))
    assert f"the ledger was timestamped by {alpha.url()}" in done.stderr
    assert [entry["type"] for entry in own_archive.entries()][-1] == "anchor.tsr"
    slow = environment_of(alpha, path="/slow") | {"AKASHI_TIMESTAMP_MINUTES": "0"}
    late = own_archive.run("akashi", *options, **slow)
    assert late.returncode == done.returncode
    assert "the ledger waits for a timestamp" in late.stderr
    assert [entry["type"] for entry in own_archive.entries()][-1].startswith("capture.")
