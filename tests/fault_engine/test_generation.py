"""What a request asks for, and what fixes its answer."""

from typing import Any

import pytest

from e2e.fault_engine import tokenizer
from e2e.fault_engine.errors import ApiError
from e2e.fault_engine.generation import Generation, Terms, parse_chat, parse_completion
from e2e.fault_engine.limits import Limits

TERMS = Terms("tiny", Limits(max_model_len=100))


def completion(name: str = "r", **body: Any) -> Generation:
    return parse_completion({"prompt": "tell of the sea", "temperature": 0} | body, TERMS, name)


def test_greedy_answers_hang_on_the_prompt_alone() -> None:
    seed = completion("a").request.seed
    assert seed == completion("b", seed=4, cache_salt="x").request.seed
    assert seed != completion("a", prompt="tell of the hill").request.seed


def test_sampled_answers_hang_on_the_seed_or_on_the_request() -> None:
    sampled = {"temperature": 1, "seed": 1}
    assert completion("a", **sampled).request.seed == completion("b", **sampled).request.seed
    assert completion("a", **sampled).request.seed != completion("a", temperature=1, seed=2).request.seed
    assert completion("a", temperature=1).request.seed != completion("b", temperature=1).request.seed


def test_ids_are_those_of_the_real_server() -> None:
    assert (completion("x").answer_id, completion("x").request.id) == ("cmpl-x", "cmpl-x-0")
    chat = parse_chat({"messages": [{"role": "user", "content": "hello"}]}, TERMS, "x")
    assert (chat.answer_id, chat.request.id) == ("chatcmpl-x", "chatcmpl-x")


def test_length_defaults() -> None:
    assert completion().request.max_tokens == 16
    assert completion(max_tokens=99).request.max_tokens == 96  # what the context leaves beside 4 tokens of prompt
    chat = parse_chat({"messages": [{"role": "user", "content": "hello"}]}, TERMS, "x")
    assert chat.request.max_tokens == 100 - len(chat.request.prompt)


def test_token_ids_and_content_parts_are_taken_as_prompts() -> None:
    assert completion(prompt=[5, 6, 7]).request.prompt == [5, 6, 7]
    assert completion(prompt=["the sea"]).request.prompt == tokenizer.encode("the sea")
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "the sea"}]}]}
    plain = {"messages": [{"role": "user", "content": "the sea"}]}
    prompts = [parse_chat(body, TERMS, "x").request.prompt for body in (parts, plain)]
    assert prompts[0] == prompts[1]


@pytest.mark.parametrize("messages", [None, [], "hello", [{"role": "user"}], ["hello"]])
def test_bad_messages_are_refused(messages: object) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_chat({"messages": messages}, TERMS, "x")
    assert refusal.value.status == 400


def test_words_survive_the_tokenizer() -> None:
    text = " the old captain sees a light"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_answers_use_many_words() -> None:
    """A healthy answer must not look like a repetition fault."""
    seed = tokenizer.answer_seed(tokenizer.encode("tell of the sea"))
    tokens = [tokenizer.answer_token(seed, position) for position in range(100)]
    assert len(set(tokens)) > 50
