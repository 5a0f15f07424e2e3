"""The policy document for the watchdogs of a worker. A change reaches them within a minute and rolls no pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.document import encode
from llm_watchdog.api.policy import PausedPolicy, Policy
from llmworker_operator.builders.metadata import child_metadata, stamped

if TYPE_CHECKING:
    from llmworker_operator.domain.cluster_pause import ClusterPause
    from llmworker_operator.domain.worker import Worker


def policy_config_map(worker: Worker, pause: ClusterPause) -> dict[str, Any]:
    paused = PausedPolicy(reason=pause.reason) if pause.reason else None
    policy = Policy(engine=worker.engine, watchdog=worker.watchdog, cluster_paused=paused)
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": child_metadata(worker, names.policy_config_map(worker.key.name)),
            "data": {names.POLICY_FILE: json.dumps(encode(policy), indent=2, sort_keys=True) + "\n"},
        }
    )
