"""A rollout that the brake blames is taken back, once; and what the user does meanwhile goes before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworker_operator.builders.controllerrevision import surplus
from llmworker_operator.builders.deployment import deployment
from llmworker_operator.domain.brake import Brake
from llmworker_operator.domain.causes import Cause, Suspect
from llmworker_operator.domain.conditions import evaluate
from llmworker_operator.domain.facts import Facts, Rollout
from llmworker_operator.domain.rollback import (
    BECAUSE_MAX,
    Marks,
    Revision,
    Standing,
    annotations_of,
    choose,
    read_marks,
    standing_of,
)
from llmworker_operator.domain.rollout import Change
from llmworker_operator.reconcile.revisions import revision_of
from tests.operator.making import NOW, at, incident, replica, worker

A, B, C = (Revision(template=name, engine="e") for name in ("a", "b", "c"))
OTHER_ENGINE = Revision(template="b", engine="f")
STORED = {"a", "b", "c"}
WELL, FINE, BLAMED = Standing(), Standing(sound=True), Standing(blamed="the trial restart of pod x did not cure it")
ROLLED_OUT = Marks(current=B, since=at(-60), good=A)
"""B is in force, and A was well before."""
TAKEN_BACK = Marks(current=A, since=at(-10), good=A, refused=B, because=BLAMED.blamed)


def chosen(
    wished: Revision, marks: Marks, standing: Standing = WELL, *, automatic: bool = True, stored: set[str] = STORED
) -> Marks:
    return choose(wished, marks, standing, automatic=automatic, stored=stored, now=NOW)


def test_the_first_template_has_none_before_it() -> None:
    assert chosen(A, Marks()) == Marks(current=A, since=NOW)


def test_a_blamed_rollout_is_taken_back() -> None:
    assert chosen(B, ROLLED_OUT, BLAMED) == replace(TAKEN_BACK, since=NOW)


@pytest.mark.parametrize("standing", [WELL, FINE, BLAMED])
def test_once_it_is_taken_back_that_is_how_it_stays(standing: Standing) -> None:
    assert chosen(B, TAKEN_BACK, standing) == TAKEN_BACK


@pytest.mark.parametrize(
    ("marks", "fields"),
    [
        (ROLLED_OUT, {"automatic": False}),
        (replace(ROLLED_OUT, good=None), {}),
        (replace(ROLLED_OUT, good=B), {}),
        (ROLLED_OUT, {"stored": {"b"}}),
        (replace(ROLLED_OUT, good=Revision(template="a", engine="f")), {}),
    ],
    ids=["not wished", "none before", "the same", "not kept", "made for another engine"],
)
def test_what_is_not_taken_back(marks: Marks, fields: dict[str, Any]) -> None:
    assert chosen(B, marks, BLAMED, **fields).current == B


def test_another_spec_is_rolled_out_at_once() -> None:
    assert chosen(C, TAKEN_BACK) == Marks(current=C, since=NOW, good=A)


def test_the_spec_before_it_put_back_ends_it() -> None:
    """As `git revert` does it: nothing is rolled."""
    assert chosen(A, TAKEN_BACK) == Marks(current=A, since=TAKEN_BACK.since, good=A)


def test_the_refused_spec_after_another_one_is_a_rollout_of_its_own() -> None:
    again = chosen(B, chosen(C, TAKEN_BACK, FINE), FINE)
    assert again.current == B
    assert again.refused is None


def test_a_person_who_says_never_goes_on_with_it() -> None:
    marks = chosen(B, TAKEN_BACK, BLAMED, automatic=False)
    assert marks == Marks(current=B, since=NOW, good=A)
    assert chosen(B, marks, WELL).current == B, "Automatic again: it takes another trial that proves nothing"


def test_another_engine_beside_it_is_another_wish() -> None:
    assert chosen(OTHER_ENGINE, TAKEN_BACK).current == OTHER_ENGINE


@pytest.mark.parametrize(("standing", "good"), [(FINE, B), (WELL, A), (BLAMED, A)])
def test_what_was_good_is_what_was_well(standing: Standing, good: Revision) -> None:
    assert chosen(C, ROLLED_OUT, standing).good == good


def test_another_engine_alone_is_no_rollout() -> None:
    marks = chosen(OTHER_ENGINE, ROLLED_OUT, FINE)
    assert (marks.current, marks.since, marks.good) == (OTHER_ENGINE, ROLLED_OUT.since, A)


WISHES = st.sampled_from([A, B, C, OTHER_ENGINE])
STANDINGS = st.sampled_from([WELL, FINE, BLAMED])


@given(st.lists(st.tuples(WISHES, STANDINGS, st.booleans(), st.booleans()), max_size=30))
def test_whatever_comes_it_is_taken_back_once_for_each_rollout(
    looks: list[tuple[Revision, Standing, bool, bool]],
) -> None:
    """A pass that is killed before its write is made again from the same marks."""
    marks = Marks()
    for wished, standing, automatic, killed in looks:
        before = marks
        after = choose(wished, before, standing, automatic=automatic, stored=STORED, now=NOW)
        assert after.current in {wished, before.good}
        assert (after.current == wished) == (after.refused is None)
        if after.refused is not None:
            assert automatic
            assert after.refused == wished
            newly = after.refused != before.refused
            assert not newly or (standing.blamed and before.current == wished), "only what was in force is blamed"
        if not killed:
            marks = after
            assert choose(wished, marks, WELL, automatic=automatic, stored=STORED, now=NOW) == marks, "comes to rest"


# What stands in the Deployment.


@pytest.mark.parametrize("marks", [Marks(), Marks(current=A, since=at(-1)), ROLLED_OUT, TAKEN_BACK])
def test_the_marks_are_read_as_they_are_written(marks: Marks) -> None:
    made = deployment(worker(), {}, annotations_of(marks))
    assert read_marks(made) == marks


@pytest.mark.parametrize(
    "document", [None, {}, {"metadata": {}}, {"metadata": {"annotations": None}}, {"metadata": {"annotations": {}}}]
)
def test_a_deployment_of_before_is_not_marked(document: dict[str, Any] | None) -> None:
    assert read_marks(document) == Marks()


def test_what_somebody_wrote_there_is_none() -> None:
    said = {"llmworker.dev/revision": "x", "llmworker.dev/last-good-revision": ".", "llmworker.dev/revision-since": "?"}
    assert read_marks({"metadata": {"annotations": said}}) == Marks()


def test_a_long_story_is_cut() -> None:
    assert len(chosen(B, ROLLED_OUT, Standing(blamed="x" * 5000)).because) == BECAUSE_MAX


def test_the_template_and_the_engine_make_a_revision_and_nothing_else_does() -> None:
    same = revision_of(worker(replicas=5, watchdog={"mode": "Observe"}))
    assert same == revision_of(worker())
    moved = revision_of(worker(engine={"type": "openai", "port": 9000}))
    assert (moved.template, moved.engine != same.engine) == (same.template, True)
    assert revision_of(worker(template={"spec": {"containers": [{"name": "engine", "image": "engine:2"}]}})) != same


def test_the_last_good_one_is_kept_however_old() -> None:
    kept = [{"metadata": {"name": f"qwen-{n}"}, "revision": n} for n in range(9)]
    assert "qwen-0" not in {each["metadata"]["name"] for each in surplus(kept, {"qwen-0", "qwen-8"})}


# Who is blamed.

CHANGE = Change(revision=2, finished_at=at(-30))
NEW = [replica(name, revision="new", created_at=at(-50)) for name in "ab"]


def brake(*, held: bool = True, suspect: bool = True) -> Brake:
    found = Suspect(change=CHANGE, template_hash="new") if suspect else None
    cause = Cause(alike=(), replicas=2, episode=frozenset(), afflicted=frozenset(), whole_worker=False, suspect=found)
    return Brake(cause=cause, held=held, message="why")


def standing(*brakes: Brake, marks: Marks = ROLLED_OUT, **fields: Any) -> Standing:
    given: dict[str, Any] = {
        "complete": True,
        "change": CHANGE,
        "after_rollout": timedelta(seconds=600),
        "incidents": [],
        "replicas": NEW,
        "now": NOW,
    }
    return standing_of(marks, brakes=brakes, **{**given, **fields})


def test_a_brake_that_holds_for_a_rollout_blames_it() -> None:
    assert standing(brake()).blamed == "why"
    assert standing(brake(held=False)).blamed == "", "the trial is under way"
    assert standing(brake(suspect=False)).blamed == ""
    assert standing().blamed == ""


def test_the_pods_of_the_rollout_before_blame_it_alone() -> None:
    """Another template was applied ten seconds ago, and the pods that failed are still the newest that are seen."""
    assert standing(brake(), marks=replace(ROLLED_OUT, since=at(-10))).blamed == ""


def test_a_deployment_of_before_is_not_blamed() -> None:
    assert standing(brake(), marks=Marks()).blamed == ""


OLD = Change(revision=2, finished_at=at(-700))


@pytest.mark.parametrize(
    ("fields", "sound"),
    [
        ({"change": OLD}, True),
        ({"change": None}, True),
        ({}, False),
        ({"change": Change(revision=2)}, False),
        ({"change": OLD, "complete": False}, False),
        ({"change": OLD, "incidents": [incident("a")]}, False),
        ({"change": OLD, "incidents": [incident("a", phase="Closed", outcome="Recovered")]}, True),
        ({"change": OLD, "replicas": [replica("a", rotation="Quarantined")]}, False),
    ],
    ids=["long ago", "the first", "just now", "under way", "not complete", "an incident", "it is over", "quarantined"],
)
def test_what_is_sound(fields: dict[str, Any], sound: bool) -> None:  # noqa: FBT001
    assert standing(**fields).sound is sound


def test_it_is_said_and_a_sync_fails_for_it() -> None:
    """GitOps sees that what it applied is not in force, and writes nothing that would be fought over."""
    facts = Facts(worker=worker(), replicas=[], incidents=[], rollout=Rollout(complete=True), rolled_back="why")
    found = {condition.type.value: condition for condition in evaluate(facts)}
    assert found["RolledBack"].status
    assert found["RolledBack"].message.endswith("why")
    assert (found["Stalled"].reason, found["Ready"].status) == ("RolledBack", False)
    assert "RolledBack" not in {c.type.value for c in evaluate(replace(facts, rolled_back=""))}
