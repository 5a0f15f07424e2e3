"""The commands that end by themselves, and what is loaded for which."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api import reasons, sentences
from llm_watchdog.api.reasons import FaultClass, FindingReason
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.engines.registry import DIALECTS
from tests.sidecar.cli.host import ENVIRONMENT, command, free_port, until

if TYPE_CHECKING:
    from tests.sidecar.cli.host import Host

COMMANDS = ["run", "check", "engines", "faults", "release", "sidecar"]


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help(arguments: list[str]) -> None:
    shown = command(*arguments, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: llm-watchdog")


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(ran.stdout.split())


def test_the_command_line_loads_nothing_that_takes_time() -> None:
    modules = loaded("import llm_watchdog.__main__ as program; program.parser()")
    assert not modules & {"asyncio", "httpx", "yaml", "dacite", "logging", "uvicorn", "llm_watchdog.loop"}


def test_the_sidecar_stays_small() -> None:
    modules = loaded("import llm_watchdog.cli.sidecar")
    unwanted = {
        "yaml",
        *(f"llm_watchdog.{name}" for name in ("api.sentences", "engines.recognition", "recorder.lines")),
    }
    assert not modules & unwanted
    assert {name for name in modules if name.startswith("llm_watchdog.cli.")} == {
        "llm_watchdog.cli.sidecar",
        "llm_watchdog.cli.compose",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["stroll"],
        ["run"],
        ["run", "--journal", "x", "--mode", "Maybe"],
        ["run", "--journal", "x", "--engine", "abacus"],
        ["run", "--journal", "x", "--restart-timeout", "soon"],
        ["run", "--journal", "x", "--listen", "here"],
        ["run", "--journal", "x", "--port", "0"],
        ["run", "--journal", "x", "--concurrency", "-4"],
        ["check", "--concurrency", "0"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(arguments: list[str]) -> None:
    ended = command(*arguments)
    assert ended.returncode == 2
    assert "usage: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_engine_is_refused_with_those_that_are_known() -> None:
    told = command("run", "--journal", "x", "--engine", "abacus").stderr
    assert "'abacus' is none of " in told
    assert all(engine in told for engine in DIALECTS)


def test_all_dialects_are_listed_with_what_they_can() -> None:
    listed = command("engines")
    assert listed.returncode == 0
    for engine, dialect in DIALECTS.items():
        assert f"\n{engine}\n" in f"\n{listed.stdout}"
        assert dialect.capabilities.canary in listed.stdout


def test_all_faults_are_listed_with_their_reasons() -> None:
    listed = command("faults").stdout
    assert [line.split(":")[0] for line in listed.splitlines() if not line.startswith(" ")] == list(FaultClass)
    assert {line.split()[0] for line in listed.splitlines() if line.startswith(" ")} == set(FindingReason)


def docstrings(name: str) -> dict[str, str]:
    """What stands below each member in the source."""
    module = ast.parse(Path(reasons.__file__).read_text())
    body = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name).body
    found = {}
    for member, below in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(member.targets[0])] = " ".join(str(below.value.value).split())
    return found


def test_the_sentences_are_those_of_the_source() -> None:
    assert {fault.name: text for fault, text in sentences.FAULTS.items()} == docstrings("FaultClass")
    assert {reason.name: text for reason, text in sentences.REASONS.items()} == docstrings("FindingReason")
    assert set(sentences.FAULTS) == set(FaultClass)
    assert set(sentences.REASONS) == set(FindingReason)


def test_check_of_a_healthy_server(serving: Host) -> None:
    until("the server", serving.engine_answers)
    checked = command("check", f"http://localhost:{serving.port}/v1")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = [line.split()[0] for line in checked.stdout.splitlines()]
    assert names[:6] == ["engine", "model", "health", "metrics", "load", "state"]
    assert names[-1] == "healthy"
    assert "vllm, recognised" in checked.stdout
    assert set(CheckKind) <= set(names)


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(name))


def test_check_drops_streams_on_request_only(serving: Host) -> None:
    until("the server", serving.engine_answers)
    asked = ("check", f"http://127.0.0.1:{serving.port}", "--concurrency", "4")
    assert "out of rotation only" in row(command(*asked).stdout, CheckKind.SLOTS)
    dropped = command(*asked, "--drop-streams")
    assert "nothing found" in row(dropped.stdout, CheckKind.SLOTS), dropped.stdout
    assert "nothing found" in row(dropped.stdout, CheckKind.STALE), dropped.stdout


def test_check_of_a_server_that_hangs(serving: Host) -> None:
    until("the server", serving.engine_answers)
    serving.hang()
    checked = command("check", f"http://127.0.0.1:{serving.port}")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[-1].startswith("faulty")


def test_check_of_what_cannot_be_told(serving: Host) -> None:
    until("the server", serving.engine_answers)
    wrong = command("check", f"http://127.0.0.1:{serving.port}", "--model", "huge")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "lists tiny" in wrong.stderr
    for url in (f"http://127.0.0.1:{free_port()}", "https://127.0.0.1:1", "http://127.0.0.1:70000", "http://a/b"):
        assert command("check", url).returncode == 2
