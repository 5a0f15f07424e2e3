"""KubeAI: kubeai-project/kubeai internal/modelcontroller/engine_vllm.go (9175ea43)."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.rivals.kubelet import Probe, Probes

HEALTH: Final = "/health"
PROBES: Final = Probes(
    startup=Probe(path=HEALTH, period=2, timeout=2, failures=5400),
    liveness=Probe(path=HEALTH, period=30, timeout=3, failures=3),
    readiness=Probe(path=HEALTH, period=10, timeout=2, failures=3),
)
