"""Everything that an administrator can set, by environment (`LLMWORKER_…`). Read once, in `__main__`."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _own_name() -> str:
    """Unlike any other process's; in a cluster the manifest sets the pod's name instead, which survives a restart of
    the container, so that it need not wait for its own lease to run out.
    """
    return f"{socket.gethostname()}-{os.getpid()}"


class Settings(BaseSettings):
    """Seconds throughout, unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="LLMWORKER_", frozen=True)

    watchdog_image: str = "llmworker-watchdog:latest"
    watchdog_pull_policy: str = "IfNotPresent"

    namespace: str = "llmworker-system"
    """The operator's own: its Lease is there."""
    identity: str = Field(default_factory=_own_name)

    http_host: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from outside the pod
    http_port: int = 8080

    lease_name: str = "llmworker-operator"
    lease_duration_seconds: float = 15
    """How long another replica waits after the last renewal before it takes over."""
    lease_renew_deadline_seconds: float = 10
    """Without a renewal for this long the process ends; less than the duration, so that two never lead."""
    lease_retry_seconds: float = 2

    relist_seconds: float = 60
    relist_chunk: int = 100
    """Items per page, also of the watches' first lists: what is decoded at once decides the memory of a start."""
    pause_poll_seconds: float = 2
    """Between two looks at the switch of the whole cluster."""
    reconcile_workers: int = 8
    backoff_seconds: float = 1
    backoff_max_seconds: float = 60
    request_timeout_seconds: float = 15

    watch_server_timeout_seconds: int = 290
    """Below the 5 minutes after which proxies and load balancers cut a connection."""
    watch_client_timeout_seconds: float = 300
    watch_inactivity_seconds: float = 70

    incident_age_days: float = 30
    incidents_per_worker: int = 100

    compare_replicas_seconds: float = 600
    """Between two comparisons of a worker's replicas; 0: never."""
    status_timeout_seconds: float = 5
    """For a watchdog's `/status`."""

    node_suspect_hours: float = 6
    """Restarts on the same node that lie further apart have nothing to do with one another."""
    taint_suspect_nodes: bool = False
    """Needs a right that `manifests/base` does not give: see `manifests/overlays/taint-nodes`."""
    tainted_nodes_max: int = 1
    """In the whole cluster, at a time: a mistake costs one node."""

    livez_stale_seconds: float = 300
    """No relist and no reconcile for this long: the process makes no progress."""

    crash_at: str = ""
    """For tests only: `before:FILE` or `after:FILE` ends the process (kill -9) around every write once."""

    kubeconfig: Path | None = Field(default=None, validation_alias="KUBECONFIG")
    """Outside a cluster."""

    @property
    def incident_age(self) -> timedelta:
        return timedelta(days=self.incident_age_days)

    @property
    def node_suspect(self) -> timedelta:
        return timedelta(hours=self.node_suspect_hours)
