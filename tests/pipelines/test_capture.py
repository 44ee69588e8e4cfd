"""The spool: what of an attempt survives a kill, and who may touch it."""

from __future__ import annotations

import errno

import pytest

from evidence.reasons import Outcome, Reason
from pipelines import capture as module
from pipelines.candidate import Candidate
from pipelines.capture import Capture


def begun(tmp_path) -> Capture:
    return Capture.begin(tmp_path, Candidate("https://a.test/", rank=1))


def test_state_survives_and_a_living_attempt_is_left_alone(tmp_path):
    capture = begun(tmp_path)
    capture.facts["page"] = {"title": "題"}
    capture.note(Reason("no-video", "none"))
    capture.save()
    assert Capture.reopen(capture.folder) is None
    capture.release()
    again = Capture.reopen(capture.folder)
    assert again is not None
    assert (again.id, again.started, again.facts, again.reasons) == (
        capture.id, capture.started, capture.facts, capture.reasons,
    )  # fmt: skip
    again.discard()
    assert not capture.folder.exists()


def test_half_a_surrogate_pair_in_what_a_page_says_is_kept_as_well(tmp_path):
    capture = begun(tmp_path)
    capture.note(Reason("no-video", "\ud83d"))
    with capture.step("page") as conclude:
        conclude("done", "title \udc00")
    capture.release()
    again = Capture.reopen(capture.folder)
    assert again is not None
    assert (again.reasons, again.steps) == (capture.reasons, capture.steps)
    again.discard()


def test_a_folder_killed_before_its_first_state_promised_nothing_and_goes(tmp_path):
    folder = tmp_path / "01KAR5Q8Z41X7JQ9D2N6V0H3GT"
    folder.mkdir()
    assert Capture.reopen(folder) is None
    assert not folder.exists()


def test_a_step_that_raised_is_run_again_and_one_that_ended_is_not(tmp_path):
    capture = begun(tmp_path)
    with pytest.raises(ValueError, match="no"), capture.step("page"):
        raise ValueError("no")
    assert not capture.did("page")
    with capture.step("page") as conclude:
        conclude("done", "1 exchange")
    assert capture.did("page")
    capture.release()


def test_the_reason_that_decided_comes_first_and_none_counts_twice(tmp_path):
    capture = begun(tmp_path)
    capture.note(Reason("no-video"))
    capture.note(Reason("no-video"))
    assert capture.outcome is Outcome.PARTIAL
    capture.fail(Reason("timeout"))
    assert [reason.code for reason in capture.reasons] == ["timeout", "no-video"]
    assert capture.outcome is Outcome.FAILED
    capture.release()


def test_on_a_full_disk_the_childrens_folder_makes_room_for_the_state(tmp_path, monkeypatch):
    capture = begun(tmp_path)
    capture.work.mkdir()
    write = module._write_durably

    def full_until_there_is_room(path, text):
        if capture.work.exists():
            raise OSError(errno.ENOSPC, "full")
        write(path, text)

    monkeypatch.setattr(module, "_write_durably", full_until_there_is_room)
    capture.facts["last"] = 1
    capture.save()
    capture.release()
    again = Capture.reopen(capture.folder)
    assert again.facts["last"] == 1
    again.release()


def test_a_full_disk_without_anything_to_give_up_is_raised(tmp_path, monkeypatch):
    capture = begun(tmp_path)

    def full(path, text):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "_write_durably", full)
    with pytest.raises(OSError, match="full"):
        capture.save()
    capture.release()
