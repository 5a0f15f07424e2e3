"""One kind of object in memory: newest version wins, removals are remembered, a relist is diffed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

V = TypeVar("V")
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Stored(Generic[V]):
    version: int
    told: int
    """The newest version that a watch or a list has told of; an answer to a request of ours may be ahead of it."""
    group: Hashable
    view: V


def version_of(document: Mapping[str, Any]) -> int:
    """Resource versions of one kind are comparable numbers; anything else counts as oldest."""
    text = str(document.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def name_of(document: Mapping[str, Any]) -> Name:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Store(Generic[V]):
    """Views by name and by group; what changes is reported as the groups concerned."""

    def __init__(
        self, read: Callable[[Mapping[str, Any]], V], group: Callable[[Mapping[str, Any]], Hashable | None]
    ) -> None:
        self._read = read
        self._group = group
        self._objects: dict[Name, _Stored[V]] = {}
        self._groups: dict[Hashable, dict[Name, V]] = {}
        self._removed: dict[Name, int] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def of(self, group: Hashable) -> list[V]:
        return list(self._groups.get(group, {}).values())

    def get(self, namespace: str, name: str) -> V | None:
        stored = self._objects.get((namespace, name))
        return stored.view if stored else None

    def values(self) -> Iterator[V]:
        return (stored.view for stored in self._objects.values())

    def named(self) -> dict[str, V]:
        """Of a kind without namespaces."""
        return {name: stored.view for (_, name), stored in self._objects.items()}

    def groups(self) -> Iterable[Hashable]:
        return self._groups.keys()

    def put(self, document: Mapping[str, Any]) -> set[Hashable]:
        """As a watch tells, in order. The groups for which something changed; none for an old or an equal version.

        What an answer was ahead of is known, but not to the groups: somebody else's change before a write of ours.
        """
        name, version = name_of(document), version_of(document)
        old = self._objects.get(name)
        if old and old.told < version < old.version:
            self._objects[name] = replace(old, told=version)
            return {old.group}
        return self._keep(document, told=version)

    def listed(self, document: Mapping[str, Any]) -> set[Hashable]:
        """As a list tells: what the watch had still to tell may be in it, and is never told again."""
        old = self._objects.get(name_of(document))
        overtaken = {old.group} if old and old.told < old.version <= version_of(document) else set()
        return self._keep(document, told=version_of(document)) | overtaken

    def answered(self, document: Mapping[str, Any]) -> None:
        """As a request of ours was answered: the groups hear of it when the watch tells."""
        old = self._objects.get(name_of(document))
        self._keep(document, told=old.told if old else 0)

    def _keep(self, document: Mapping[str, Any], told: int) -> set[Hashable]:
        name, version, group = name_of(document), version_of(document), self._group(document)
        if group is None or version < self._removed.get(name, 0):
            return set()
        old = self._objects.get(name)
        if old and version < old.version:
            return set()
        view = self._read(document)
        changed = {group} if old is None or old.view != view else set()
        if old and old.group != group:
            self._groups[old.group].pop(name, None)
            changed |= {old.group, group}
        self._removed.pop(name, None)
        self._objects[name] = _Stored(version, told, group, view)
        self._groups.setdefault(group, {})[name] = view
        return changed

    def remove(self, name: Name, version: int) -> set[Hashable]:
        """Forget it, unless a newer one of the same name is known."""
        old = self._objects.get(name)
        if old and version and old.version > version:
            return set()
        self._removed[name] = max(version, old.version if old else 0)
        if old is None:
            return set()
        del self._objects[name]
        members = self._groups[old.group]
        members.pop(name, None)
        if not members:
            del self._groups[old.group]
        return {old.group}

    def keep_only(self, listed: set[Name], list_version: int) -> set[Hashable]:
        """After a complete list: what is not in it and is older than it is gone, though nobody said so."""
        ghosts = [n for n, s in self._objects.items() if n not in listed and s.version <= list_version]
        changed: set[Hashable] = set()
        for name in ghosts:
            changed |= self.remove(name, list_version)
        self._removed = {name: version for name, version in self._removed.items() if version > list_version}
        return changed
