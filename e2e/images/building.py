"""From the list of contents to image archives. Knows what each layer depends on, so that only what changed is built."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.images import layers, oci, packing
from e2e.images.cache import cache_folder, content_hash, drop_old_archives, locked
from e2e.images.contents import REPOSITORY, load_contents
from e2e.images.programs import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2e.images.contents import Image
    from e2e.images.packing import Layer

RECIPE = "1"  # raise it when the same contents are to be packed in another way


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An archive to load into a node. `reference` is tagged with the content, so a change is never missed."""

    reference: str
    development_reference: str
    archive_path: Path


def build(names: Iterable[str]) -> dict[str, BuiltImage]:
    """Build the named images and return where each archive lies; what is unchanged is not built."""
    contents = load_contents()
    folder = cache_folder("images")
    with locked(folder):
        return {name: _build(contents[name], folder) for name in names}


def _build(image: Image, folder: Path) -> BuiltImage:
    requirements = layers.locked_requirements(image.extras) if image.dependencies else ""
    keys = LayerKeys.of(image, requirements)
    tag = content_hash(repr(image), keys.base, keys.dependencies, keys.code)
    built = BuiltImage(
        reference=f"{image.repository}:{tag}",
        development_reference=f"{image.repository}:dev",
        archive_path=folder / tag / f"{image.name}.tar",
    )
    if not built.archive_path.exists():
        started = time.monotonic()
        _write(built, image, _layers(image, requirements, keys, folder / "layers"))
        drop_old_archives(folder, image.name)
        size = built.archive_path.stat().st_size / 1e6
        say(f"image {image.name}: {built.reference}, {size:.0f} MB, {time.monotonic() - started:.1f} s")
    return built


@dataclass(frozen=True, slots=True)
class LayerKeys:
    """A name for each layer that changes exactly when the layer would."""

    base: str
    dependencies: str
    code: str

    @staticmethod
    def of(image: Image, requirements: str) -> LayerKeys:
        return LayerKeys(
            base=content_hash(RECIPE, repr(image.base), str(image.user)),
            dependencies=content_hash(RECIPE, image.base.python, requirements),
            code=content_hash(RECIPE, image.base.python, *source_fingerprints(image)),
        )


def source_fingerprints(image: Image, repository: Path = REPOSITORY) -> list[str]:
    """Place, mode and content of each source file of an image."""
    prints = []
    for source, place in image.sources:
        for path in packing.source_files(repository / source):
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            name = path.relative_to(repository / source).as_posix()
            prints.append(f"{place}/{name} {mode} {path.read_bytes().hex()}")
    return prints


def _layers(image: Image, requirements: str, keys: LayerKeys, folder: Path) -> list[Layer]:
    base = image.base
    found = [_cached(folder / keys.base, f"Debian {base.suite}", lambda t: layers.base_layer(base, image.user, t))]
    if image.dependencies:
        make = lambda target: layers.dependencies_layer(requirements, base.python, target)  # noqa: E731
        found.append(_cached(folder / keys.dependencies, "Python dependencies", make))
    found.append(_cached(folder / keys.code, f"{image.name}'s code", lambda t: layers.code_layer(image, t)))
    return found


def _cached(folder: Path, what: str, make: Callable[[Path], Layer]) -> Layer:
    record, blob = folder / "layer.json", folder / "layer.tar.gz"
    if not record.exists():  # written last: without it the layer was never finished
        say(f"layer: {what}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        packing.write_record(make(blob), record)
    return packing.read_record(record, blob)


def _write(built: BuiltImage, image: Image, found: list[Layer]) -> None:
    built.archive_path.parent.mkdir(exist_ok=True)
    partial = built.archive_path.with_suffix(".partial")
    oci.write_archive(partial, image, found, (built.reference, built.development_reference))
    partial.rename(built.archive_path)
