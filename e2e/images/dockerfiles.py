"""The list of contents as Dockerfiles, for users with a container engine. Knows text only: it builds nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e.images.contents import REPOSITORY, SITE_PACKAGES, load_contents
from e2e.images.layers import export_command, group_line, passwd_line

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.images.contents import Image

UV_IMAGE = "ghcr.io/astral-sh/uv:0.13.8"
HEADER = "# Made from e2e/images/contents.toml by `python -m e2e.images dockerfiles`; a test compares the two."
COMPILE = "python3 -m compileall -q -f --invalidation-mode unchecked-hash"


def write_dockerfiles() -> list[Path]:
    written = []
    for image in load_contents().values():
        path = REPOSITORY / image.dockerfile
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dockerfile(image))
        written.append(path)
    return written


def dockerfile(image: Image) -> str:
    lines = [HEADER, f"# Build from the repository's root: docker build -f {image.dockerfile} ."]
    lines += ["", f"FROM {image.base.docker_image} AS base", *_base_steps(image)]
    if image.dependencies:
        lines += ["", "FROM base AS dependencies", *_dependency_steps(image)]
    lines += ["", "FROM base", *_final_steps(image)]
    return "\n".join(lines) + "\n"


def _base_steps(image: Image) -> list[str]:
    packages = " ".join(image.base.packages)
    return [
        "RUN apt-get update \\",
        f" && apt-get install --yes --no-install-recommends {packages} \\",
        " && rm -rf /var/lib/apt/lists/* \\",
        f" && {COMPILE} /usr/lib/python{image.base.python} \\",
        f' && echo "{passwd_line(image.user)}" >> /etc/passwd \\',
        f' && echo "{group_line(image.user)}" >> /etc/group',
    ]


def _dependency_steps(image: Image) -> list[str]:
    export = " ".join(export_command(image.extras))
    return [
        f"COPY --from={UV_IMAGE} /uv /usr/local/bin/uv",
        "WORKDIR /project",
        "COPY pyproject.toml uv.lock ./",
        f"RUN uv {export} > requirements.txt \\",
        " && uv pip install --no-deps --require-hashes --only-binary=:all: --link-mode=copy \\",
        f"      --python=/usr/bin/python3 --target={SITE_PACKAGES} --requirements=requirements.txt \\",
        f" && rm -rf {SITE_PACKAGES}/bin && {COMPILE} {SITE_PACKAGES}",
    ]


def _final_steps(image: Image) -> list[str]:
    lines = [f"COPY --from=dependencies {SITE_PACKAGES} {SITE_PACKAGES}"] if image.dependencies else []
    lines += [f"COPY {source} {place}" for source, place in image.sources]
    if image.dependencies:  # otherwise the sources hold no Python
        lines += [f"RUN {COMPILE} {' '.join(place for _, place in image.sources)}"]
    lines += [f"ENV {name}={json.dumps(value)}" for name, value in image.environment]
    lines += [f"LABEL {name}={json.dumps(value)}" for name, value in image.labels.items()]
    return [*lines, f"USER {image.user}:{image.user}", f"ENTRYPOINT {json.dumps(list(image.entrypoint))}"]
