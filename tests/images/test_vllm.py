"""The parts of the vLLM environment that can be judged without building it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from e2e.images.vllm import vllm_arguments, vllm_volume_manifests, vllm_volumes
from e2e.images.vllm.locking import requirements
from e2e.images.vllm.stubs import Library, missing_symbols, source, version_script
from e2e.images.vllm.target import LOCK_FILE

CUDART = "libcudart.so.13"


def library(*needed: str, undefined: set[tuple[str, str]], owners: dict[str, str] | None = None) -> Library:
    return Library(needed, owners or {}, frozenset(undefined))


def test_a_versioned_symbol_goes_to_the_library_that_owns_the_version() -> None:
    user = library(
        "libnvrtc.so.13", CUDART, "libc.so.6",
        undefined={("cudaMalloc", CUDART), ("malloc", "GLIBC_2.2.5")},
        owners={CUDART: CUDART, "GLIBC_2.2.5": "libc.so.6"},
    )  # fmt: skip
    assert missing_symbols([user], {"libc.so.6"}) == {"libnvrtc.so.13": set(), CUDART: {("cudaMalloc", CUDART)}}


def test_symbols_of_python_and_libstdcpp_get_no_stand_in() -> None:
    user = library(CUDART, undefined={("PyList_New", ""), ("_Znwm", ""), ("ncclSend", "")})
    assert missing_symbols([user], set()) == {CUDART: {("ncclSend", "")}}


def test_what_is_present_gets_no_stand_in() -> None:
    user = library(CUDART, undefined={("cudaMalloc", CUDART)}, owners={CUDART: CUDART})
    assert missing_symbols([user], {CUDART}) == {}


def test_a_stand_in_says_no_driver_and_texts_are_no_numbers() -> None:
    text = source({("cudaMalloc", CUDART), ("cudaGetErrorString", CUDART)})
    assert "long cudaMalloc(void) { return 35; }" in text
    assert "const char *cudaGetErrorString(void)" in text
    assert version_script({("b", "V2"), ("a", "V1"), ("c", "V1"), ("d", "")}) == (
        "V1 { global: a; c; };\nV2 { global: b; };"
    )


def test_the_lock_has_one_exact_version_and_a_hash_for_each_package() -> None:
    locked = [entry for entry in LOCK_FILE.read_text().replace("\\\n", "").splitlines() if not entry.startswith("#")]
    assert len(locked) > 100
    for entry in locked:
        assert re.fullmatch(r"[\w.-]+==[\w.+-]+(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry


def test_the_lock_leaves_out_what_is_excluded() -> None:
    folder = LOCK_FILE.parent
    locked = {entry.partition("==")[0] for entry in LOCK_FILE.read_text().splitlines()}
    excluded = {name for name in (folder / "excludes.txt").read_text().splitlines() if not name.startswith("#")}
    assert not locked & excluded
    wanted = (folder / "requirements.in").read_text() + (folder / "overrides.txt").read_text()
    for pin in re.findall(r"^[\w-]+==\S+$", wanted, re.MULTILINE):
        assert f"{pin} \\\n" in LOCK_FILE.read_text()


def test_a_lock_entry_holds_all_its_hashes_in_order() -> None:
    wheels = [{"hashes": {"sha256": "b"}}, {"hashes": {"sha256": "a"}}]
    text = requirements({"packages": [{"name": "torch", "version": "1", "wheels": wheels}]})
    assert text.endswith("torch==1 \\\n    --hash=sha256:a \\\n    --hash=sha256:b\n")


def test_volume_and_claim_find_each_other_on_the_one_node() -> None:
    volume, claim = vllm_volume_manifests(Path("/cache/vllm/abc"), "node-1", "lab")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"] == {"namespace": "lab", "name": claim["metadata"]["name"]}
    assert volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"]
    assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert '"node-1"' in json.dumps(volume["spec"]["nodeAffinity"])
    assert "hostPath" not in json.dumps([volume, claim])


def test_volumes_of_two_namespaces_do_not_collide() -> None:
    one, other = (vllm_volume_manifests(Path("/cache"), "node-1", name)[0] for name in ("one", "other"))
    assert one["metadata"]["name"] != other["metadata"]["name"]


def test_each_mount_has_its_volume_and_the_model_lies_on_one() -> None:
    volumes, mounts = vllm_volumes()
    assert [mount["name"] for mount in mounts] == [volume["name"] for volume in volumes]
    assert vllm_arguments()[0].startswith(f"{mounts[0]['mountPath']}/")
    assert mounts[0]["readOnly"] is True
