"""`changed` is `dataclasses.replace`, only quicker."""

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from llm_watchdog.core.records import changed
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Situation
from llm_watchdog.core.window import Window


def test_it_makes_what_the_library_makes() -> None:
    window = Window(listeners=frozenset({7}), answered=True)
    before = replace(window)
    made = changed(window, beat_at=1.5, answered=False)
    assert made == replace(window, beat_at=1.5, answered=False)
    assert type(made) is Window
    assert window == before
    with pytest.raises(FrozenInstanceError):
        made.beat_at = 2.0  # type: ignore[misc]


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="Window has no field beaten_at"):
        changed(Window(), beaten_at=1.0)  # type: ignore[call-arg]


def test_what_was_changed_can_be_changed_again() -> None:
    twice = changed(changed(Replica(), cleared=True), waking=True)
    assert twice == Replica(cleared=True, waking=True)


@pytest.mark.parametrize("record", [Window, Replica, Situation])
def test_these_records_are_as_it_needs_them(record: type) -> None:
    assert is_dataclass(record)
    assert not any("__slots__" in vars(each) for each in record.__mro__)
    assert not hasattr(record, "__post_init__")
    assert all(field.init for field in fields(record))
