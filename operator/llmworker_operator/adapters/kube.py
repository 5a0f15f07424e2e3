"""A thin adapter over the Kubernetes client: raw JSON in and out, own errors, preconditions. Decides nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from llm_watchdog.api import names
from llmworker_operator.adapters.errors import GoneError, KubeError, UnreachableError, error_for
from llmworker_operator.adapters.resources import PODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from llmworker_operator.adapters.resources import Resource
    from llmworker_operator.adapters.write_observer import WriteObserver

    Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]

APPLY: Final = "application/apply-patch+yaml"
STRATEGIC: Final = "application/strategic-merge-patch+json"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
JSON: Final = "application/json"
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def connect(kubeconfig: Path | None) -> ApiClient:
    """From a kubeconfig where one is named, else as a pod; tokens are read anew as they rotate."""
    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    client = ApiClient(configuration)
    client.user_agent = names.OPERATOR_FIELD_MANAGER
    return client


def in_cluster_server() -> str:
    """The API server's address as each pod is told it, without DNS."""
    configuration = Configuration()
    load_incluster_config(client_configuration=configuration)
    return str(configuration.host)


class Kube:
    """One connection pool; safe for many tasks of one event loop."""

    def __init__(
        self,
        client: ApiClient,
        *,
        timeout_seconds: float,
        observers: Sequence[WriteObserver] = (),
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._may_write = may_write
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._observers = observers

    async def close(self) -> None:
        await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """None where there is no such object."""
        try:
            return await self._request("GET", resource.path(namespace, name))
        except GoneError:
            return None

    async def pages(self, resource: Resource, *, chunk: int, selector: str = "") -> AsyncIterator[dict[str, Any]]:
        """Lists of at most `chunk` items over all namespaces, as the API server hands them out."""
        query = {"limit": str(chunk), **({"labelSelector": selector} if selector else {})}
        token = ""
        while True:
            page = await self._request(
                "GET", resource.path(), query={**query, **({"continue": token} if token else {})}
            )
            yield page
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        *,
        subresource: str = "",
        dry_run: bool = False,
        force: bool = True,
    ) -> dict[str, Any]:
        """Server-side apply with the operator's field manager; a resourceVersion in the manifest is a precondition.

        Without `force` a field that somebody else set to another value is a ConflictError.
        """
        metadata = manifest["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER, "force": str(force).lower()}
        return await self._request("PATCH", path, query=query, body=manifest, content=APPLY, dry_run=dry_run)

    async def patch(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Strategic merge; put uid and resourceVersion into the body's metadata as preconditions."""
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER}
        return await self._request("PATCH", resource.path(namespace, name), query=query, body=body, content=STRATEGIC)

    async def merge(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        """JSON merge: takes fields away, whoever wrote them. The same preconditions."""
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER}
        path = resource.path(namespace, name, subresource)
        return await self._request("PATCH", path, query=query, body=body, content=MERGE)

    async def edit(
        self, resource: Resource, namespace: str, name: str, changes: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        """JSON patch: values by path, for single entries of a list. `/metadata/resourceVersion` is a precondition."""
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER}
        body = [{"op": "add", "path": path, "value": value} for path, value in changes.items()]
        path = resource.path(namespace, name, subresource)
        return await self._request("PATCH", path, query=query, body=body, content=JSON_PATCH)

    async def evict(self, namespace: str, pod: str, *, uid: str, resource_version: str) -> None:
        """Exactly this pod as it was seen. A PodDisruptionBudget that is in the way is an UnreachableError of 429."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": resource_version}},
        }
        await self._request("POST", PODS.path(namespace, pod, "eviction"), body=body)

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        path = resource.path(manifest["metadata"].get("namespace", ""))
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER}
        return await self._request("POST", path, query=query, body=manifest)

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The whole object, under the precondition of its resourceVersion."""
        metadata = manifest["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER}
        return await self._request("PUT", path, query=query, body=manifest)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> bool:
        """Exactly this object; False where it is gone already."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", resource.path(namespace, name), body=body)
        except GoneError:
            return False
        return True

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content: str = JSON,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        observed = method in _WRITES and not dry_run
        what = f"{method} {path}"
        if observed:
            if not self._may_write():
                raise UnreachableError(f"{what}: not written, the lease is not held")
            for observer in self._observers:
                observer.before(what)
        answer = await self._send(
            method, path, {**(query or {}), **({"dryRun": "All"} if dry_run else {})}, body, content
        )
        if observed:
            for observer in self._observers:
                observer.after(what)
        return answer

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Body | None, content: str
    ) -> dict[str, Any]:
        headers = {"Accept": JSON, "Content-Type": content}
        try:
            _, url, headers, _, _ = await self._client.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, auth_settings=["BearerToken"]
            )
            response = await self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=self._timeout
            )
            status, data = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error
        return _decoded(status, data, f"{method} {path}")


def _decoded(status: int, data: bytes, what: str) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise UnreachableError(f"{what}: {status} without JSON", status=status) from error
    if not isinstance(answer, dict):
        raise KubeError(f"{what}: {status} is no object", status=status)
    if status >= 400:  # noqa: PLR2004 - HTTP's own line between success and error
        raise error_for(status, str(answer.get("message", f"{what}: {status}")))
    return answer
