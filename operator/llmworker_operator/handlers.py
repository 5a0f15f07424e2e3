"""kopf's part: login, and watches that wake the queue. No decisions, no writes, nothing kept."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kopf

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.kube import in_cluster_server
from llmworker_operator.adapters.login import session
from llmworker_operator.adapters.relist import SELECTORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llmworker_operator.adapters.resources import Resource
    from llmworker_operator.settings import Settings

    Observe = Callable[[Resource, Mapping[str, Any]], None]

logger = logging.getLogger(__name__)

WATCHED = (
    resources.WORKERS,
    resources.INCIDENTS,
    resources.PODS,
    *resources.CHILDREN,
    *resources.ADMISSION,
)


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """What kopf's users learned the hard way: watches that stand still are cut, nothing is posted or written."""
    own = kopf.OperatorSettings()
    own.watching.server_timeout = settings.watch_server_timeout_seconds
    own.watching.client_timeout = settings.watch_client_timeout_seconds
    own.watching.inactivity_timeout = settings.watch_inactivity_seconds
    own.watching.connect_timeout = settings.request_timeout_seconds
    own.watching.chunk_size = settings.relist_chunk
    # A worker task per object, which stays for the idle time: most of the memory of a start with many objects, hence
    # the limit. Beyond it an event waits until a task ends: limit / idle time is how many objects get through a second.
    own.queueing.worker_limit = 64
    own.queueing.idle_timeout = 0.01
    own.networking.request_timeout = settings.request_timeout_seconds
    own.peering.standalone = True
    own.posting.enabled = False
    for resource, selector in SELECTORS.items():
        own.watching.label_selectors[resource.group, resource.version, resource.plural] = selector
    return own


def registry_for(settings: Settings, observe: Observe, stopping: Callable[[], None]) -> kopf.OperatorRegistry:
    """Event handlers only, besides login and the word that kopf is about to stop."""
    registry = kopf.OperatorRegistry()

    async def cleanup(**_: Any) -> None:
        stopping()

    kopf.on.cleanup(registry=registry)(cleanup)
    kopf.on.login(registry=registry)(_login(settings))
    for resource in WATCHED:
        handler = _handler(resource, observe)
        kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)(handler)
    return registry


def _login(settings: Settings) -> Any:
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        find = functools.partial(_credentials, in_cluster=settings.kubeconfig is None, **kwargs)
        return session(find, backoff_seconds=settings.backoff_seconds)

    return login


def _credentials(*, in_cluster: bool, **kwargs: Any) -> kopf.ConnectionInfo | None:
    if not in_cluster:
        return kopf.login_with_kubeconfig(**kwargs)
    mounted = kopf.login_with_service_account(**kwargs)
    # kopf names the server by DNS; the variables that Kubernetes sets work without any.
    return mounted and replace(mounted, server=in_cluster_server())


def _handler(resource: Resource, observe: Observe) -> Any:
    async def wake(event: Mapping[str, Any], **_: Any) -> None:
        observe(resource, event)

    return wake
