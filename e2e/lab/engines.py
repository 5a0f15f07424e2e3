"""The engines that demo and tests can run: manifests, the process that makes the tokens, the way to ask for health."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.source import Cluster
from e2e.images.vllm import vllm_environment
from e2e.images.vllm.serving import vllm_volume_manifests
from e2e.lab.access import Access, apply, get, run
from e2e.lab.manifests import vllm_worker

Say = Callable[[str], None]

SAMPLES = Path(__file__).parent.parent.parent / "manifests" / "samples"

ASK_HEALTH = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/health', timeout=2).status)"


def demo_sample(_namespace: str) -> list[dict[str, Any]]:
    """The sample that users start with."""
    return [document for document in yaml.safe_load_all((SAMPLES / "demo.yaml").read_text()) if document]


def real_vllm(namespace: str) -> list[dict[str, Any]]:
    """A namespace and a worker of the real vLLM."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    return [space, vllm_worker("real", namespace)]


def nothing_to_prepare(_access: Cluster, _namespace: str, _say: Say) -> None:
    """The image holds all that the engine needs."""


def provide_vllm(access: Cluster, namespace: str, say: Say) -> None:
    """vLLM's files are too big for an image import; a local volume brings them to the pods."""
    say("real vLLM: environment and model (minutes when nothing is cached)")
    path = vllm_environment()
    node = get(access, "nodes")["items"][0]["metadata"]["name"]
    space = real_vllm(namespace)[0]
    apply(access, space, *vllm_volume_manifests(path, node, namespace))


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One kind of engine on the test cluster."""

    manifests: Callable[[str], list[dict[str, Any]]]
    """By namespace: what is applied, the worker last."""
    core_process: str
    """Shell pattern that the command line of the token-making process contains."""
    model: str = "tiny"
    port: int = 8000
    images: tuple[str, ...] = ()
    client_image: str = "llmworker.dev/fault-engine:dev"
    start_seconds: float = 120
    prepare: Callable[[Cluster, str, Say], None] = nothing_to_prepare
    from_this_disk: str | None = None
    """What of it is too large for an image, as a sentence begins that refuses a cluster elsewhere."""

    def health(self, access: Access, namespace: str, pod: str) -> str:
        """The status code of the engine's own health endpoint."""
        script = ASK_HEALTH.format(port=self.port)
        return run(access, "-n", namespace, "exec", pod, "-c", "engine", "--", "python3", "-c", script).strip()


ENGINES = {
    "fault-engine": Engine(manifests=demo_sample, core_process="EngineCore"),
    "vllm": Engine(
        manifests=real_vllm,
        core_process="EngineCore",
        images=("vllm",),
        start_seconds=420,
        prepare=provide_vllm,
        from_this_disk="The real vLLM is mounted from this machine's disk",
    ),
}
