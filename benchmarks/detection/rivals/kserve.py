"""KServe's LLMInferenceService: kserve/kserve config/llmisvcconfig/config-llm-template.yaml (01a639ac) for vLLM, and
config-sglang-template.yaml (26da5794) for SGLang, where readiness has 60 failures. Used as for vLLM where it has none.
"""

from __future__ import annotations

from typing import Final

from benchmarks.detection.rivals.kubelet import Probe, Probes

HEALTH: Final = "/health"
VLLM: Final = Probes(
    startup=Probe(path=HEALTH, initial_delay=10, period=10, timeout=10, failures=60),
    liveness=Probe(path=HEALTH, period=10, timeout=10, failures=3),
    readiness=Probe(path=HEALTH, period=5, timeout=5, failures=3),
)
SGLANG: Final = Probes(
    startup=Probe(path=HEALTH, period=10, timeout=10, failures=60),
    liveness=Probe(path=HEALTH, period=10, timeout=10, failures=3),
    readiness=Probe(path=HEALTH, period=10, timeout=5, failures=60),
)


def probes(dialect: str) -> Probes:
    return SGLANG if dialect == "sglang" else VLLM
