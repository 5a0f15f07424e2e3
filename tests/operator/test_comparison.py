"""Whether a live object still says what was applied."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.builders.comparison import holds


@pytest.mark.parametrize(
    ("desired", "live", "expected"),
    [
        ({"a": 1}, {"a": 1, "added": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": None}, {}, True),
        ({"a": None}, {"a": {"default": 1}}, False),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2], "c": 3}}, True),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], [2, 1], False),
        ([{"name": "x", "v": 1}], [{"name": "injected"}, {"name": "x", "v": 1, "default": 0}], True),
        ([{"name": "x", "v": 1}], [{"name": "x", "v": 2}], False),
        ([{"name": "x"}], [{"name": "y"}], False),
        ([{"uid": "1"}, {"uid": "2"}], [{"uid": "2"}, {"uid": "1"}], True),
        ([{"containerPort": 1}], [{"containerPort": 1, "protocol": "TCP"}], True),
        ([], [], True),
        ([], [1], False),
        ({"a": {}}, {"a": {"b": 1}}, True),
        ({"a": {}}, {}, False),
        (True, 1, True),
        ("1", 1, False),
    ],
)
def test_holds(desired: Any, live: Any, expected: bool) -> None:  # noqa: FBT001
    assert holds(desired, live) is expected
