"""vLLM production-stack: vllm-project/production-stack helm/values.yaml (00c38d1a). It sets no time-out: 1 s."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.rivals.kubelet import Probe, Probes

HEALTH: Final = "/health"
PROBES: Final = Probes(
    startup=Probe(path=HEALTH, initial_delay=15, period=10, failures=60),
    liveness=Probe(path=HEALTH, initial_delay=15, period=10, failures=3),
    readiness=Probe(path=HEALTH, initial_delay=15, period=5, failures=3),
)
