"""An API server in memory, as far as a watchdog's recorder can tell: versions, conflicts, watches, and outages."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

from llm_watchdog.recorder.kube import Kube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime


class _Watch(httpx.AsyncByteStream):
    def __init__(self, api: FakeApi, kind: str) -> None:
        self._api = api
        self._kind = kind

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        while True:
            for version, document in sorted(self._api.newest(self._kind)):
                if version > sent:
                    sent = version
                    yield json.dumps({"type": "MODIFIED", "object": json.loads(document)}).encode() + b"\n"
            await asyncio.sleep(0.01)
            if self._api.down:
                raise httpx.ReadError("connection reset")


class FakeApi:
    """`down` refuses connections; `writes` lists all that was accepted."""

    def __init__(self) -> None:
        self.down = False
        self.error: int | None = None
        self.refused_events: list[tuple[int, str]] = []
        """Answers to the next attempts to create one."""
        self.version = 0
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"llmincidents": {}, "events": {}, "llmworkers": {}}
        self.pod: dict[str, Any] = {
            "metadata": {"name": "qwen-0"},
            "status": {"containerStatuses": [{"name": "engine", "containerID": "containerd://a"}], "conditions": []},
        }
        self.writes: list[str] = []
        self.gates: list[tuple[str, str]] = []

    def kube(self, now: Callable[[], datetime]) -> Kube:
        return Kube("https://api", auth=None, transport=self.transport, now=now)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def newest(self, kind: str) -> list[tuple[int, str]]:
        return [(int(d["metadata"]["resourceVersion"]), json.dumps(d)) for d in self.objects[kind].values()]

    def put(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind][document["metadata"]["name"]] = document
        return document

    def grant(self, name: str, step: str | None) -> None:
        """By the operator."""
        held = json.loads(json.dumps(self.objects["llmincidents"][name]))
        held.setdefault("status", {}).pop("grant", None)
        if step:
            at = "2026-11-21T03:00:00Z"
            held["status"]["grant"] = {"step": step, "grantedAt": at, "expiresAt": at}
        self.put("llmincidents", held)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        if self.error is not None:
            return httpx.Response(self.error, json={"reason": "Broken", "message": "as ordered"})
        parts = request.url.path.strip("/").split("/")
        kind, rest = self._place(parts)
        if request.url.params.get("watch"):
            return httpx.Response(200, stream=_Watch(self, kind))
        body = json.loads(request.content) if request.content else {}
        if kind == "pods":
            return self._pods(request.method, body)
        if kind == "events" and self.refused_events:
            return self._refuse(*self.refused_events.pop(0), "as ordered")
        return self._objects(request, kind, rest, body)

    @staticmethod
    def _place(parts: list[str]) -> tuple[str, list[str]]:
        at = parts.index("namespaces") + 2
        return parts[at], parts[at + 1 :]

    def _pods(self, method: str, body: dict[str, Any]) -> httpx.Response:
        if method == "PATCH":
            condition = body["status"]["conditions"][0]
            self.pod["status"]["conditions"] = [condition]
            self.gates.append((condition["status"], condition["reason"]))
        return httpx.Response(200, json=self.pod)

    def _objects(self, request: httpx.Request, kind: str, rest: list[str], body: dict[str, Any]) -> httpx.Response:
        held = self.objects[kind]
        name = rest[0] if rest else body["metadata"]["name"]
        if request.method == "POST":
            if name in held:
                return self._refuse(409, "AlreadyExists", name)
            self.writes.append(f"create {kind} {name}")
            return httpx.Response(201, json=self.put(kind, body | {"metadata": {**body["metadata"], "namespace": "m"}}))
        if name not in held:
            return self._refuse(404, "NotFound", name)
        if request.method == "PATCH":
            version = body["metadata"].get("resourceVersion")
            if version not in (None, held[name]["metadata"]["resourceVersion"]):
                return self._refuse(409, "Conflict", name)
            return httpx.Response(200, json=self._apply(kind, name, body["status"]))
        return httpx.Response(200, json=held[name])

    def _apply(self, kind: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        before = self.objects[kind][name]
        kept = {key: value for key, value in before.get("status", {}).items() if key == "grant"}
        after = {**before, "metadata": dict(before["metadata"]), "status": {**status, **kept}}
        if after["status"] == before.get("status"):
            return before
        self.writes.append(f"status {name} {status['phase']}")
        return self.put(kind, after)

    @staticmethod
    def _refuse(status: int, reason: str, name: str) -> httpx.Response:
        return httpx.Response(status, json={"reason": reason, "message": name})
