"""Memory and CPU of watchdogs and operators on a running cluster, read from /proc inside their own containers.

RSS counts pages shared by supervisor and child twice, PSS does not. CPU is a share of one core over the time watched.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.cluster.progress import Progress
from e2e.cluster.source import Source, open_source
from e2e.lab.access import items, run
from e2e.lab.install import NAMESPACE as SYSTEM
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

READ = """
import json, os, pathlib
tick = os.sysconf('SC_CLK_TCK')
found = {'rss': 0, 'pss': 0, 'cpu': 0.0, 'processes': 0}
for entry in pathlib.Path('/proc').iterdir():
    if not entry.name.isdigit() or int(entry.name) == os.getpid():
        continue
    memory = dict(line.split(':', 1) for line in (entry / 'smaps_rollup').read_text().splitlines()[1:])
    fields = (entry / 'stat').read_text().rpartition(')')[2].split()
    found['rss'] += int(memory['Rss'].split()[0])
    found['pss'] += int(memory['Pss'].split()[0])
    found['cpu'] += (int(fields[11]) + int(fields[12])) / tick
    found['processes'] += 1
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    namespace: str
    pod: str
    container: str

    def read(self, access: ApiAccess) -> dict[str, Any]:
        command = ("-n", self.namespace, "exec", self.pod, "-c", self.container, "--", "python3", "-c", READ)
        return dict(json.loads(run(access, *command)))


def targets(access: ApiAccess) -> list[Target]:
    """Every running watchdog, and the operators."""
    watched = items(access, "-A", "pods", "-l", names.LABEL_WORKER)
    operators = items(access, "-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=llmworker-operator")
    pairs = [(pod, names.WATCHDOG_CONTAINER) for pod in watched] + [(pod, "operator") for pod in operators]
    return [
        Target(namespace=pod["metadata"]["namespace"], pod=pod["metadata"]["name"], container=container)
        for pod, container in pairs
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--kubeconfig", type=Path)
    chosen = parser.parse_args()
    access = open_source(Source.AUTO, chosen.kubeconfig, Progress()).up(Progress())
    found = targets(access)
    begin, before = time.monotonic(), [target.read(access) for target in found]
    time.sleep(chosen.seconds)
    after, elapsed = [target.read(access) for target in found], time.monotonic() - begin
    print(f"{'pod':44} {'container':14} {'processes':>9} {'RSS MiB':>8} {'PSS MiB':>8} {'CPU %':>6}")
    for target, first, last in zip(found, before, after, strict=True):
        share = (last["cpu"] - first["cpu"]) / elapsed * 100
        figures = f"{last['processes']:9} {last['rss'] / 1024:8.1f} {last['pss'] / 1024:8.1f} {share:6.2f}"
        print(f"{target.pod:44} {target.container:14} {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
