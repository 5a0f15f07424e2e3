"""Recordings of the real systems' answers, good and bad: `python -m e2e.systems record [NAME...] [--into FOLDER]`.

The dialects' tests read them from `tests/recordings`. What needs a real model, or ten minutes, is not made anew here.
The words are other ones each time, and some tests name words: record into another folder first, and compare.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import TYPE_CHECKING, Final

from e2e.systems import chatchat, dbgpt, fastchat, lazyllm
from e2e.systems.lazyllm import Mode, nonce_words
from e2e.systems.talking import Opened, ask
from e2e.systems.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2e.systems.talking import Reply

    Recorded = Iterator[tuple[str, bytes]]

RECORDINGS: Final = Path(__file__).parents[2] / "tests" / "recordings"
TEXT: Final = "one two three"
STREAMS_APART: Final = b"\n=======\n"


def record(name: str, into: Path) -> Iterator[Path]:
    """Run the system, cause what there is to see, and write each answer down."""
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work:
        for what, answer in SYSTEMS[name](Path(work)):
            file = folder / f"{what}.raw"
            file.write_bytes(answer)
            yield file


def raw(reply: Reply) -> bytes:
    """Status line, headers and body, without the framing of chunks."""
    lines = [f"{reply.version} {reply.status} {_PHRASES.get(reply.status or 0, '')}".rstrip()]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    return "\r\n".join([*lines, "", ""]).encode() + reply.body


_PHRASES: Final[Mapping[int, str]] = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}


def _fastchat(work: Path) -> Recorded:
    with fastchat.running(_made(work / "pinned")) as system:
        status = f"{system.worker}/worker_get_status"
        yield "words_stream", raw(system.generate(TEXT))
        yield "worker_get_status", raw(ask(status))
        yield "openai_stream", raw(system.chat(TEXT))
        yield "openai_plain", raw(system.chat(TEXT, stream=False))
        yield "openai_empty_prompt", raw(system.chat(""))
        with system.opened_chat("word " * 200, max_tokens=200) as stream:
            stream.send()
            stream.read_until(lambda body: body.count(b"word") > 2)
            system.worker_program.kill()
            yield "openai_killed_midstream", raw(stream.read_whole())
        system.restart_worker()
        system.wait_worker()
        yield "generator_raised", raw(system.generate("one fault:raise two"))
        system.leak()
        yield "leaked_status", raw(ask(status))
        yield "openai_leaked_stream", raw(system.chat(TEXT, seconds=20))
    with fastchat.running(_made(work / "unpinned"), fastchat.UNPINNED) as system:
        yield "openai_broken_pydantic2", raw(system.chat(TEXT))


def _dbgpt(work: Path) -> Recorded:
    with Upstream() as upstream, dbgpt.running(_made(work / "dbgpt"), upstream) as system:
        yield "generate_stream", raw(system.generate(TEXT))
        yield "model_metadata", raw(system.metadata())
        yield "apiserver_stream", raw(system.chat(TEXT))
        yield "upstream_cut", raw(system.generate("one fault:cut two"))
        yield "upstream_500", raw(system.generate("one fault:error two"))
        yield "upstream_ended_early", raw(system.generate("one fault:no-end two"))
        yield "apiserver_cut", raw(system.chat("one fault:cut two"))
        yield "stall", raw(system.generate("one fault:stall", seconds=3))
        with _stalled(lambda: system.opened("one fault:stall"), dbgpt.LIMIT):
            yield "probe_while_stalled", raw(system.generate(TEXT, seconds=3))


def _lazyllm(work: Path) -> Recorded:
    for mode in Mode:
        with Upstream() as upstream, lazyllm.running(_made(work / mode.value), upstream, mode) as system:
            for streams in (1, 2, 4):
                upstream.in_step = Barrier(streams)
                with ThreadPoolExecutor(streams) as pool:
                    said = [" ".join(nonce_words()) for _ in range(streams)]
                    replies = list(pool.map(system.chat, said))
                upstream.in_step = Barrier(1)
                yield f"{mode.value}_n{streams}", STREAMS_APART.join(reply.body for reply in replies)


def _chatchat(work: Path) -> Recorded:
    with Upstream() as upstream, chatchat.running(_made(work / "chatchat"), upstream) as system:
        yield "good_stream", raw(system.chat(TEXT))
        yield "good_plain", raw(system.chat(TEXT, stream=False))
        yield "upstream_cut", raw(system.chat("one fault:cut", seconds=20))
        yield "upstream_500_plain", raw(system.chat("one fault:error", stream=False, seconds=20))
        yield "upstream_500_stream", raw(system.chat("one fault:error-page", seconds=20))
        yield "upstream_ended_early", raw(system.chat("one fault:no-end"))
        yield "stall", raw(system.chat("one fault:stall", seconds=3))
        system.saturate()
        yield "saturated", raw(system.chat(TEXT))
        upstream.release()


SYSTEMS: Final[Mapping[str, Callable[[Path], Recorded]]] = {
    "fastchat": _fastchat,
    "dbgpt": _dbgpt,
    "lazyllm": _lazyllm,
    "chatchat": _chatchat,
}


@contextmanager
def _stalled(opened: Callable[[], Opened], count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stream = stack.enter_context(opened())
            stream.send()
            stream.read_until(lambda body: b"\0" in body)
        yield


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
