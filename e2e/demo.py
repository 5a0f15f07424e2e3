"""`make demo`: the main job on a real cluster, from nothing, told as it happens.

KEEP=1 leaves the cluster running at the end; ENGINE=vllm does the same with the real vLLM; SOURCE=local or kind
starts a cluster whatever KUBECONFIG names.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from typing import Any

from e2e.cluster.abilities import why_no_images, why_not_here
from e2e.cluster.progress import ClusterError, Progress
from e2e.cluster.source import Cluster, ClusterSource, Source, as_cluster, open_source
from e2e.images.programs import MissingProgramError
from e2e.lab.access import Access, TimedOutError, apply, run, wait_for
from e2e.lab.access_logs import PROPAGATION_SECONDS
from e2e.lab.engines import ENGINES, Engine
from e2e.lab.hints import next_steps
from e2e.lab.install import install, load_images
from e2e.lab.processes import find, signal
from e2e.lab.story import Story
from e2e.lab.timeline import Timeline, timeline
from e2e.lab.traffic import Load, Traffic
from e2e.lab.watching import Watch
from e2e.lab.workers import Worker
from llm_watchdog.api.reasons import Outcome

NAMESPACE = "models"
TRAFFIC_SECONDS = 600


def say(text: str = "") -> None:
    print(text, flush=True)


class NotShownError(Exception):
    """The cluster worked, and the main job was not seen on it."""


def heading(text: str) -> None:
    say(f"\n== {text}")


def show(access: Access, *args: str) -> None:
    """A command as its user would type it, and what it prints."""
    say(f"$ kubectl {' '.join(args)}")
    say(run(access, *args).rstrip())


def set_up(access: Cluster, engine: Engine) -> Worker:
    heading("Install: images, CRDs, admission policy, operator")
    install(access, say)
    load_images(access, engine.images, say)
    engine.prepare(access, NAMESPACE, say)
    manifests = engine.manifests(NAMESPACE)
    worker = Worker(access, NAMESPACE, manifests[-1]["metadata"]["name"])
    heading(f"A worker with two replicas: {worker.name}")
    apply(access, *manifests)
    say("waiting until both replicas have passed their canary …")
    worker.wait_in_rotation(2, timeout=engine.start_seconds)
    run(access, "-n", NAMESPACE, "wait", "--for=condition=Available", f"llmworker/{worker.name}", "--timeout=60s")
    show(access, "-n", NAMESPACE, "get", "llmworkers,pods")
    return worker


def break_and_watch(worker: Worker, engine: Engine) -> None:
    access = worker.access
    heading("Two users keep asking, one replica freezes")
    load = Load(parallel=2, every=2.0, seconds=TRAFFIC_SECONDS, timeout=4)
    traffic = Traffic.start(worker, "users", engine, load)
    story = Story(say)
    with ExitStack() as stack:
        stack.callback(traffic.stop)
        pods = stack.enter_context(Watch(access, NAMESPACE, "pods", story.pod))
        slices = stack.enter_context(Watch(access, NAMESPACE, "endpointslices", story.endpoints))
        stack.enter_context(Watch(access, NAMESPACE, "llmincidents", story.incident))
        wait_for("some answers", lambda: len(traffic.reports()) >= 6, timeout=60)
        known = {incident["metadata"]["name"] for incident in worker.incidents()}
        victim = worker.pods()[0]["metadata"]["name"]
        stopped = find(access, NAMESPACE, victim, engine.core_process)
        say(f"\n$ kubectl exec {victim} -c engine -- kill -STOP {' '.join(map(str, stopped))}   # its EngineCore")
        story.zero = fault_at = time.time()
        signal(access, NAMESPACE, victim, "STOP", stopped)
        say(f"          its /health meanwhile: {engine.health(access, NAMESPACE, victim)}")
        incident = worker.wait_incident(engine.start_seconds, known, phase="Closed")
        worker.wait_in_rotation(2, timeout=engine.start_seconds)
        time.sleep(2)
        reports = traffic.reports()
        times = timeline(victim, fault_at, pods.seen, slices.seen)
    left, restarted, back = times.row()
    heading("What it took")
    say(f"out of rotation {left}, engine container started anew {restarted}, back in rotation {back}")
    say(told_losses(reports, None if times.out_of_rotation is None else fault_at + times.out_of_rotation))
    if problem := shortfall(incident, victim, times):
        raise NotShownError(problem)


def shortfall(incident: dict[str, Any], victim: str, times: Timeline) -> str:
    """What the demo should have shown and has not; empty: nothing."""
    seen = {
        f"the incident is about {victim}": incident["spec"]["podRef"]["name"] == victim,
        "it ended as Recovered": incident["status"].get("outcome") == Outcome.RECOVERED,
        "the replica left rotation": times.out_of_rotation is not None,
        "its engine was started anew": times.restarted is not None,
        "it came back into rotation": times.recovered is not None,
    }
    return "; ".join(f"not seen: {what}" for what, was_seen in seen.items() if not was_seen)


def told_losses(reports: list[dict[str, Any]], left_at: float | None) -> str:
    """How many requests failed, and when they had begun. `left_at` (wall clock): the endpoints changed; None: never."""
    lost = [report for report in reports if report["outcome"] != "ok"]
    if not lost:
        return f"{len(reports)} requests, none failed"
    if left_at is None:
        return f"{len(reports)} requests, {len(lost)} failed; the replica was never cut off"
    early = [report for report in lost if report["start"] <= left_at + PROPAGATION_SECONDS]
    late = len(lost) - len(early)
    return (
        f"{len(reports)} requests, {len(lost)} failed: {len(early)} begun before the replica was cut off, {late} after"
    )


def suggest(worker: Worker, *, keep: bool) -> None:
    """What works when this has ended: without its cluster, only `make`."""
    heading("What to try next")
    if not keep:
        say("make demo KEEP=1       leaves the cluster running, and tells how to break a replica by hand")
        say("make demo ENGINE=vllm  does the same with the real vLLM")
        return
    pod = worker.pods()[0]["metadata"]["name"]
    for line in next_steps(worker.access, worker.namespace, worker.name, pod):
        say(f"  {line}")


def tell(worker: Worker) -> None:
    heading("The record")
    show(worker.access, "-n", NAMESPACE, "get", "llmincidents")
    newest = worker.incidents()[-1]["metadata"]["name"]
    show(worker.access, "-n", NAMESPACE, "describe", "llmincident", newest)


def refuse(source: ClusterSource, engine: Engine) -> None:
    """Raises ClusterError where the demo could not get through, before it has begun."""
    local = why_not_here(engine.from_this_disk, source) if engine.from_this_disk else None
    if why := why_no_images(source) or local:
        raise ClusterError(why)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--engine", choices=sorted(ENGINES), default=os.environ.get("ENGINE") or "fault-engine")
    sources = [source.value for source in Source]
    parser.add_argument("--source", choices=sources, default=os.environ.get("SOURCE") or Source.AUTO.value)
    parser.add_argument("--keep", action="store_true", default=os.environ.get("KEEP") == "1")
    chosen = parser.parse_args()
    begin = time.monotonic()
    progress = Progress()
    try:
        source = open_source(chosen.source, None, progress)
        refuse(source, ENGINES[chosen.engine])
        keep = chosen.keep or source.runs()  # what this did not start, it does not end
    except ClusterError as error:
        say(f"There is no cluster for the demo: {error}")
        return 1
    try:
        heading("A real cluster")
        access = as_cluster(source.up(progress), source)
        worker = set_up(access, ENGINES[chosen.engine])
        break_and_watch(worker, ENGINES[chosen.engine])
        tell(worker)
        suggest(worker, keep=keep)
    except (ClusterError, MissingProgramError, TimedOutError, NotShownError) as error:
        say(f"\nThe demo did not get through: {error}")
        return 1
    finally:
        if not keep:
            heading("Tear down")
            source.down(progress)
    say(f"Done in {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
