"""Looks at the switch of the whole cluster. One object, asked for by name: a watch of it would need a label on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from llmworker_operator.adapters import resources
from llmworker_operator.domain.cluster_pause import CONFIG_MAP, read_switch

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


async def look_at_switch(context: Context) -> set[WorkerKey]:
    """Whom a change of it concerns. Raises KubeError; it then stays as it was."""
    cache = context.cache
    document = await context.kube.get(resources.CONFIG_MAPS, context.settings.namespace, CONFIG_MAP)
    before = cache.cluster_pause()
    concerned = cache.turn(read_switch(document))
    pause = cache.cluster_pause()
    context.metrics.cluster_pause(paused=bool(pause.reason), problem=bool(pause.problem))
    if pause != before:
        _say(context, pause.reason, pause.problem)
    return concerned


def _say(context: Context, reason: str, problem: str) -> None:
    where = f"{context.settings.namespace}/{CONFIG_MAP}"
    if problem:
        logger.warning("ConfigMap %s is not understood, it stays as it was: %s", where, problem)
    logger.info("the whole cluster is %s", f"paused: {reason}" if reason else "not paused")
