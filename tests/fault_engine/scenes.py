"""What each fault looks like from outside. One function by sort of behaviour; each drives the engine and asserts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.fault_engine.process import EngineProcess, eventually
from tests.fault_engine.wire import ANSWER, PROMPT, Connection, Reply, Way, ask, get, text_of, ways

SILENCE_SECONDS: Final = 0.25
LONG: Final = 3000
LONG_WORDS: Final = 600


@dataclass(frozen=True)
class Scene:
    """An engine of some dialect with one fault in force, which `order` puts there."""

    engine: EngineProcess
    dialect: str
    name: str
    argument: float | None = None

    def order(self) -> None:
        self.engine.order(self.name, self.argument)

    def way(self, prompt: str = PROMPT, max_tokens: int = 32, **more: Any) -> Way:
        return ways(self.dialect, prompt, max_tokens, **more)[0]

    def ask(self, prompt: str = PROMPT, max_tokens: int = 32, silence: float = 20.0, **more: Any) -> Reply:
        return ask(self.engine, self.way(prompt, max_tokens, **more), silence=silence)

    def text(self, reply: Reply) -> str:
        return text_of(self.dialect, self.way(), reply)

    def is_well(self) -> bool:
        """Right, and within a moment."""
        reply = self.ask(silence=SILENCE_SECONDS * 2)
        return (reply.status, reply.end, self.text(reply) if reply.body else "") == (200, "whole", ANSWER)

    def open(self, prompt: str = PROMPT, max_tokens: int = LONG, **more: Any) -> Connection:
        way = self.way(prompt, max_tokens, **more)
        return Connection(self.engine, "POST", way.path, way.body)


Play = Callable[[Scene], None]


def healthy(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert (reply.status, reply.end, scene.text(reply)) == (200, "whole", ANSWER)


def silent(scene: Scene) -> None:
    """The request is taken, and no token comes."""
    scene.order()
    reply = scene.ask(silence=SILENCE_SECONDS)
    assert reply.end == "open"
    assert scene.text(reply) == "" if reply.body else True


def silent_on_a_long_prompt(scene: Scene) -> None:
    """Of a length that was not seen before."""
    scene.order()
    reply = scene.ask(prompt=f"{PROMPT} {'the sea ' * LONG_WORDS}", silence=SILENCE_SECONDS)
    assert reply.end == "open"
    assert scene.text(reply) == "" if reply.body else True


def stalls(tokens: int) -> Play:
    def play(scene: Scene) -> None:
        scene.order()
        reply = scene.ask(silence=SILENCE_SECONDS)
        assert reply.end == "open"
        assert scene.text(reply) == " ".join(ANSWER.split()[:tokens])

    return play


def refused(*statuses: int) -> Play:
    def play(scene: Scene) -> None:
        scene.order()
        reply = scene.ask()
        if scene.dialect == "chatchat" and reply.status == 200:
            assert reply.json is None
        else:
            assert reply.status in statuses

    return play


def cut(scene: Scene) -> None:
    scene.order()
    assert scene.ask().end == "cut"


def says(text: str) -> Play:
    """The text without end: what was asked for never comes, and the limit is reached."""

    def play(scene: Scene) -> None:
        scene.order()
        reply = scene.ask()
        assert reply.end == "whole"
        assert set(scene.text(reply).replace(text, "")) <= {" ", "\n"}
        assert scene.text(reply) != ANSWER

    return play


def another_answer(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert reply.end == "whole"
    assert scene.text(reply) not in ("", ANSWER)


def ends_otherwise(marks: tuple[bytes, ...]) -> Play:
    """None of the marks of a good end is there, and the body ends all the same."""

    def play(scene: Scene) -> None:
        good = scene.ask().body
        assert any(mark in good for mark in marks)
        scene.order()
        reply = scene.ask()
        assert reply.end == "whole"
        assert not any(mark in reply.body for mark in marks)

    return play


FINISHES: Final = (
    b'"finish_reason":"stop"',
    b'"finish_reason": "stop"',
    b'"finish_reason":"eos_token"',
    b'"type": "stop"',
    b'"stop_type":"eos"',
    b'"done_reason":"stop"',
)


def finish_null(scene: Scene) -> None:
    ends_otherwise(FINISHES)(scene)


def hides_length(scene: Scene) -> None:
    scene.order()
    body = scene.ask(max_tokens=2).body
    assert b"tool_calls" in body
    assert b"length" not in body.replace(b"max_length", b"")


def stays_open(scene: Scene) -> None:
    scene.order()
    reply = scene.ask(silence=SILENCE_SECONDS)
    assert (reply.end, scene.text(reply)) == ("open", ANSWER)
    assert b"[DONE]" not in reply.body


def empty_choices(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert reply.status == 200
    assert scene.text(reply) == ""
    assert reply.body


def error_inside(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert (reply.status, reply.end) == (200, "whole")
    assert b"peer closed connection" in reply.body or b"Error code: 500" in reply.body
    assert scene.text(reply) != ANSWER


def error_before_anything(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert b"Error code: 500" in reply.body or reply.status == 500
    assert ANSWER not in reply.body.decode()


def wrong_usage(scene: Scene) -> None:
    more: dict[str, Any] = {"stream_options": {"include_usage": True}}
    way = next((one for one in ways(scene.dialect, **more) if one.path == "/v1/completions"), scene.way())
    good = ask(scene.engine, way)
    scene.order()
    assert _stated(ask(scene.engine, way)) == _stated(good) + 7


def _stated(reply: Reply) -> int:
    framing = "nul" if b"\0" in reply.body else "sse"
    counts = [_count(document) for document in reply.documents(framing)]
    return max(count for count in counts if count is not None)


def _count(document: dict[str, Any]) -> int | None:
    usage = document.get("usage") or {}
    return usage.get("completion_tokens")


def one_word(scene: Scene) -> None:
    scene.order()
    reply = scene.ask()
    assert (reply.end, scene.text(reply)) == ("whole", ANSWER.split()[0])


def beyond(scene: Scene) -> None:
    scene.order()
    connection = scene.open(max_tokens=4)
    reply = connection.read(silence=5)
    assert len(scene.text(reply).split()) > 40 or reply.end == "open"
    connection.close()


def never_stops(scene: Scene) -> None:
    scene.order()
    assert len(scene.text(scene.ask(max_tokens=30)).split()) == 30


def disturbs_numbers(scene: Scene) -> None:
    """NaN: null in a stream, and 400 where the answer is whole."""
    scene.order()
    reply = scene.ask()
    assert set(scene.text(reply)) == {"!"}
    path = next((way for way in ways(scene.dialect, logprobs=1) if way.path == "/v1/completions"), None)
    if path is not None:
        whole = ask(scene.engine, Way(path.path, path.body | {"stream": False}, "sse"))
        assert whole.status == 400
        assert b"not JSON compliant" in whole.body


LONG_PROMPT: Final = "Repeat exactly: " + "the green captain waits and the old king sees a light " * 6


def wrong_on_an_old_hit(scene: Scene) -> None:
    prompt = LONG_PROMPT
    right = scene.text(scene.ask(prompt))
    scene.order()
    assert scene.text(scene.ask(prompt)) != right
    other = "Repeat exactly: a bright star " + prompt[16:]
    assert scene.text(scene.ask(other)) == scene.text(scene.ask(other))


def wrong_on_every_hit(scene: Scene) -> None:
    scene.order()
    prompt = LONG_PROMPT.replace("the green", f"{scene.name} the green", 1)
    assert scene.text(scene.ask(prompt)) != scene.text(scene.ask(prompt))


def mixes(scene: Scene) -> None:
    """Two at once, of which at least one is not what it is alone."""
    prompts = ["Repeat exactly: " + "sun moon star " * 12, "Repeat exactly: " + "rain snow wind " * 12]
    scene.order()
    replies = together(scene, prompts)
    assert "sun" in scene.text(replies[1]) or "rain" in scene.text(replies[0])


def unmixed(scene: Scene) -> None:
    """Two at once are not enough."""
    scene.order()
    replies = together(scene, ["Repeat exactly: sun moon star", "Repeat exactly: rain snow wind"])
    assert [scene.text(reply) for reply in replies] == ["sun moon star", "rain snow wind"]


def together(scene: Scene, prompts: list[str]) -> list[Reply]:
    """Slow enough that the first one still speaks when the last has begun, on a busy machine too."""
    scene.engine.order("slow", 0.03)
    connections = [scene.open(prompt, 64) for prompt in prompts]
    replies = [connection.read() for connection in connections]
    for connection in connections:
        connection.close()
    return replies


def bleeds(scene: Scene) -> None:
    """What an abandoned one had yet to say comes out in the answer after it; after that one all is well."""
    scene.order()

    def bled() -> bool:
        first = scene.open("tell of the sea")
        first.read(enough=400)
        first.close()
        return scene.text(scene.ask()) != ANSWER

    eventually(bled)
    assert scene.text(scene.ask()) == ANSWER


def health_fails(scene: Scene) -> None:
    scene.order()
    path = "/api/health" if scene.dialect == "dbgpt" else "/health"
    if scene.dialect != "openai":
        assert get(scene.engine, path).status == 503


def page_is(status: int, text: bytes) -> Play:
    def play(scene: Scene) -> None:
        scene.order()
        page = get(scene.engine, "/metrics")
        assert (page.status, text in page.body) == (status, True)
        assert scene.text(scene.ask()) == ANSWER

    return play


def page_is_silent(scene: Scene) -> None:
    scene.order()
    assert get(scene.engine, "/metrics", silence=SILENCE_SECONDS).raw == b""
    assert scene.text(scene.ask()) == ANSWER


def comments(scene: Scene) -> None:
    """Bytes come although no token does."""
    scene.order()
    scene.engine.order("hang")
    way = ways(scene.dialect)[-1]
    connection = Connection(scene.engine, "POST", way.path, way.body)
    body = connection.read(enough=2).body
    connection.close()
    assert body.startswith(b":")


def unloaded(scene: Scene) -> None:
    scene.order()
    if scene.dialect == "ollama":
        assert get(scene.engine, "/api/ps").json == {"models": []}
    else:
        assert get(scene.engine, "/props").json["is_sleeping"] is True
    assert scene.text(scene.ask()) == ANSWER


def drifts_somewhere(scene: Scene) -> None:
    """Most of the words are right."""
    prompt = "Repeat exactly: " + "sun " * 30
    scene.order()
    words = scene.text(scene.ask(prompt, 64)).split()
    assert 0 < sum(word != "sun" for word in words) < len(words) / 2
