"""A number or a percentage of replicas: how it is read, and on which side it is rounded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_watchdog.api.amount import Amount
from llm_watchdog.api.document import DocumentError, decode, encode
from llm_watchdog.api.policy import BudgetPolicy

PERCENT = st.integers(0, 100).map(lambda n: f"{n}%")


@pytest.mark.parametrize(
    ("written", "replicas", "allowed"),
    [
        pytest.param("25%", 8, 2, id="a quarter"),
        pytest.param("25%", 7, 1, id="rounded down"),
        pytest.param("25%", 11, 2, id="rounded down, and not up"),
        pytest.param("25%", 3, 1, id="never to nothing"),
        pytest.param("1%", 50, 1, id="never to nothing, however small"),
        pytest.param("0%", 50, 0, id="unless it says so"),
        pytest.param("100%", 4, 3, id="never all of several"),
        pytest.param("99%", 1000, 990, id="most of many"),
        pytest.param("100%", 2, 1, id="never both of two"),
        pytest.param("100%", 1, 1, id="the only one"),
        pytest.param("25%", 0, 1, id="of none"),
        pytest.param(3, 2, 3, id="a number is meant as it stands"),
        pytest.param(0, 2, 0, id="nothing"),
    ],
)
def test_how_many_may_be_taken_away(written: int | str, replicas: int, allowed: int) -> None:
    assert Amount.parse(written).at_most(replicas) == allowed


@pytest.mark.parametrize(
    ("written", "replicas", "needed"),
    [("50%", 2, 1), ("50%", 3, 2), ("50%", 4, 2), ("1%", 10, 1), ("100%", 7, 7), (3, 10, 3)],
)
def test_how_many_make_up_a_share(written: int | str, replicas: int, needed: int) -> None:
    assert Amount.parse(written).at_least(replicas) == needed


@given(PERCENT, st.integers(2, 10_000))
def test_a_percentage_never_takes_all_of_several(written: str, replicas: int) -> None:
    allowed = Amount.parse(written).at_most(replicas)
    assert 0 <= allowed < replicas
    assert (allowed == 0) is (written == "0%")


@given(PERCENT, st.integers(0, 10_000))
def test_the_share_is_not_smaller_than_was_said(written: str, replicas: int) -> None:
    needed = Amount.parse(written).at_least(replicas)
    assert (needed - 1) * 100 < replicas * int(written[:-1]) <= needed * 100


@pytest.mark.parametrize(
    "bad", [-1, 2**31, True, 1.5, "2", "", "%", "-5%", "101%", "1.5%", "٣%", "25%\n", " 5%", None, []]
)
def test_what_is_neither(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"is below 0|is above|is no number of replicas: write"):
        Amount.parse(bad)


@given(st.text(max_size=6))
def test_no_text_but_a_percentage_is_taken(text: str) -> None:
    assume(text not in {f"{n}%" for n in range(101)})
    with pytest.raises(ValueError, match="is no number of replicas"):
        Amount.parse(text)


@pytest.mark.parametrize("written", [0, 7, "0%", "25%", "100%"])
def test_it_is_written_as_it_was_read(written: int | str) -> None:
    budget = decode(BudgetPolicy, {"maxUnavailable": written})
    document = json.loads(json.dumps(encode(budget)))
    assert document["maxUnavailable"] == written
    assert type(document["maxUnavailable"]) is type(written)
    assert decode(BudgetPolicy, document) == budget


def test_a_document_with_another_word_is_refused() -> None:
    with pytest.raises(DocumentError, match="'some' is no number of replicas"):
        decode(BudgetPolicy, {"maxUnavailable": "some"})
