from __future__ import annotations

import re
from typing import Any

import pytest
from yt_dlp.extractor import gen_extractor_classes
from yt_dlp.utils import variadic

from pipelines.record.ytdlp_urls import can_match


@pytest.mark.parametrize(
    ("pattern", "url", "possible"),
    [
        (r"https?://(?:www\.)?a\.com/(?P<id>\d+)", "https://a.com/1", True),
        (r"https?://(?:www\.)?a\.com/(?P<id>\d+)", "https://b.org/1", False),
        (r"https?://(?:www|m)\.ab\.com/", "https://m.ab.com/", True),
        (r"https?://abc?\.com/", "https://ab.com/", True),
        (r"https?://ab{0}\.com/", "https://a.com/", True),
        (r"https?://a\.com/|b:", "b:1", True),
        (r"https?://a\.com/(?:x|y)", "https://b.org/x", False),
        (r"https?://a\.com/[x|y]", "https://b.org/x", False),
        (r"https?://a\.com/[]|]|c", "c", True),
        (r"https?://(?:a\.com)*b", "https://b", True),
        (r"(?i)https?://a\.com/", "https://A.com/", True),
        (r"https?://\w+\.a\.com/", "https://x.b.org/", True),
    ],
)
def test_only_what_cannot_match_is_passed_over(pattern: str, url: str, possible: bool) -> None:
    assert can_match(pattern, url) is possible
    assert possible or re.match(pattern, url) is None


def test_a_list_of_hosts_is_passed_over_for_a_host_that_is_not_on_it() -> None:
    patterns = {c.__name__: c._VALID_URL for c in gen_extractor_classes() if isinstance(c._VALID_URL, str)}
    listed = {name: pattern for name, pattern in patterns.items() if "joinpeertube.org" in pattern}
    assert set(listed) == {"PeerTubeIE", "PeerTubePlaylistIE"}
    post = "9c9de5e8-0a1e-484a-b099-e80766180a6d"
    assert can_match(listed["PeerTubeIE"], f"https://framatube.org/w/{post}")
    assert can_match(listed["PeerTubeIE"], f"peertube:a.example:{post}")
    assert not can_match(listed["PeerTubeIE"], f"https://a.example/w/{post}")


def test_no_extractor_is_passed_over_for_a_url_of_its_own_tests() -> None:
    asked = passed = 0
    for extractor in gen_extractor_classes():
        own: Any = extractor._VALID_URL or ()
        patterns = [p for p in variadic(own) if isinstance(p, str)]
        for case in extractor.get_testcases(include_onlymatching=True):
            for pattern in patterns:
                if re.match(pattern, case["url"]):
                    assert can_match(pattern, case["url"]), (extractor, case["url"])
                    asked += 1
        passed += any(not can_match(pattern, "https://videos.example.test/post/1") for pattern in patterns)
    assert asked > 5000
    assert passed > 1000
