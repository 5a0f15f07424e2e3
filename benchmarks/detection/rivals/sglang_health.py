"""SGLang's own rule: `/health_generate` makes a token and answers 503 where none came within 20 s
(SGLANG_HEALTH_CHECK_TIMEOUT; sglang 0.5.23 entrypoints/http_server.py). The kubelet asks with its default period and
threshold, and waits longer than the engine does, so that the engine's own verdict counts.

`MANIFEST` is SGLang's example as it stands: sgl-project/sglang docker/k8s-sglang-service.yaml (0b082f52), whose
time-out is the kubelet's 1 s. `/health` answers in 1.00 s at best (aws-solutions#387).
"""

from __future__ import annotations

from typing import Final

from benchmarks.detection.rivals.kubelet import Probe, Probes

ENGINE_SECONDS: Final = 20.0
PATH: Final = "/health_generate"
PROBES: Final = Probes(
    startup=Probe(path=PATH, timeout=ENGINE_SECONDS + 5, failures=60),
    liveness=Probe(path=PATH, timeout=ENGINE_SECONDS + 5),
    readiness=Probe(path=PATH, timeout=ENGINE_SECONDS + 5),
)
MANIFEST: Final = Probes(liveness=Probe(path="/health", initial_delay=30, period=10))
