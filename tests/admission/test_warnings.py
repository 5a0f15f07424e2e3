"""`kubectl apply` prints the gravest limits of an engine, and refuses nothing for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.cluster.progress import wait_until
from llm_watchdog.api import limits, names
from llm_watchdog.api.document import decode
from llm_watchdog.api.policy import EngineTarget, EngineTask, EngineType, WatchdogPolicy
from llmworker_operator.builders import admission, apply_warnings
from tests.admission.conftest import BASE, NAMESPACE

if TYPE_CHECKING:
    import subprocess

    from tests.admission.conftest import Guarded

MANIFEST = BASE / "warnings.yaml"
LAZYLLM = {"type": "lazyllm", "path": "/generate", "textField": "query"}
FREE = {**LAZYLLM, "probeCost": "Free"}
EMBED, NONE = limits.no_canary(EngineTask.EMBED), limits.no_canary(EngineTask.NONE)


def metered(engine: EngineType) -> str:
    return limits.on_suspicion(EngineTarget(type=engine))


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "fastchat": ({"type": "fastchat"}, {}, [limits.LIMIT_UNTOLD]),
    "fastchat with a limit": ({"type": "fastchat", "concurrency": 5}, {}, []),
    "dbgpt": ({"type": "dbgpt"}, {}, [limits.MODEL_UNNAMED, metered(EngineType.DBGPT)]),
    "dbgpt with a model": ({"type": "dbgpt", "model": "qwen"}, {}, [metered(EngineType.DBGPT)]),
    "dbgpt with a model of its own": ({"type": "dbgpt", "model": "qwen", "probeCost": "Free"}, {}, []),
    "chatchat": ({"type": "chatchat"}, {}, [metered(EngineType.CHATCHAT)]),
    "chatchat, said to be metered": ({"type": "chatchat", "probeCost": "Metered"}, {}, []),
    "embeddings": ({"type": "vllm", "task": "Embed"}, {}, [EMBED]),
    "no task": ({"type": "openai", "task": "None"}, {}, [NONE]),
    "lazyllm": (LAZYLLM, {}, [metered(EngineType.LAZYLLM)]),
    "lazyllm without canary": ({**LAZYLLM, "task": "None"}, {}, [NONE]),
    "lazyllm, free": (FREE, {}, [limits.CROSS_TALK_UNCHECKED]),
    "lazyllm, free and checked": (FREE, {"checks": {"crossTalk": "Enabled"}}, [limits.CROSS_TALK_CHECK_DISTURBS]),
    "lazyllm, free and not checked": (FREE, {"checks": {"crossTalk": "Disabled"}}, []),
    "lazyllm, free without canary": ({**FREE, "task": "None"}, {}, [NONE]),
    "vllm": ({"type": "vllm"}, {}, []),
    "vllm, checked": ({"type": "vllm"}, {"checks": {"crossTalk": "Enabled"}}, []),
    "openai, which lacks much": ({"type": "openai"}, {}, []),
}


def manifest(engine: dict[str, Any], watchdog: dict[str, Any]) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "engine", "image": "engine:1"}]}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "metadata": {"name": "warned"},
        "spec": {"engine": engine, "watchdog": watchdog, "template": template},
    }


def create(guarded: Guarded, document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = ("-n", NAMESPACE, "create", "--dry-run=server", "-f", "-")
    return guarded.api.kubectl(*command, input=json.dumps(document))


def test_manifest_is_what_the_builder_makes() -> None:
    """Else: `python -m llmworker_operator.builders.apply_warnings > manifests/base/warnings.yaml`."""
    assert list(yaml.safe_load_all(MANIFEST.read_text())) == apply_warnings.warnings()
    assert MANIFEST.name in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]


def test_it_refuses_nothing_and_is_none_of_the_policies_that_do() -> None:
    policy, binding = apply_warnings.warnings()
    assert policy["spec"]["failurePolicy"] == "Ignore"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Warn"]}
    assert policy["metadata"]["name"] not in {each["metadata"]["name"] for each in admission.policies()}


def test_every_warning_has_a_case() -> None:
    validations = apply_warnings.warnings()[0]["spec"]["validations"]
    assert {each["message"] for each in validations} == {
        sentence for _, _, sentences in CASES.values() for sentence in sentences
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_is_a_limit_of_that_worker(case: str) -> None:
    engine, watchdog, sentences = CASES[case]
    target, policy = decode(EngineTarget, engine), decode(WatchdogPolicy, watchdog)
    assert set(sentences) <= {limit.message for limit in limits.limits(target, policy)}


@pytest.fixture(scope="session")
def warning(guarded: Guarded) -> Guarded:
    """The same namespace, with the policy that warns, once it does."""
    guarded.api.kubectl("apply", "-f", str(MANIFEST), check=True)
    engine, watchdog, sentences = CASES["no task"]
    document = manifest(engine, watchdog)
    wait_until("the warnings", lambda: sentences[0] in create(guarded, document).stderr, seconds=30)
    return guarded


@pytest.mark.apiserver
@pytest.mark.parametrize("case", CASES)
def test_kubectl_prints_it(warning: Guarded, case: str) -> None:
    engine, watchdog, sentences = CASES[case]
    made = create(warning, manifest(engine, watchdog))
    assert made.returncode == 0, made.stderr
    warnings = [line for line in made.stderr.splitlines() if line.startswith("Warning:")]
    assert len(warnings) == len(sentences), made.stderr
    assert all(any(line.endswith(sentence) for line in warnings) for sentence in sentences)
