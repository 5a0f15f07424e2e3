"""What the disk may do to the journal, and what is left of it afterwards."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog import journal as module
from llm_watchdog.api.reasons import FaultClass, Mode
from llm_watchdog.core.replica import Quarantine
from llm_watchdog.core.situation import Modes
from llm_watchdog.journal import FILE, Journal
from tests.sidecar.situations import START, ordered, serving

if TYPE_CHECKING:
    from pathlib import Path


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    modes = Modes(mode=Mode.OBSERVE, overrides={FaultClass.ENGINE_DEAD: Mode.ENFORCE})
    held = Quarantine(since=START, incident="x", release="y")
    replica = replace(ordered().replica, modes=modes, quarantine=held, doubted=FaultClass.ENGINE_DEAD)
    assert Journal(tmp_path).write(replica)
    again = Journal(tmp_path).replay()
    assert again.replica == replica
    assert again.found
    assert again.damaged_lines == 0


def test_the_newest_line_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(serving().replica)
    newest = serving().sick().replica
    journal.write(newest)
    assert Journal(tmp_path).replay().replica == newest


def test_nothing_is_written_for_nothing_new(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(serving().replica)
    size = (tmp_path / FILE).stat().st_size
    journal.write(serving().replica)
    assert (tmp_path / FILE).stat().st_size == size


def test_an_empty_directory_is_an_empty_memory(tmp_path: Path) -> None:
    assert not Journal(tmp_path).replay().found


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    kept = serving().replica
    journal.write(kept)
    journal.write(serving().sick().replica)
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[:-cut] if cut > 1 else data[:-2])
    again = Journal(tmp_path)
    found = again.replay()
    assert found.replica == kept
    assert found.damaged_lines == 1
    assert list(tmp_path.glob(f"{FILE}.damaged-*"))
    assert Journal(tmp_path).replay() == replace(found, damaged_lines=0)


def test_a_flipped_bit_in_the_middle_costs_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for world in (serving(), serving().sick(), ordered()):
        journal.write(world.replica)
    lines = (tmp_path / FILE).read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"Stalled", b"stalled", 1)
    (tmp_path / FILE).write_bytes(b"\n".join(lines))
    found = Journal(tmp_path).replay()
    assert found.damaged_lines == 1
    assert found.replica == ordered().replica


def test_rubbish_is_set_aside_a_few_times_and_not_for_ever(tmp_path: Path) -> None:
    for _ in range(9):
        (tmp_path / FILE).write_bytes(b"\x00\xff\n{}\n")
        assert Journal(tmp_path).replay().damaged_lines == 2
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == module.SET_ASIDE_MAX


def test_it_is_compacted_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_AT_BYTES", 5000)
    journal = Journal(tmp_path)
    for revision in range(50):
        world = serving().sick()
        world.replica = replace(world.replica, sequences={"StalledStream": revision})
        journal.write(world.replica)
    assert (tmp_path / FILE).stat().st_size <= 5000
    assert Journal(tmp_path).replay().replica.sequences == {"StalledStream": 49}


def test_a_full_disk_is_said_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    kept = serving().replica
    assert journal.write(kept)

    def full(_descriptor: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.write", full)
        assert not journal.write(serving().sick().replica)
    assert not journal.durable
    assert "No space left" in journal.last_error
    assert Journal(tmp_path).replay().replica == kept
    assert journal.write(ordered().replica)
    assert journal.durable
    assert Journal(tmp_path).replay().replica == ordered().replica
