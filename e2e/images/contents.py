"""The list of contents as frozen records. Knows the shape of contents.toml, nothing about how an image is made."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENTS_FILE = Path(__file__).with_name("contents.toml")
REGISTRY = "llmworker.dev"
SITE_PACKAGES = "/opt/llmworker/site-packages"


@dataclass(frozen=True, slots=True)
class Base:
    """A Debian root file system with the release's own Python."""

    name: str
    suite: str
    docker_image: str
    python: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    title: str
    base: Base
    dockerfile: str
    entrypoint: tuple[str, ...]
    user: int
    dependencies: bool
    extras: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    """Pairs of a folder in the repository and its absolute place in the image."""
    environment: tuple[tuple[str, str], ...]

    @property
    def repository(self) -> str:
        return f"{REGISTRY}/{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        return {"org.opencontainers.image.title": self.title}


def load_contents(path: Path = CONTENTS_FILE) -> dict[str, Image]:
    document = tomllib.loads(path.read_text())
    bases = {name: _base(name, raw) for name, raw in document["bases"].items()}
    return {name: _image(name, raw, bases, document["defaults"]) for name, raw in document["images"].items()}


def _base(name: str, raw: dict[str, Any]) -> Base:
    return Base(
        name=name,
        suite=raw["suite"],
        docker_image=raw["docker-image"],
        python=raw["python"],
        packages=tuple(sorted(raw["packages"])),
    )


def _image(name: str, raw: dict[str, Any], bases: dict[str, Base], defaults: dict[str, Any]) -> Image:
    environment = {**defaults["environment"], **raw.get("environment", {})}
    return Image(
        name=name,
        title=raw["title"],
        base=bases[raw["base"]],
        dockerfile=raw["dockerfile"],
        entrypoint=tuple(raw["entrypoint"]),
        user=raw.get("user", defaults["user"]),
        dependencies=raw.get("dependencies", False),
        extras=tuple(raw.get("extras", ())),
        sources=tuple(sorted(raw["sources"].items())),
        environment=tuple(sorted(environment.items())),
    )
