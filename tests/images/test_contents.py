"""The one list of contents: it parses, it agrees with the Dockerfiles, and a change in it or its files is seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from e2e.images.building import LayerKeys, source_fingerprints
from e2e.images.cache import content_hash, drop_old_archives
from e2e.images.contents import REPOSITORY, Image, load_contents
from e2e.images.dockerfiles import UV_IMAGE, dockerfile

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = load_contents()
each_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


def test_the_images_are_these_four() -> None:
    assert list(IMAGES) == ["operator", "watchdog", "fault-engine", "vllm"]


@each_image
def test_no_image_runs_as_root(image: Image) -> None:
    assert image.user >= 1000


@each_image
def test_the_dockerfile_says_what_the_list_says(image: Image) -> None:
    written = (REPOSITORY / image.dockerfile).read_text()
    assert written == dockerfile(image), "run `python -m e2e.images dockerfiles`"


@each_image
def test_the_dockerfile_holds_every_part_of_the_list(image: Image) -> None:
    text = dockerfile(image)
    for part in (image.base.docker_image, *image.base.packages, *image.extras, f"USER {image.user}:"):
        assert part in text
    for source, place in image.sources:
        assert f"COPY {source} {place}\n" in text


@each_image
def test_the_entrypoint_module_is_one_of_the_sources(image: Image) -> None:
    program = image.entrypoint[-1].partition(".")[0] if image.dependencies else image.entrypoint[0]
    places = [f"{place}/{program}" if place == "/usr/local/bin" else place for _, place in image.sources]
    assert program in {place.rpartition("/")[2] for place in places}


def test_the_dockerfiles_use_the_projects_own_version_of_uv() -> None:
    pinned = re.search(r"^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert pinned is not None
    assert UV_IMAGE.endswith(f":{pinned[1]}")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("print(1)")
    return replace(IMAGES["watchdog"], sources=(("app", "/opt/llmworker/app"),))


def test_a_changed_new_or_executable_file_changes_the_fingerprint(image: Image, tmp_path: Path) -> None:
    seen = [source_fingerprints(image, tmp_path)]
    (tmp_path / "app/main.py").write_text("print(2)")
    seen.append(source_fingerprints(image, tmp_path))
    (tmp_path / "app/main.py").chmod(0o755)
    seen.append(source_fingerprints(image, tmp_path))
    (tmp_path / "app/more.py").touch()
    seen.append(source_fingerprints(image, tmp_path))
    assert len({content_hash(*prints) for prints in seen}) == 4


def test_only_the_layer_that_changed_gets_another_key() -> None:
    image = IMAGES["vllm"]
    keys = LayerKeys.of(image, "a==1")
    assert LayerKeys.of(image, "a==2") == replace(keys, dependencies=LayerKeys.of(image, "a==2").dependencies)
    bigger = replace(image, base=replace(image.base, packages=(*image.base.packages, "gcc")))
    changed = LayerKeys.of(bigger, "a==1")
    assert changed.base != keys.base
    assert (changed.dependencies, changed.code) == (keys.dependencies, keys.code)


def test_parts_of_a_hash_do_not_run_together() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")


def test_old_archives_go_and_those_of_other_images_stay(tmp_path: Path) -> None:
    for number in range(5):
        folder = tmp_path / f"hash{number}"
        folder.mkdir()
        (folder / "watchdog.tar").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/operator.tar").touch()
    drop_old_archives(tmp_path, "watchdog")
    assert len(list(tmp_path.glob("*/watchdog.tar"))) == 3
    assert (tmp_path / "other/operator.tar").exists()
