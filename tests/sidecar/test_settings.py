"""What is told again and again is read again only where it is another one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from llm_watchdog.api import names
from llm_watchdog.api.policy import EngineTarget, EngineType, Policy, WatchdogPolicy
from llm_watchdog.api.reasons import Mode, RestartMethod
from llm_watchdog.settings import RELEASE_FILE, FixedPolicy, HostInfo, PodInfo, StatedModes

POLICY = Policy(engine=EngineTarget(type=EngineType.VLLM))


def volume(directory: Path, version: str, **files: str) -> None:
    """As the kubelet writes one: a new folder, to which a symbolic link is turned."""
    folder = directory / version
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    turned = directory / "..turned"
    turned.symlink_to(version)
    turned.rename(directory / "..data")


def test_an_annotation_that_changes_is_seen(tmp_path: Path) -> None:
    place = PodInfo(tmp_path)
    assert (place.restart_method, place.release) == (None, "")
    said = {names.POD_INFO_RESTART_METHOD: "AllContainers", names.POD_INFO_RELEASE: "one"}
    volume(tmp_path, "v1", **said)
    assert (place.restart_method, place.release) == (RestartMethod.ALL_CONTAINERS, "one")
    volume(tmp_path, "v2", **said | {names.POD_INFO_RELEASE: "two"})
    assert (place.restart_method, place.release) == (RestartMethod.ALL_CONTAINERS, "two")
    volume(tmp_path, "v3", **said | {names.POD_INFO_RESTART_METHOD: "Nonsense"})
    assert (place.restart_method, place.release) == (None, "one")


def test_a_release_that_is_taken_back_or_unreadable_is_none(tmp_path: Path) -> None:
    place, file = HostInfo(tmp_path, has_command=True), tmp_path / RELEASE_FILE
    file.write_text(" by hand\n")
    assert place.release == "by hand"
    file.write_bytes(b"\xff\xfe")
    assert place.release == ""
    file.unlink()
    assert place.release == ""
    file.write_text("again")
    assert place.release == "again"


def test_a_release_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = HostInfo(tmp_path, has_command=True)
    (tmp_path / RELEASE_FILE).write_text("by hand")
    assert place.release == "by hand"
    monkeypatch.setattr(Path, "read_text", None)
    assert place.release == "by hand"


def test_the_same_length_in_the_same_file_is_another_text(tmp_path: Path) -> None:
    place, file = HostInfo(tmp_path, has_command=True), tmp_path / RELEASE_FILE
    file.write_text("one")
    assert place.release == "one"
    file.write_text("two")
    later = file.stat().st_mtime_ns + 1
    os.utime(file, ns=(later, later))
    assert place.release == "two"


def test_modes_follow_the_policy_in_force() -> None:
    source = FixedPolicy(POLICY)
    stated = StatedModes(source)
    assert stated().mode is Mode.ENFORCE
    assert stated() is stated()
    source.policy = replace(POLICY, watchdog=WatchdogPolicy(mode=Mode.OBSERVE))
    assert stated().mode is Mode.OBSERVE
