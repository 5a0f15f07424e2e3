"""`python -m benchmarks.remediation`: time to grant, budget, brake and cost of the operator, with a fleet of fakes."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.remediation.client import Admin, Client
from benchmarks.remediation.fleet import Fleet
from benchmarks.remediation.plan import fleet, scenario
from benchmarks.remediation.playing import Ground, play
from benchmarks.remediation.process import operator
from benchmarks.remediation.report import markdown, write
from benchmarks.remediation.results import Results
from benchmarks.remediation.watchdog import Times
from e2e.cluster.apiserver import temporary_apiserver
from e2e.cluster.progress import Progress
from e2e.lab.beside import install_beside

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

SHARES: Final = (0.1, 0.25, 0.5)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remediation", description=__doc__)
    add = parser.add_argument
    add("--workers", type=int, default=200)
    add("--replicas", type=int, default=5, help="of each worker (default: 5)")
    add("--shares", type=float, nargs="+", default=list(SHARES), help="of the replicas, faulty at once")
    add("--draw", type=int, help="the number that all luck comes from (default: a new one, which is told)")
    add("--restart-seconds", type=float, default=5, help="that a simulated restart takes (default: 5)")
    add("--proof-seconds", type=float, default=2, help="that its proof takes (default: 2)")
    add("--limit-seconds", type=float, default=600, help="after which a scenario is given up (default: 600)")
    add("--out", type=Path, help="folder of the report (default: to stdout only)")
    return parser


async def _measure(said: argparse.Namespace, access: ApiAccess, folder: Path, progress: Progress) -> Results:
    drawn = secrets.randbelow(10**6) if said.draw is None else said.draw
    progress.say(f"drawn from {drawn}")
    identity = Admin.of(access.kubeconfig)
    admin = Client(identity.server, identity.identity())
    own = Client(identity.server, identity.trust())
    times = Times(restart=said.restart_seconds, proof=said.proof_seconds)
    results = Results(drawn=drawn, restart_seconds=times.restart, proof_seconds=times.proof)
    plans = fleet(said.workers, said.replicas)
    made = Fleet(admin, plans)
    operators = install_beside(access, folder / "operator")
    ground = Ground(
        kubeconfig=access.kubeconfig,
        operators=operators,
        folder=folder,
        admin=admin,
        own=own,
        fleet=made,
        times=times,
        limit_seconds=said.limit_seconds,
        say=progress.say,
    )
    try:
        with progress.step(f"{said.workers} workers of {said.replicas} replicas"):
            await made.make_workers()
            with operator(operators, folder / "operator.log") as running:
                await running.seconds_to_first_relist()
                await running.at_rest()
                await made.make_pods()
                await running.at_rest()
        for share in said.shares:
            results.scenarios.append(await play(ground, scenario(plans, share, drawn), share))
            if said.out:
                write(results, said.out)
    finally:
        await admin.close()
        await own.close()
    return results


def main() -> int:
    said, progress = _parser().parse_args(), Progress()
    with temporary_apiserver(progress) as access, tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(_measure(said, access, Path(folder), progress))
    print(markdown(results))
    return 0 if all(one.is_sound for one in results.scenarios) else 1


if __name__ == "__main__":
    sys.exit(main())
