"""What matters of the API server: versions, conflicts, and that each side keeps to its own fields."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_watchdog.api.document import encode

if TYPE_CHECKING:
    from llm_watchdog.api.incident import Grant

Document = dict[str, Any]


@dataclass
class Server:
    """Incidents by name. Every write is a new version, and names the one it was decided on, or None for any."""

    documents: dict[str, Document] = field(default_factory=dict)
    version: int = 0

    def create(self, document: Document) -> None:
        """A second creation of the same incident finds it there."""
        name = document["metadata"]["name"]
        if name in self.documents:
            assert self.documents[name]["spec"] == document["spec"], "two incidents of one name"
            return
        self.documents[name] = {**copy.deepcopy(document), "status": {}}
        self._changed(name)

    def read(self, name: str) -> Document:
        return copy.deepcopy(self.documents[name])

    def report(self, document: Document) -> bool:
        """The watchdog's apply: all of its fields, and the operator's stay."""
        name, version = document["metadata"]["name"], document["metadata"].get("resourceVersion")
        held = self.documents[name]
        if version not in (None, held["metadata"]["resourceVersion"]):
            return False
        grant = held["status"].get("grant")
        status = {**copy.deepcopy(document["status"]), **({"grant": grant} if grant else {})}
        if status != held["status"]:
            held["status"] = status
            self._changed(name)
        return True

    def permit(self, name: str, version: str, grant: Grant | None) -> bool:
        """The operator's write: a grant, or its end."""
        held = self.documents[name]
        if held["metadata"]["resourceVersion"] != version:
            return False
        held["status"].pop("grant", None)
        if grant is not None:
            held["status"]["grant"] = encode(grant)
        self._changed(name)
        return True

    def _changed(self, name: str) -> None:
        self.version += 1
        self.documents[name]["metadata"]["resourceVersion"] = str(self.version)
