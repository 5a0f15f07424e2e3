"""The cache's store: what wins, what is forgotten, what heals."""

from __future__ import annotations

from typing import Any

from llmworker_operator.adapters.store import Store


def store() -> Store[str]:
    return Store(lambda d: str(d["value"]), lambda d: d.get("group"))


def document(name: str, version: int, value: str = "x", group: str | None = "g") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "n", "name": name, "resourceVersion": str(version)},
        "value": value,
        "group": group,
    }


def test_reports_changes_only() -> None:
    s = store()
    assert s.put(document("a", 1)) == {"g"}
    assert s.put(document("a", 2)) == set()
    assert s.put(document("a", 3, "y")) == {"g"}
    assert s.of("g") == ["y"]


def test_an_older_version_loses() -> None:
    s = store()
    s.put(document("a", 5, "new"))
    assert s.put(document("a", 4, "old")) == set()
    assert s.get("n", "a") == "new"


def test_a_change_that_an_answer_of_ours_was_ahead_of_is_told() -> None:
    """Somebody changes the object, and our own write, a moment later, brings the change along."""
    s = store()
    s.put(document("a", 1))
    s.answered(document("a", 3, "changed"))
    assert s.get("n", "a") == "changed"
    assert s.put(document("a", 2, "changed")) == {"g"}
    assert s.put(document("a", 2, "changed")) == set(), "once"
    assert s.put(document("a", 3, "changed")) == set(), "our own write"
    assert s.get("n", "a") == "changed"


def test_our_own_writes_are_no_news() -> None:
    s = store()
    s.answered(document("a", 1))
    assert s.put(document("a", 1)) == set()
    s.answered(document("a", 2, "y"))
    assert s.put(document("a", 2, "y")) == set()
    assert s.put(document("a", 3, "z")) == {"g"}


def test_a_list_tells_of_what_the_watch_had_still_to_tell() -> None:
    s = store()
    s.put(document("a", 1))
    s.answered(document("a", 3, "changed"))
    assert s.listed(document("a", 3, "changed")) == {"g"}
    assert s.put(document("a", 2, "changed")) == set()
    assert s.listed(document("a", 3, "changed")) == set()


def test_another_group() -> None:
    s = store()
    s.put(document("a", 1))
    assert s.put(document("a", 2, group="h")) == {"g", "h"}
    assert (s.of("g"), s.of("h")) == ([], ["x"])


def test_what_belongs_to_nobody_is_not_kept() -> None:
    s = store()
    assert s.put(document("a", 1, group=None)) == set()
    assert len(s) == 0


def test_a_late_message_does_not_raise_the_dead() -> None:
    s = store()
    s.put(document("a", 1))
    assert s.remove(("n", "a"), 5) == {"g"}
    assert s.put(document("a", 4)) == set()
    assert s.get("n", "a") is None
    assert s.put(document("a", 6)) == {"g"}


def test_the_removal_of_an_earlier_one_of_that_name_is_ignored() -> None:
    s = store()
    s.put(document("a", 9))
    assert s.remove(("n", "a"), 5) == set()
    assert s.get("n", "a") == "x"


def test_a_relist_buries_ghosts_and_keeps_what_is_newer() -> None:
    s = store()
    s.put(document("ghost", 1))
    s.put(document("listed", 2))
    s.put(document("newer", 11))
    assert s.keep_only({("n", "listed")}, 10) == {"g"}
    assert {s.get("n", name) for name in ("listed", "newer")} == {"x"}
    assert s.get("n", "ghost") is None


def test_a_list_that_was_taken_before_a_removal_does_not_raise_the_dead() -> None:
    s = store()
    s.put(document("a", 1))
    s.remove(("n", "a"), 12)
    s.put(document("a", 1))
    s.keep_only({("n", "a")}, 10)
    assert s.get("n", "a") is None


def test_tombstones_go_once_a_list_is_newer() -> None:
    s = store()
    s.put(document("a", 1))
    s.remove(("n", "a"), 5)
    s.keep_only(set(), 10)
    assert s.put(document("a", 4)) == {"g"}
