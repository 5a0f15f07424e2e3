"""The three kinds of layer, from the slowest to change to the fastest: Debian, Python dependencies, our code."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.images.contents import REPOSITORY, SITE_PACKAGES
from e2e.images.packing import compress, pack_folder, source_files
from e2e.images.programs import debian_program, python, run, uv

if TYPE_CHECKING:
    from e2e.images.contents import Base, Image
    from e2e.images.packing import Layer

MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"  # the smaller of two ways: no full Perl for `usrmerge`
GLIBC = "manylinux_2_36"  # bookworm's: newer wheels would not load in the image
NOT_UNPACKED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")


def base_layer(base: Base, user: int, target: Path) -> Layer:
    """A Debian root file system. The standard library's bytecode is made independent of file times."""
    program = debian_program("mmdebstrap", "mmdebstrap")
    hook = (
        f'chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python{base.python}'
        f' && echo "{passwd_line(user)}" >> "$1/etc/passwd" && echo "{group_line(user)}" >> "$1/etc/group"'
        ' && rm -f "$1/etc/hostname" "$1/etc/resolv.conf"'
    )
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        tar = Path(scratch) / "base.tar"
        command = [program, f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=essential"]
        command += [f"--hook-dir={MERGED_USR}", f"--include={','.join(base.packages)}", "--skip=output/dev"]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in NOT_UNPACKED]
        command += [f"--customize-hook={hook}", "--format=tar", base.suite, str(tar)]
        run(command)
        with tar.open("rb") as unpacked:
            return compress(unpacked, target)


def passwd_line(user: int) -> str:
    return f"llmworker:x:{user}:{user}:llmworker:/tmp:/usr/sbin/nologin"


def group_line(user: int) -> str:
    return f"llmworker:x:{user}:"


def export_command(extras: tuple[str, ...]) -> list[str]:
    """The arguments of uv that print the locked dependencies of an image, with hashes."""
    chosen = [f"--extra={extra}" for extra in extras]
    return ["export", "--frozen", "--quiet", "--no-header", "--no-default-groups", "--no-emit-project", *chosen]


def locked_requirements(extras: tuple[str, ...]) -> str:
    return run([uv(), *export_command(extras)])


def dependencies_layer(requirements: str, version: str, target: Path) -> Layer:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        packages = Path(scratch) / "site-packages"
        install(requirements, version, packages)
        shutil.rmtree(packages / "bin", ignore_errors=True)
        compile_bytecode(packages, SITE_PACKAGES, version)
        return _packed(packages, SITE_PACKAGES, target)


def install(requirements: str, version: str, target: Path) -> None:
    """Install locked requirements for the interpreter of the image, not for the one that runs here."""
    command = [uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [f"--python-version={version}", f"--python-platform={platform.machine()}-{GLIBC}"]
    command += ["--link-mode=copy", f"--target={target}", "--requirements=-"]
    run(command, stdin=requirements)


def compile_bytecode(folder: Path, place: str, version: str, skip: str = "^$") -> None:
    """Compile all but the files whose path `skip` finds; tracebacks will show the path in the image."""
    options = ["-q", "-f", "-j0", "--invalidation-mode=unchecked-hash", "-x", skip]
    run([python(version), "-m", "compileall", *options, "-s", str(folder), "-p", place, str(folder)])


def code_layer(image: Image, target: Path) -> Layer:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        root = Path(scratch) / "root"
        for source, place in image.sources:
            staged = root / place.lstrip("/")
            for path in source_files(REPOSITORY / source):
                copy = staged / path.relative_to(REPOSITORY / source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        compile_bytecode(root, "/", image.base.python)
        return _packed(root, "/", target)


def _packed(folder: Path, place: str, target: Path) -> Layer:
    tar = target.with_suffix(".tar")
    with tar.open("wb") as unpacked:
        pack_folder(folder, place, unpacked)
    with tar.open("rb") as unpacked:
        layer = compress(unpacked, target)
    tar.unlink()
    return layer
