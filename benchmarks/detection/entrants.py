"""Everybody who takes part, and where each can be used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.detection.ours import Ours
from benchmarks.detection.rivals import kserve, kubeai, production_stack, sglang_health
from benchmarks.detection.rivals.dynamo import Dynamo
from benchmarks.detection.rivals.hang_watcher import HangWatcher
from benchmarks.detection.rivals.kubelet import Kubelet, Probes
from benchmarks.detection.rule import Entrant
from e2e.fault_engine.faults.entry import DIALECTS

if TYPE_CHECKING:
    from benchmarks.detection.rule import Replica

HAS_HEALTH: Final = frozenset({"vllm", "llamacpp", "tgi"})
"""They answer `GET /health` at once; the rules written for vLLM are used for the others as well."""
COUNTED: Final = frozenset({"vllm", "sglang"})
"""Whose metrics hang-watcher reads, and which Dynamo runs."""
OURS: Final = "ours"


class KServe:
    """A `Rule`: its probes are not the same for each engine."""

    async def watch(self, replica: Replica) -> None:
        await Kubelet(kserve.probes(replica.dialect)).watch(replica)


def _kubelet(probes: Probes) -> partial[Kubelet]:
    return partial(Kubelet, probes)


ENTRANTS: Final = (
    Entrant(name=OURS, make=Ours, dialects=frozenset(DIALECTS)),
    Entrant(name="kserve", make=KServe, dialects=HAS_HEALTH | {"sglang"}),
    Entrant(name="kubeai", make=_kubelet(kubeai.PROBES), dialects=HAS_HEALTH),
    Entrant(name="production-stack", make=_kubelet(production_stack.PROBES), dialects=HAS_HEALTH),
    Entrant(name="sglang-health-generate", make=_kubelet(sglang_health.PROBES), dialects=frozenset({"sglang"})),
    Entrant(name="sglang-manifest", make=_kubelet(sglang_health.MANIFEST), dialects=frozenset({"sglang"})),
    Entrant(name="dynamo-canary", make=Dynamo, dialects=COUNTED),
    Entrant(name="hang-watcher", make=HangWatcher, dialects=COUNTED),
)
