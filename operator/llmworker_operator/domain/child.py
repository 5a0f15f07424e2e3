"""One live object that a worker may own, and whose it is. Pure."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping

_VOLATILE = frozenset({"managedFields", "resourceVersion"})


class Ownership(Enum):
    """Whose object it is."""

    OURS = auto()
    PREDECESSOR = auto()
    """A deleted worker of the same name had it; it is about to be collected."""
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Child:
    """The object as it was last seen, without what changes at every write.

    Packed: a template as Python objects takes ten times the room, and there are seven children per worker.
    """

    packed: bytes
    resource_version: str = field(compare=False)

    @property
    def document(self) -> Mapping[str, Any]:
        """Unpacked anew each time: take it once per pass."""
        read: dict[str, Any] = json.loads(zlib.decompress(self.packed))
        return read

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.document["metadata"]["uid"])

    def _owners(self) -> list[Mapping[str, Any]]:
        return self.document["metadata"].get("ownerReferences") or []

    def ownership(self, worker_uid: str) -> Ownership:
        """Of a child of one worker."""
        workers = [o for o in self._owners() if o.get("kind") == names.WORKER_KIND]
        if any(owner.get("uid") == worker_uid for owner in workers):
            return Ownership.OURS
        return Ownership.PREDECESSOR if workers else Ownership.FOREIGN

    def shared_ownership(self) -> Ownership:
        """Of an object that all workers of a namespace share."""
        owned = any(owner.get("kind") == names.WORKER_KIND for owner in self._owners())
        return Ownership.OURS if owned else Ownership.FOREIGN


def read_child(document: Mapping[str, Any]) -> Child:
    """From the API server's JSON. Items of a list carry no kind, so none is relied on."""
    metadata = {key: value for key, value in document["metadata"].items() if key not in _VOLATILE}
    text = json.dumps({**document, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    return Child(zlib.compress(text.encode(), 1), document["metadata"].get("resourceVersion", ""))
