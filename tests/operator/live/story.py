"""Something to do of every kind for the operator, and what it comes to.

Three workers. `qwen` has incidents: a grant, a withdrawal, a loss, a removal. `llama` has a watchdog to be exchanged
and a template too many. `gemma` has a pod to be replaced, and one in quarantine that is kept aside until it is
released. Once all that is done, an admission policy is taken away, and the watchdogs lose their rights.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import make_incident, make_pod, set_watchdog, stamp
from tests.operator.live.policies import missing_policy
from tests.operator.live.worker import worker_manifest

if TYPE_CHECKING:
    from pathlib import Path

PLURALS = (
    "deployments",
    "services",
    "configmaps",
    "poddisruptionbudgets",
    "serviceaccounts",
    "rolebindings",
    "controllerrevisions",
)
BUILT_IN = {"default", "kube-root-ca.crt"}
VOLATILE = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "clusterIP", "clusterIPs"}
TIMES = {"lastTransitionTime", "grantedAt", "expiresAt", "closedAt", "startedAt", "finishedAt", "detectedAt"}
TIMES |= {"timeToRecoverSeconds", "llmworker.dev/revision-since"}
DIGESTS = {"llmworker.dev/applied"}
DROPPED = frozenset(VOLATILE | TIMES | DIGESTS)
SECONDS = re.compile(r"\b\d+ s\b")

OLD, NEW = "watchdog:0", "watchdog:1"
KEPT_REVISIONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """What an operator that is left alone makes of it, and what it writes on the way."""

    at_work: dict[str, Any]
    withdrawn: dict[str, Any]
    writes: frozenset[str]


def begin(api: Api, namespace: str) -> None:
    """All that is to be done but for the rights."""
    api.create("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})
    api.create("llmworkers", worker_manifest(namespace, replicas=3))
    _incidents(api, namespace)
    llama = api.create("llmworkers", worker_manifest(namespace, "llama", replicas=1))
    make_pod(api, namespace, "llama-a", _template("llama", OLD), "new-node")
    _given_up(api, namespace)
    _old_revisions(api, namespace, llama)


def withdraw(api: Api, namespace: str) -> None:
    """Of the whole cluster."""
    assert api.get("rolebindings", namespace, "llm-watchdog")
    missing_policy(api)


def _template(worker: str, image: str) -> dict[str, Any]:
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]
    watchdog = {"name": "llm-watchdog", "image": image, "restartPolicy": "Always", "restartPolicyRules": rules}
    return {
        "metadata": {"labels": {"llmworker.dev/worker": worker}},
        "spec": {
            "initContainers": [watchdog],
            "containers": [{"name": "engine", "image": "engine:1"}],
            "automountServiceAccountToken": False,
        },
    }


def _incidents(api: Api, namespace: str) -> None:
    pods = {"qwen-a": "new-node", "qwen-b": "new-node", "qwen-c": "a-node-that-is-gone"}
    uids = {pod: make_pod(api, namespace, pod, _template("qwen", NEW), node) for pod, node in pods.items()}
    expired = {"step": "Restart", "grantedAt": stamp(60), "expiresAt": stamp(30)}
    asking = {"phase": "AwaitingGrant", "requestedStep": "Restart", "reason": "NoFirstToken", "message": "Silent."}
    for name, pod, uid, detected, status in (
        ("first", "qwen-a", uids["qwen-a"], 90, asking),
        ("second", "qwen-b", uids["qwen-b"], 80, asking),
        ("expired", "qwen-c", uids["qwen-c"], 70, {**asking, "grant": expired}),
        ("lost", "qwen-gone", "gone", 60, {**asking, "phase": "Acting"}),
        ("old", "qwen-gone", "gone", 9e6, {"phase": "Closed", "outcome": "Recovered", "closedAt": stamp(9e6)}),
    ):
        make_incident(api, namespace, name, pod, uid, detected=detected)
        api.patch("llmincidents", namespace, name, {"status": status}, "status")


def _given_up(api: Api, namespace: str) -> None:
    """With their annotations: whether one is written before the pod is on its way out would be a matter of luck."""
    api.create(
        "llmworkers",
        worker_manifest(namespace, "gemma", replicas=1, watchdog={"remediation": {"quarantine": "Detach"}}),
    )
    for pod, name, rotation, status in (
        ("gemma-a", "ordered", "Faulty", _ordered()),
        ("gemma-b", "kept", "Quarantined", {"phase": "Closed", "outcome": "Quarantined", "closedAt": stamp(5)}),
    ):
        uid = make_pod(api, namespace, pod, _annotated("gemma"), "new-node")
        set_watchdog(api, namespace, pod, f"containerd://first-{pod}", ready=False, rotation=rotation)
        make_incident(api, namespace, name, pod, uid, detected=50, worker="gemma")
        told = {"reason": "NoFirstToken", "message": "Silent.", **status}
        api.patch("llmincidents", namespace, name, {"status": told}, "status")


def _ordered() -> dict[str, Any]:
    """As a watchdog leaves it that has claimed another pod."""
    grant = {"step": "ReplacePod", "grantedAt": stamp(20), "expiresAt": stamp(-10)}
    return {"phase": "Acting", "grant": grant, "steps": [{"step": "ReplacePod", "startedAt": stamp(10)}]}


def _annotated(worker: str) -> dict[str, Any]:
    template = _template(worker, NEW)
    annotations = {"llmworker.dev/restart-method": "AllContainers"}
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}}


def _old_revisions(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    """One more than are kept."""
    owner = {key: worker[key] for key in ("apiVersion", "kind")} | {
        key: worker["metadata"][key] for key in ("name", "uid")
    }
    for number in range(1, KEPT_REVISIONS + 2):
        metadata = {
            "name": f"llama-old-{number}",
            "namespace": namespace,
            "labels": {"llmworker.dev/worker": "llama"},
            "ownerReferences": [{**owner, "controller": True}],
        }
        api.create("controllerrevisions", {"metadata": metadata, "data": {"template": {}}, "revision": number})


def play(api: Api, namespace: str) -> None:
    """What a watchdog and a kubelet do meanwhile: claim the grant, so that it does not run out; run the new image."""
    status = (api.get("llmincidents", namespace, "first") or {}).get("status") or {}
    if status.get("grant") and status["phase"] == "AwaitingGrant":
        api.patch("llmincidents", namespace, "first", {"status": {"phase": "Acting"}}, "status")
    pod = api.get("pods", namespace, "llama-a") or {}
    (container,), (seen,) = pod["spec"]["initContainers"], pod["status"]["initContainerStatuses"]
    if container["image"] == NEW and seen["containerID"] != "containerd://second-llama-a":
        set_watchdog(api, namespace, "llama-a", "containerd://second-llama-a")

    _end_what_is_given_up(api, namespace)


def _end_what_is_given_up(api: Api, namespace: str) -> None:
    """A kubelet, a ReplicaSet, and a person who releases what was kept aside."""
    replaced, kept = (api.get("pods", namespace, name) for name in ("gemma-a", "gemma-b"))
    if replaced and "deletionTimestamp" in replaced["metadata"]:
        api.delete("pods", namespace, "gemma-a")
    if not replaced and not api.get("pods", namespace, "gemma-c"):
        make_pod(api, namespace, "gemma-c", _annotated("gemma"), "new-node")
    if kept and "deletionTimestamp" in kept["metadata"]:
        api.delete("pods", namespace, "gemma-b")
    elif kept and kept["metadata"]["labels"]["llmworker.dev/worker"] == "gemma.detached":
        released = {"metadata": {"annotations": {"llmworker.dev/release": "repaired"}}}
        api.patch("pods", namespace, "gemma-b", released)


def plain(document: Any) -> Any:
    if isinstance(document, dict):
        # Owners stand in the order of their uids.
        owners = sorted(document.get("ownerReferences", ()), key=lambda owner: str(owner["name"]))
        ordered = {**document, "ownerReferences": owners} if owners else document
        return {k: plain(v) for k, v in ordered.items() if k not in DROPPED}
    if isinstance(document, list):
        return [plain(item) for item in document]
    return SECONDS.sub("some s", document) if isinstance(document, str) else document


def outcome(api: Api, namespace: str) -> dict[str, Any]:
    """All that is left behind, without times and what differs from namespace to namespace."""
    everything = {}
    for plural in (*PLURALS, "pods", "llmincidents", "llmworkers"):
        listed = [n for n in api.names(plural, namespace) if n not in BUILT_IN]
        everything[plural] = {name: plain(api.get(plural, namespace, name)) for name in listed}
    return everything


def granted(api: Api, namespace: str) -> list[str]:
    found = [api.get("llmincidents", namespace, name) or {} for name in api.names("llmincidents", namespace)]
    of_qwen = [i for i in found if i["spec"]["workerRef"]["name"] == "qwen"]
    return [i["metadata"]["name"] for i in of_qwen if (i.get("status") or {}).get("grant")]


def worked(left: dict[str, Any]) -> bool:
    """Of each kind the last thing that is to be done."""
    llama = left["pods"]["llama-a"]
    exchanged = llama["spec"]["initContainers"][0]["image"] == NEW
    marked = "llmworker.dev/watchdog-update" in llama["metadata"].get("annotations", {})
    acting = left["llmincidents"]["first"]["status"]["phase"] == "Acting"
    replaced = left["llmincidents"]["ordered"]["status"]["phase"] == "Closed" and "gemma-b" not in left["pods"]
    told = all(condition(worker, "Ready") for worker in left["llmworkers"].values())
    pruned = "llama-old-1" not in left["controllerrevisions"]
    return exchanged and not marked and acting and replaced and told and pruned


def withdrawn(left: dict[str, Any]) -> bool:
    stalled = [condition(worker, "Stalled") for worker in left["llmworkers"].values()]
    return not left["rolebindings"] and all(each and each["reason"] == "AdmissionPolicyMissing" for each in stalled)


def at_rest(api: Api, namespace: str, done: Any) -> dict[str, Any]:
    """Done, and the same two seconds later."""

    def probe() -> dict[str, Any] | None:
        play(api, namespace)
        before = outcome(api, namespace)
        if not done(before):
            return None
        time.sleep(2)
        return before if outcome(api, namespace) == before else None

    return until(probe, seconds=60)


def noted(points: Path, happened: str, namespace: str) -> frozenset[str]:
    """Writes out of the file of `CrashAround`, without Events: they are posted behind the back of the passes, nobody
    tries twice, and a process that ends after each write comes to none.
    """
    lines = [line.partition(" ") for line in points.read_text().splitlines()]
    writes = {what.replace(f"/namespaces/{namespace}/", "/namespaces/it/") for how, _, what in lines if how == happened}
    return frozenset(what for what in writes if not what.endswith("/events"))


def died_for(points: Path, namespace: str) -> frozenset[str]:
    """Writes go out side by side: one that was on its way when another one's end came was died in the middle of."""
    begin, crash, done = (noted(points, happened, namespace) for happened in ("begin", "crash", "done"))
    return crash | (begin - done)


def clear(api: Api, namespace: str) -> None:
    """The operator looks after the whole cluster, and exchanges one watchdog at a time in all of it."""
    for plural in ("llmworkers", "llmincidents", "pods"):
        for name in api.names(plural, namespace):
            api.delete(plural, namespace, name)
