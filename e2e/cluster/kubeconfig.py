"""kubeconfig files: written for the clusters of ours, read to learn a given one's context."""

from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.pki import Pair

LOCAL_CONTEXT = "llmworker-local"


def write_kubeconfig(path: Path, url: str, authority: Path, client: Pair | None = None) -> Path:
    """Without a client certificate it names only the server; the caller then brings a token."""
    user: dict[str, Any] = (
        {"client-certificate": str(client.certificate), "client-key": str(client.key)} if client else {}
    )
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": LOCAL_CONTEXT,
        "clusters": [{"name": LOCAL_CONTEXT, "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": LOCAL_CONTEXT, "user": user}],
        "contexts": [{"name": LOCAL_CONTEXT, "context": {"cluster": LOCAL_CONTEXT, "user": LOCAL_CONTEXT}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def current_context(path: Path) -> str:
    document = yaml.safe_load(path.read_text()) or {}
    return str(document.get("current-context") or "")


def server_of(path: Path) -> str:
    """The URL of the current context's server."""
    document = yaml.safe_load(path.read_text())
    context = _named(document["contexts"], current_context(path))["context"]
    return str(_named(document["clusters"], context["cluster"])["cluster"]["server"])


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
