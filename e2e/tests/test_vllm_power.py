"""The real vLLM sleeps and wakes by order, with users at the Service, and with weights that the sleep has spoilt.

On a CPU its states and their order are real, the memory is not: noise in the weights stands for what a wake loses.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.images.contents import load_contents
from e2e.lab.access import apply
from e2e.lab.engines import ENGINES
from e2e.lab.manifests import vllm_pod
from e2e.lab.power import call, wait_asleep, wish
from e2e.lab.timeline import restarts
from e2e.lab.traffic import Load, Traffic, differing

if TYPE_CHECKING:
    from e2e.lab.access import Access
    from e2e.tests.conftest import VllmFactory

pytestmark = [pytest.mark.cluster, pytest.mark.vllm, pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(1500)]

NAMESPACE = "models"
ENGINE = ENGINES["vllm"]
INSIDE = Path(__file__).parents[1] / "systems" / "inside" / "vllm_extension.py"
MOUNT = "/faults"
USERS = Load(parallel=1, every=0.3, seconds=1200, prompt_words=24, max_tokens=12, timeout=20, prompts=3)
ANSWERS = 12
RECOVERY_SECONDS = 420


def faulty_pod(access: Access) -> dict[str, Any]:
    """vLLM whose workers can be told to spoil their weights."""
    data = {INSIDE.name: INSIDE.read_text()}
    metadata = {"name": "vllm-faults", "namespace": NAMESPACE}
    apply(access, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    path = dict(load_contents()["vllm"].environment)["PYTHONPATH"]
    pod = vllm_pod({"VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": f"{path}:{MOUNT}"})
    (engine,) = pod["containers"]
    engine["args"] = [*engine["args"], "--worker-extension-cls=vllm_extension.Faults"]
    engine["volumeMounts"] = [*engine["volumeMounts"], {"name": "faults", "mountPath": MOUNT}]
    pod["volumes"] = [*pod["volumes"], {"name": "faults", "configMap": {"name": metadata["name"]}}]
    return pod


@pytest.mark.parametrize(("level", "spoilt"), [(1, False), (2, False), (1, True)])
def test_no_user_of_the_real_vllm_reads_what_a_wake_has_broken(
    level: int,
    spoilt: bool,  # noqa: FBT001
    vllm_ready: Access,
    make_vllm: VllmFactory,
) -> None:
    worker = make_vllm(f"power-{level}{'-spoilt' if spoilt else ''}", faulty_pod(vllm_ready))
    worker.wait_in_rotation(1, timeout=ENGINE.start_seconds)
    pod = worker.only_pod()
    users = Traffic.start(worker, "users", ENGINE, USERS)
    users.wait_answers(ANSWERS)
    slept = time.time()
    wish(worker, "Asleep", level)
    wait_asleep(worker)
    if spoilt:
        call(worker, pod, "/collective_rpc", {"method": "fault_noise", "kwargs": {"scale": 0.05}})
    woken = time.time()
    wish(worker, "Awake", level)
    if spoilt:
        worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1, timeout=RECOVERY_SECONDS)
    print(f"level {level}: in rotation {time.time() - woken:.1f} s after the wish")
    users.wait_answers(ANSWERS, since=woken)
    reports = users.reports()
    users.stop()
    assert differing(reports, slept) == []
    incidents = [(i["spec"]["fault"], i["status"]["outcome"]) for i in worker.incidents()]
    assert incidents == ([("DegradedOutput", "Recovered")] if spoilt else [])
    assert restarts(worker.pod(pod)) == int(spoilt)
