"""What a visit does to a page, through a real Chromium: in which order, by which rules, and what it leaves alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from evidence.canonical import parse_utc
from pipelines.record.consent import RULES, WORDS
from pipelines.record.page import PageRecord
from storage.settings import Settings
from tests.pipelines.record.pages import (
    LoopbackToo,
    a_folder,
    exchanges_of,
    page_of,
    recording,
    records_of,
)
from tests.site import Site, names

SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def site_is_found_and_trusted(site: Site, monkeypatch: pytest.MonkeyPatch):
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder():
    with a_folder() as made:
        yield made


class Asked(LoopbackToo):
    """Remembers which hosts the door was asked for."""

    asked: ClassVar[set[str]] = set()

    def resolve(self, host: str) -> tuple[str, ...]:
        self.asked.add(host)
        return super().resolve(host)


@pytest.fixture(scope="module")
def answered(site: Site):
    """The post under a Japanese dialog: the record, and its folder."""
    with pytest.MonkeyPatch.context() as patch, a_folder() as made:
        for name, value in site.environment().items():
            patch.setenv(name, value)
        yield asyncio.run(recording(site.url("/consent/japanese"), made, Settings(), Asked())), made


def steps(record: PageRecord) -> dict[str, dict[str, str]]:
    """The last step of each name."""
    return {step["name"]: step for step in record.browser["steps"]}


def codes(record: PageRecord) -> list[str]:
    return [reason.code for reason in record.reasons]


def resources(folder: Path) -> dict[str, bytes]:
    return {r.uri.rpartition(":")[2]: r.body for r in records_of(folder) if r.type == "resource"}


# Order, and what is written down of it --------------------------------------------------------


def test_a_visit_is_a_list_of_steps_the_first_screenshot_before_any_action(answered):
    record, _ = answered
    assert [step["name"] for step in record.browser["steps"]] == [
        *("open", "load", "screenshot-viewport", "consent", "scroll", "player", "screenshot-full", "read")
    ]
    times = [(parse_utc(step["started"]), parse_utc(step["ended"])) for step in record.browser["steps"]]
    assert all(began <= ended for began, ended in times)
    assert times == sorted(times)
    assert {step["outcome"] for step in record.browser["steps"]} == {"done"}
    assert record.reasons == []


def test_every_script_that_was_run_is_named_with_its_digest_and_kept_as_it_was_run(answered):
    record, folder = answered
    kept = resources(folder)
    told = {script["name"]: script["sha256"] for script in record.browser["scripts"]}
    assert set(told) == {
        f"script-{name}.js"
        for name in ("consent", "consent-1", "scroll", "player", "pause", "height", "read", "challenge")
    }
    for name, digest in told.items():
        assert hashlib.sha256(kept[name]).hexdigest() == digest
    pressed, looked_again = (kept[f"script-{name}.js"].decode("utf-8") for name in ("consent", "consent-1"))
    assert "すべて" in pressed  # with its arguments: the rules
    assert pressed.endswith(", true)")
    assert looked_again.endswith(", false)")
    assert json.loads(kept["browser.json"])["steps"] == record.browser["steps"]


def test_the_dialog_is_refused_by_a_rule_that_is_named_with_the_dialogs_text(answered):
    record, folder = answered
    (dialog,) = record.browser["consent"]
    assert (dialog["rule"], dialog["action"], dialog["button"]) == ("wording", "reject", "すべて拒否する")
    assert "クッキーを使います" in dialog["text"]
    assert dialog["covers"] is True
    assert steps(record)["consent"]["detail"] == "wording: reject (すべて拒否する)"
    assert "answer: reject" in record.text
    made = resources(folder)
    assert made["screenshot-viewport.png"] != made["screenshot-full.png"]


def test_the_player_is_started_and_paused_again(answered):
    record, _ = answered
    (player,) = record.browser["players"]
    assert player["started"]
    assert player["ended"] == "whole"
    assert record.exchanges >= 5


def test_nothing_is_asked_for_on_the_browsers_own_account_but_what_it_refuses_itself(answered, site):
    record, _ = answered
    own = record.browser["own_requests"]["urls"]
    assert [url for url in own if not url.startswith("https://accounts.google.com:1/ListAccounts")] == []
    assert Asked.asked == {names.VIDEOS, names.CDN}


# The player -----------------------------------------------------------------------------------


def after(served: Any, step: dict[str, str]) -> bool:
    moment: datetime = parse_utc(step["ended"])
    return bool(served.received > moment)


def test_a_player_that_fetches_on_and_on_gets_nothing_more_once_its_time_is_over(site, folder):
    mark = site.log.mark()
    record = page_of(site.url("/player/pieces"), folder, player_seconds=0.7)
    (player,) = record.browser["players"]
    assert (player["started"], player["ended"], player["held"]) == (True, "time", True)
    assert record.reasons == []
    paused = steps(record)["player"]
    assert paused["detail"].endswith("the door holds back the rest")
    late = {one.url for one in site.log.since(mark) if after(one, paused)}
    answers = {request.uri: response for request, response in exchanges_of(folder)}
    assert [url for url in late if answers.get(url) is not None] == []
    assert len([url for url in answers if "/media/video.mp4" in url]) >= 2
    assert record.missing == []


@SLOW
@pytest.mark.parametrize("path", ["/player/pieces", "/player/framed", "/player/slow"])
def test_a_player_is_stopped_at_its_budget_of_bytes_wherever_it_stands(site, folder, path):
    record = page_of(site.url(path), folder, player_seconds=20.0, player_max_bytes=1_000_000)
    (player,) = record.browser["players"]
    assert (player["started"], player["held"]) == (True, True)
    assert player["ended"] in {"bytes", "whole"}
    assert player["frame"].startswith(
        site.url("/player/pieces", names.AWAY) if path == "/player/framed" else site.url(path)
    )
    media = [r for q, r in exchanges_of(folder) if ".mp4" in q.uri and r]
    assert record.bytes < 5_000_000
    assert media
    assert steps(record)["screenshot-full"]["outcome"] == "done"


@SLOW
def test_a_player_without_a_source_is_started_by_its_button_and_its_window_closed(site, folder):
    record = page_of(site.url("/player/button"), folder)
    (player,) = record.browser["players"]
    assert (player["pressed"], player["started"]) == ("vjs-big-play-button", True)
    assert steps(record)["window"]["outcome"] == "closed"
    assert site.url("/about?window=player") in {request.uri for request, _ in exchanges_of(folder)}
    assert site.url("/media/one.mp4") in {request.uri for request, _ in exchanges_of(folder)}


@SLOW
def test_a_player_that_cannot_play_is_a_step_that_says_so(site, folder):
    record = page_of(site.url("/player/refused"), folder)
    (player,) = record.browser["players"]
    assert (player["ended"], player["why"]) == ("failed", "NotSupportedError")
    assert record.reasons == []


@SLOW
def test_no_player_is_started_when_it_may_run_for_no_time(site, folder):
    record = page_of(site.url("/post/2"), folder, player_seconds=0.0)
    assert "player" not in steps(record)
    assert record.browser["players"] == []


# Consent --------------------------------------------------------------------------------------


@SLOW
@pytest.mark.parametrize(
    ("shape", "rule", "action"),
    [
        ("onetrust", "onetrust", "reject"),
        ("cookiebot", "cookiebot", "reject"),
        ("didomi", "didomi", "reject"),
        ("usercentrics", "usercentrics", "reject"),
        ("quantcast", "quantcast", "reject"),
        ("english", "wording", "reject"),
        ("close", "wording", "close"),
        ("wall", "wording", "accept"),
    ],
)
def test_a_dialog_of_a_known_shape_is_answered(site, folder, shape, rule, action):
    record = page_of(site.url(f"/consent/{shape}"), folder, player_seconds=0.0)
    (dialog,) = record.browser["consent"]
    assert (dialog["rule"], dialog["action"]) == (rule, action)
    assert f"answer: {action}" in record.text
    assert record.reasons == []


@SLOW
@pytest.mark.parametrize(
    ("shape", "why", "reasons"),
    [
        ("banner", "only offers to accept", []),
        ("age", "more than consent", ["consent-remains"]),
        ("login", "more than consent", ["consent-remains"]),
        ("elsewhere", "no button", ["consent-remains"]),
    ],
)
def test_what_asks_for_more_or_covers_nothing_or_leads_elsewhere_is_left_alone(
    site, folder, shape, why, reasons
):
    record = page_of(site.url(f"/consent/{shape}"), folder, player_seconds=0.0)
    (dialog,) = record.browser["consent"]
    assert dialog["action"] == ""
    assert why in dialog["why"]
    assert "answer: none" in record.text
    assert codes(record) == reasons


@SLOW
def test_a_dialog_that_stays_after_its_button_is_pressed_once_is_noted(site, folder):
    record = page_of(site.url("/consent/stubborn"), folder)
    assert codes(record) == ["consent-remains"]


@SLOW
def test_a_button_that_leads_away_is_undone(site, folder):
    record = page_of(site.url("/consent/away"), folder)
    undone = [step["detail"] for step in record.browser["steps"] if step["outcome"] == "undone"]
    assert undone == [f"it led to {site.url('/about')}"]
    assert record.final_url == site.url("/consent/away")
    assert record.title.startswith("Comet Kart")


@SLOW
def test_a_window_that_the_answer_opens_is_recorded_and_closed(site, folder):
    record = page_of(site.url("/consent/window"), folder)
    assert steps(record)["window"]["detail"] == site.url("/about?window=1")
    assert site.url("/about?window=1") in {request.uri for request, _ in exchanges_of(folder)}
    assert record.reasons == []


@SLOW
def test_a_page_that_asks_before_the_post_is_answered_and_leads_to_it(site, folder):
    record = page_of(site.url("/consent-first"), folder)
    assert record.browser["consent"][0]["rule"] == "google"
    assert record.final_url == site.url("/consent-first")
    assert record.title.startswith("Comet Kart")


@SLOW
def test_an_article_about_cookies_is_no_dialog(site, folder):
    record = page_of(site.url("/consent/article"), folder)
    assert record.browser["consent"] == []
    assert "answer: none" in record.text


@pytest.mark.parametrize(
    ("wording", "action"),
    [
        *(
            (text, "reject")
            for text in ("Reject all", "Decline", "Only necessary", "Accept only essential cookies")
        ),
        *(
            (text, "reject")
            for text in ("すべて拒否", "同意しない", "必要なクッキーのみ", "必須のみ許可する")
        ),
        *((text, "close") for text in ("Close", "閉じる", "No thanks")),
        *((text, "accept") for text in ("Accept all", "I agree", "OK", "同意する", "すべて許可する")),
        *((text, "") for text in ("Sign in", "Accept and subscribe", "I am over 18", "はい、18歳以上です")),
        *(
            (text, "")
            for text in ("Log in to accept", "購入する", "ログイン", "Manage choices", "設定", "Play")
        ),
    ],
)
def test_a_buttons_whole_wording_says_what_it_does(wording, action):
    said = [name for name in ("reject", "close", "accept") if re.search(WORDS[name], wording, re.IGNORECASE)]
    assert said == ([action] if action else [])


def test_each_rule_has_a_name_and_a_container_and_is_documented():
    text = (Path(__file__).resolve().parents[3] / "docs/page-behaviour.md").read_text("utf-8")
    assert len({rule["name"] for rule in RULES}) == len(RULES)
    assert [rule["name"] for rule in RULES if f"| `{rule['name']}` |" not in text] == []
    assert all(rule["container"] for rule in RULES)


# Challenges, and what would hold a visit up ---------------------------------------------------


def test_a_challenge_is_recognised_and_not_solved(site, folder):
    mark = site.log.mark()
    record = page_of(site.url("/challenge/cloudflare"), folder)
    assert codes(record) == ["challenge-unsolved"]
    assert "Cloudflare" in record.reasons[0].detail
    assert {one.method for one in site.log.since(mark)} == {"GET"}
    assert record.browser["consent"] == record.browser["players"] == []


@SLOW
@pytest.mark.parametrize(("kind", "reasons"), [("recaptcha", ["challenge-unsolved"]), ("beside", [])])
def test_a_challenge_beside_a_page_that_shows_itself_is_none(site, folder, kind, reasons):
    assert codes(page_of(site.url(f"/challenge/{kind}"), folder)) == reasons


@SLOW
@pytest.mark.parametrize(
    ("how", "name", "outcome"),
    [
        ("alerts", "dialog", "dismissed"),
        ("download", "download", "refused"),
        ("surrogates", "dialog", "dismissed"),
        ("print", "read", "done"),
        ("chooser", "read", "done"),
        ("permission", "read", "done"),
        ("fullscreen", "read", "done"),
        ("leave", "read", "done"),
    ],
)
def test_nothing_waits_for_a_person(site, folder, how, name, outcome):
    record = page_of(site.url(f"/hold/{how}"), folder)
    assert steps(record)[name]["outcome"] == outcome
    assert steps(record)["screenshot-full"]["outcome"] == "done"
    assert len(record.browser["steps"]) <= 208
    assert json.dumps(record.browser, ensure_ascii=False).encode("utf-8")


@SLOW
def test_a_page_that_never_answers_again_costs_one_wait_and_says_so(site, folder, monkeypatch):
    monkeypatch.setattr("pipelines.record.page_visit._LOOK_SECONDS", 2.0)
    record = page_of(site.url("/hold/loop"), folder, page_timeout=5.0)
    # The loop begins 0.9 s after the page: before or after it has settled, as the machine is quick.
    assert "screenshot-failed" in codes(record)
    assert set(codes(record)) <= {"page-unsettled", "screenshot-failed"}
    assert {step["outcome"] for step in record.browser["steps"]} >= {"late", "skipped"}


@SLOW
def test_a_page_cannot_change_what_our_scripts_do_nor_see_them(site, folder):
    record = page_of(site.url("/hold/globals"), folder)
    assert record.reasons == []
    assert record.browser["players"][0]["started"]
    assert record.title.startswith("Comet Kart")
