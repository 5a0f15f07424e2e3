"""Stand-ins for the NVIDIA libraries that PyPI's torch is linked to, so that it loads on a machine without a GPU.

Every function in them reports "no driver", which torch takes for "no GPU". Knows ELF through binutils only.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from e2e.images.programs import debian_program, run

PLAIN_LIBRARIES = frozenset(
    {"ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0"}
    | {"librt.so.1", "libstdc++.so.6"}
)
NVIDIA_PREFIXES = ("cu", "nccl")
INSUFFICIENT_DRIVER = 35  # cudaErrorInsufficientDriver
NO_TEXT = '"there is no CUDA here"'


@dataclass(frozen=True, slots=True)
class Library:
    """What one shared library takes from others. A symbol is a name and the version it is bound to, or ''."""

    needed: tuple[str, ...]
    version_owners: dict[str, str]
    undefined: frozenset[tuple[str, str]]


def write_stubs(folder: Path) -> tuple[str, ...]:
    """Make the libraries that those in a folder need and nobody has, and put them beside them."""
    shipped = sorted(folder.glob("*.so*"))
    libraries = [read_library(path) for path in shipped]
    present = {path.name for path in shipped} | PLAIN_LIBRARIES
    stubs = missing_symbols(libraries, present)
    compiler = debian_program("gcc", "gcc")
    for name, symbols in stubs.items():
        _compile(compiler, folder / name, symbols)
    return tuple(stubs)


def missing_symbols(libraries: list[Library], present: set[str]) -> dict[str, set[tuple[str, str]]]:
    """By name of the missing library, the symbols that it must have.

    A symbol without a version names no owner. NVIDIA's are known by their prefix and go into the first missing
    library; the others are those of Python and of libstdc++, and a stand-in for them would crash the process.
    """
    missing: dict[str, set[tuple[str, str]]] = {}
    for library in libraries:
        absent = [name for name in library.needed if name not in present]
        for name in absent:
            missing.setdefault(name, set())
        for symbol, version in library.undefined:
            owner = library.version_owners.get(version)
            if owner in absent:
                missing[owner].add((symbol, version))
            elif absent and not version and symbol.startswith(NVIDIA_PREFIXES):
                missing[absent[0]].add((symbol, version))
    return missing


def read_library(path: Path) -> Library:
    objdump = debian_program("objdump", "binutils")
    needed, owners, owner = [], {}, ""
    for line in run([objdump, "-p", str(path)]).splitlines():
        match line.split():
            case ["NEEDED", name]:
                needed.append(name)
            case ["required", "from", name]:
                owner = name.rstrip(":")
            case [word, _, _, version] if word.startswith("0x") and owner:
                owners[version] = owner
    return Library(tuple(needed), owners, frozenset(_undefined(path)))


def _undefined(path: Path) -> set[tuple[str, str]]:
    lines = run([debian_program("nm", "binutils"), "-D", "--undefined-only", str(path)]).splitlines()
    strong = [line.split()[1] for line in lines if line.split()[0] == "U"]
    return {(name, version) for name, _, version in (symbol.partition("@") for symbol in strong)}


def source(symbols: set[tuple[str, str]]) -> str:
    names = sorted(name for name, _ in symbols)
    return "\n".join(
        f"const char *{name}(void) {{ return {NO_TEXT}; }}"
        if "String" in name or "ErrorName" in name
        else f"long {name}(void) {{ return {INSUFFICIENT_DRIVER}; }}"
        for name in names
    )


def version_script(symbols: set[tuple[str, str]]) -> str:
    by_version: dict[str, list[str]] = defaultdict(list)
    for name, version in sorted(symbols):
        by_version[version].append(name)
    return "\n".join(
        f"{version} {{ global: {'; '.join(names)}; }};" for version, names in sorted(by_version.items()) if version
    )


def _compile(compiler: str, target: Path, symbols: set[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        code, versions = Path(scratch, "stub.c"), Path(scratch, "versions")
        code.write_text(source(symbols) + "\n")
        versions.write_text(version_script(symbols))
        # Without the C library: its headers and start files need not be installed.
        options = ["-shared", "-fPIC", "-nostdlib", "-w", f"-Wl,-soname,{target.name}"]
        options += [f"-Wl,--version-script,{versions}"] if versions.read_text() else []
        run([compiler, *options, "-o", str(target), str(code)])
