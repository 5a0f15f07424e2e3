"""How it is started: from the checkout, from an image's folder, and with a wrong order."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.fault_engine.settings import read_settings
from tests.fault_engine.process import CHECKOUT, EngineProcess


def test_the_copied_folder_runs_by_its_own_name(tmp_path: Path) -> None:
    """As in an image: the folder lies on PYTHONPATH. The engine core's start needs the right package name too."""
    shutil.copytree(CHECKOUT / "e2e" / "fault_engine", tmp_path / "fault_engine")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "fault_engine", "--port", "0", "--fault", "die=0"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, b"")  # its core died while loading


def test_both_processes_can_be_told_apart(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in (engine.process.pid, engine.core_pid)}
    assert names == {engine.process.pid: "vllm", engine.core_pid: "VLLM::EngineCor"}
    assert b"--title\0VLLM::EngineCore\0" in Path(f"/proc/{engine.core_pid}/cmdline").read_bytes()


def test_vllms_spellings_are_understood() -> None:
    arguments = ["--served-model-name", "m", "--api-key", "k", "--max-model-len", "64", "--enable-server-load-tracking"]
    settings = read_settings(arguments, {"VLLM_SERVER_DEV_MODE": "1"})
    assert (settings.model, settings.key, settings.limits.max_model_len) == ("m", "k", 64)
    assert (settings.load_tracking, settings.dev_mode, settings.keep_alive_on_engine_death) == (True, True, False)


def test_a_wrong_fault_is_refused_with_the_right_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--fault", "hangs"], {})
    assert "admission-stall, answer-cut, api-server-freeze, " in capsys.readouterr().err
