"""One request to the API server, as far as a perturbation has to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.operator.live.api import GROUPS

PLURALS = {*GROUPS, "pods", "events", "configmaps", "services", "serviceaccounts", "nodes", "namespaces"}
SCOPE = 2
"""`namespaces/NAME/` in front of the plural."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    who: str
    method: str
    path: str
    query: Mapping[str, str]

    @property
    def watches(self) -> bool:
        return "watch" in self.query

    @property
    def lists(self) -> bool:
        """The operator alone lists; both of its halves page."""
        return "limit" in self.query and not self.watches

    @property
    def writes(self) -> bool:
        return self.method != "GET" and "dryRun" not in self.query

    @property
    def elects(self) -> bool:
        return "leases" in self.path.split("/")

    @property
    def kind(self) -> str:
        """Without names, which differ from run to run: `qwen-x-0 PATCH pods/status`."""
        parts = self.path.strip("/").split("/")
        if "namespaces" in parts[:-SCOPE]:
            parts = parts[parts.index("namespaces") + SCOPE :]
        at = next((n for n, part in enumerate(parts) if part in PLURALS), None)
        what = self.path if at is None else "/".join([parts[at], *parts[at + 2 :]])
        return f"{self.who} {'WATCH' if self.watches else self.method} {what}"
