"""Events into the API: named after what they tell, so that posting one again makes no second."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.recorder.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_watchdog.recorder.kube import Kube

ALREADY_EXISTS: Final = "AlreadyExists"
PASSING: Final = frozenset({401, 409, 429})
"""A token that the server cannot check yet, a quota that others count at this moment, too many requests."""

log = logging.getLogger(__name__)


async def post(kube: Kube, event: Mapping[str, Any]) -> None:
    """Also one that is there already. What would be refused again is given up.

    Raises KubeError where a later attempt may succeed, UnreachableError.
    """
    try:
        await kube.request("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", body=event)
    except KubeError as error:
        if error.reason == ALREADY_EXISTS:
            return
        if error.status in PASSING:
            raise
        log.warning("event %s refused: %s", event["reason"], error)
