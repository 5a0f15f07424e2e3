"""A policy that refuses nothing: `kubectl apply` prints what cannot be seen with the engine of a worker.

The gravest limits only, in the words of the condition `Limited`, which has them all.
`python -m llmworker_operator.builders.apply_warnings` prints manifests/base/warnings.yaml.
"""

from __future__ import annotations

from typing import Any, Final

from llm_watchdog.api import limits, names
from llm_watchdog.api.policy import METERED_BY_DEFAULT, EngineTarget, EngineTask, ProbeCost
from llm_watchdog.api.thresholds import Switch
from llmworker_operator.builders.admission import API_VERSION, BINDING_KIND, POLICY_KIND

Document = dict[str, Any]

NAME: Final = "llmworker-limits"

_ENGINE: Final = "object.spec.engine"
_TASK: Final = f"{_ENGINE}.?task.orValue('{EngineTask.GENERATE}')"
_ASKED: Final = f"{_TASK} == '{EngineTask.GENERATE}'"
_CROSS_TALK: Final = f"object.spec.?watchdog.?checks.?crossTalk.orValue('{Switch.AUTO}')"


def warnings() -> list[Document]:
    """The policy and its binding."""
    spec = {
        "failurePolicy": "Ignore",  # a warning that cannot be made holds nobody up
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [names.GROUP],
                    "apiVersions": [names.VERSION],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [names.WORKER_PLURAL],
                    # The default, written out: without it every `kubectl apply` would change the object.
                    "scope": "*",
                }
            ]
        },
        "validations": [*_tasks(), *_needed_fields(), *_metered(), *_cross_talk()],
    }
    binding = {"policyName": NAME, "validationActions": ["Warn"]}
    return [_object(POLICY_KIND, spec), _object(BINDING_KIND, binding)]


def _tasks() -> list[Document]:
    silent = [task for task in EngineTask if task is not EngineTask.GENERATE]
    return [_warn(f"{_TASK} == '{task}'", limits.no_canary(task)) for task in silent]


def _needed_fields() -> list[Document]:
    return [
        _warn(f"{_ENGINE}.type == '{engine}' && !has({_ENGINE}.{field})", sentence)
        for engine, (field, sentence) in limits.NEEDED.items()
    ]


def _metered() -> list[Document]:
    """Who writes `Metered` knows; these are metered unless the user says otherwise."""
    return [
        _warn(
            f"{_ENGINE}.type == '{engine}' && !has({_ENGINE}.probeCost) && {_ASKED}",
            limits.on_suspicion(EngineTarget(type=engine)),
        )
        for engine in sorted(METERED_BY_DEFAULT)
    ]


def _cross_talk() -> list[Document]:
    robs = ", ".join(f"'{engine}'" for engine in sorted(limits.CROSS_TALK_CHECK_ROBS))
    free = f"{_ENGINE}.?probeCost.orValue('') == '{ProbeCost.FREE}'"
    checked = f"{_ENGINE}.type in [{robs}] && {free} && {_ASKED} && {_CROSS_TALK}"
    return [
        _warn(f"{checked} == '{Switch.AUTO}'", limits.CROSS_TALK_UNCHECKED),
        _warn(f"{checked} == '{Switch.ON}'", limits.CROSS_TALK_CHECK_DISTURBS),
    ]


def _warn(when: str, sentence: str) -> Document:
    return {"expression": f"!({when})", "message": sentence}


def _object(kind: str, spec: Document) -> Document:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": NAME}, "spec": spec}


if __name__ == "__main__":
    import sys

    import yaml

    sys.stdout.write("# Made by `python -m llmworker_operator.builders.apply_warnings`; a test compares the two.\n")
    yaml.safe_dump_all(warnings(), sys.stdout, sort_keys=False, width=120)
