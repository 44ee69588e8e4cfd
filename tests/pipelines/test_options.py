"""Options as Scrapy's settings carry them."""

from __future__ import annotations

import pytest

from evidence.errors import UsageError
from pipelines.options import options_from
from storage.settings import Settings


def test_options_and_settings_come_from_one_place():
    options, settings = options_from(
        {"AKASHI_CASE": "7", "AKASHI_NO_VIDEO": "1", "AKASHI_MAX_BYTES": "1000", "AKASHI_TIMEOUT": 9},
        Settings(),
    )
    assert (options.case, options.no_video, options.allow_private) == ("7", True, False)
    assert (settings.max_bytes, settings.timeout, settings.page_timeout) == (1000, 9.0, 9.0)


@pytest.mark.parametrize("bad", [{"AKASHI_TIMEOUT": "soon"}, {"AKASHI_MAX_BYTES": -1}, {"AKASHI_LIMIT": "x"}])
def test_a_number_that_is_none_names_its_setting(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        options_from(bad, Settings())


def test_robots_are_lifted_only_by_a_named_person():
    with pytest.raises(UsageError):
        options_from({"AKASHI_OVERRIDE_ROBOTS": "court order"}, Settings())
    options, _ = options_from({"AKASHI_OVERRIDE_ROBOTS": "court order", "AKASHI_OPERATOR": "A"}, Settings())
    assert options.override_robots == "court order"
