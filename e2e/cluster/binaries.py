"""Finds every program in the cheapest place: the cache, this machine, official downloads, and last a build."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from e2e.cluster import download
from e2e.cluster.build import build
from e2e.cluster.found import find_installed
from e2e.cluster.packages import BUILD_PACKAGES, ensure_packages
from e2e.cluster.places import cache_dir
from e2e.cluster.programs import PROGRAMS, Module, Program
from e2e.cluster.progress import ClusterError, Progress


def cached_at(program: Program, env: Mapping[str, str] = os.environ) -> Path:
    return cache_dir(env) / "bin" / program.module.key / program.name


def ensure_programs(names: Iterable[str], progress: Progress, env: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Every program's path. Ours are asked for first: with a warm cache this opens no process and no socket."""
    wanted = [PROGRAMS[name] for name in names]
    paths = {program.name: cached_at(program, env) for program in wanted}
    if all(path.exists() for path in paths.values()):
        return paths
    with _one_at_a_time(env):
        return paths | _found_or_made(wanted, progress, env)


@contextmanager
def _one_at_a_time(env: Mapping[str, str]) -> Iterator[None]:
    """Two test processes want the same programs: the second one finds in the cache what the first one built."""
    cache_dir(env).mkdir(parents=True, exist_ok=True)
    with (cache_dir(env) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _found_or_made(wanted: list[Program], progress: Progress, env: Mapping[str, str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    missing = [program for program in wanted if not cached_at(program, env).exists()]
    for program in list(missing):
        if installed := find_installed(program, env):
            progress.say(f"{program.name} {program.module.version}: {installed}")
            paths[program.name] = installed
            missing.remove(program)
    if missing and download.wanted(env):
        missing = _download_all(missing, progress, env)
    for module, programs in _by_module(missing).items():
        if module.cgo:
            ensure_packages(BUILD_PACKAGES, progress)
        build(module, programs, cached_at(programs[0], env).parent, progress)
    return paths


def _download_all(missing: list[Program], progress: Progress, env: Mapping[str, str]) -> list[Program]:
    """Returns what could not be had. Each host is tried once, so that no internet costs seconds."""
    left: list[Program] = []
    answers: dict[str, bool] = {}
    with download.make_client() as client:
        for program in missing:
            release = download.release_of(program)
            host = httpx.URL(release.url).host
            if host not in answers:
                answers[host] = download.reachable(client, release)
                if not answers[host]:
                    progress.say(f"{host} cannot be reached (LLMWORKER_DOWNLOADS=0 does not ask)")
            if not (answers[host] and _downloaded(client, program, progress, env)):
                left.append(program)
    return left


def _downloaded(client: httpx.Client, program: Program, progress: Progress, env: Mapping[str, str]) -> bool:
    try:
        download.download(client, program, cached_at(program, env).parent, progress)
    except (httpx.HTTPError, ClusterError) as error:
        progress.say(f"{program.name} is built instead: {error}")
        return False
    return True


def _by_module(programs: Iterable[Program]) -> dict[Module, list[Program]]:
    groups: dict[Module, list[Program]] = {}
    for program in programs:
        groups.setdefault(program.module, []).append(program)
    return groups
