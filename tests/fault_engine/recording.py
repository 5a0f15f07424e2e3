"""The recorded calls of the real vLLM, and what an answer looks like without its particular words and numbers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "recordings" / "vllm"


@dataclass(frozen=True, slots=True)
class Recording:
    method: str
    path: str
    request: str
    status: int
    headers: frozenset[str]
    body: str


def recording(name: str) -> Recording:
    head, _, body = (FOLDER / f"{name}.http").read_text().partition("\n\n")
    call, status, *headers = head.split("\n")
    method, path, *request = call.split(" ", 2)
    names = frozenset(header.partition(":")[0] for header in headers)
    return Recording(method, path, " ".join(request), int(status.split()[1]), names, body)


def events(body: str) -> list[str]:
    """The payloads of a stream, with its framing checked."""
    *blocks, rest = body.split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block.removeprefix("data: ") for block in blocks]


def shape(document: Any) -> Any:
    """Keys in their order, and the types of the values; lists of one kind are one however long.

    The runners-up of a completion are keyed by their text, so that their keys are not compared.
    """
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items() if key != "top_logprobs"}
    if isinstance(document, list):
        shapes = [shape(value) for value in document]
        return shapes[:1] if all(one == shapes[0] for one in shapes) else shapes
    return type(document).__name__


def stream_shape(body: str) -> list[str]:
    """The shapes of the events in their order, each once however often it is repeated."""
    shapes: list[str] = []
    for event in events(body):
        text = event if event == "[DONE]" else json.dumps(shape(json.loads(event)))
        if text not in shapes[-1:]:
            shapes.append(text)
    return shapes
