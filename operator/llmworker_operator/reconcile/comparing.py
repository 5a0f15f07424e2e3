"""Reads what the watchdogs of a worker know of their replicas' answers, and has it compared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from llmworker_operator.domain.dissent import REPLICAS_MIN, compare, read_fingerprint

if TYPE_CHECKING:
    from llmworker_operator.domain.dissent import Fingerprint
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.reconcile.context import Context

AT_ONCE: Final = 16
"""Questions under way over all workers."""


async def compare_all(context: Context) -> set[WorkerKey]:
    """The workers of whom something else is known now."""
    limit = asyncio.Semaphore(AT_ONCE)
    keys = list(context.cache.known())
    context.dissents.forget_all_but(keys)
    return {key for key in keys if await _compare(context, key, limit)}


async def _compare(context: Context, key: WorkerKey, limit: asyncio.Semaphore) -> bool:
    asked = [r for r in context.cache.replicas.of(key) if r.ready and r.address and not r.terminating]
    if len(asked) < REPLICAS_MIN:
        return context.dissents.learn(key, (), sure=True)
    found = await asyncio.gather(*(_fingerprint(context, replica, limit) for replica in asked))
    told = [fingerprint for _, fingerprint in found if fingerprint is not None]
    return context.dissents.learn(key, compare(told), sure=all(answered for answered, _ in found))


async def _fingerprint(context: Context, replica: Replica, limit: asyncio.Semaphore) -> tuple[bool, Fingerprint | None]:
    """Whether it answered, and what it has of a fingerprint."""
    async with limit:
        status = await context.pages.read(replica.address)
    if status is None:
        return False, None
    node = context.cache.nodes.get("", replica.node)
    return True, read_fingerprint(status, replica, node.accelerator if node else "")
