"""What the programs are told, as far as a mistake would show only as a hang or a leftover."""

import json
import tomllib
from pathlib import Path

import pytest

from e2e.cluster.__main__ import COMMANDS, parse
from e2e.cluster.cgroups import Cgroups, hierarchies
from e2e.cluster.controlplane import (
    AUDIT_POLICY,
    Credentials,
    Endpoints,
    apiserver_command,
    etcd_command,
    strict_options,
)
from e2e.cluster.images import import_command
from e2e.cluster.network import Network
from e2e.cluster.node import containerd_config, kubelet_config, lacks_sys_resource, proxy_config
from e2e.cluster.pause import pause_archive
from e2e.cluster.pki import Pair
from e2e.cluster.places import State

STATE = State(Path("/state"))
PAIR = Pair(Path("/pki/x.crt"), Path("/pki/x.key"))
CREDENTIALS = Credentials(Path("/pki/ca.crt"), PAIR, PAIR, PAIR, PAIR)
NODE = Endpoints("10.245.0.1", 6443, 1, 2)
ALONE = Endpoints("127.0.0.1", 6443, 1, 2)

VERSION_1 = "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
VERSION_2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
HYBRID = VERSION_1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nproc /proc proc rw 0 0\n"


def test_containerd_keeps_everything_below_the_state_folder() -> None:
    config = tomllib.loads(containerd_config(STATE, Path("/b/runc"), Path("/usr/lib/cni"), restrict_oom=True))
    cri = config["plugins"]["io.containerd.cri.v1.runtime"]
    options = cri["containerd"]["runtimes"]["runc"]["options"]
    places = (
        config["root"],
        config["state"],
        config["grpc"]["address"],
        config["plugins"]["io.containerd.shim.v1.manager"]["socket_dir"],
        cri["cni"]["conf_dir"],
        options["Root"],
    )
    assert all(Path(place).is_relative_to("/state") for place in places)
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["restrict_oom_score_adj"] is True
    assert options["BinaryName"] == "/b/runc"


def test_kubelet_keeps_its_pods_in_our_cgroup_and_its_images_forever() -> None:
    config = kubelet_config(STATE, Path("/pki/ca.crt"), PAIR)
    assert config["cgroupRoot"] == f"/{STATE.name}"
    assert config["imageGCHighThresholdPercent"] == 100
    assert config["failCgroupV1"] is False
    assert config["authentication"]["anonymous"]["enabled"] is False
    assert config["authorization"]["mode"] == "Webhook"


def test_two_state_folders_share_no_cgroup() -> None:
    assert State(Path("/state")).name == STATE.name
    assert State(Path("/other")).name != STATE.name


def test_a_state_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="LLMWORKER_STATE"):
        State(Path("/" + "x" * 80))


def test_node_is_on_its_bridge_and_not_on_the_machines_network() -> None:
    network = Network()
    proxy = proxy_config(Path("/k"), network)
    assert proxy["mode"] == "nftables"
    assert proxy["nodePortAddresses"] == ["10.245.0.1/32"]
    bridge = json.loads(network.cni_config(STATE))["plugins"][0]
    assert (bridge["bridge"], bridge["hairpinMode"]) == ("llmw0", True)
    assert bridge["ipam"]["dataDir"].startswith("/state/")
    assert "masquerade" in network.ruleset()


def test_apiserver_checks_rights_and_reaches_the_kubelet_by_address() -> None:
    command = apiserver_command(Path("/b/kube-apiserver"), NODE, CREDENTIALS)
    assert "--authorization-mode=Node,RBAC" in command
    assert "--kubelet-preferred-address-types=InternalIP" in command
    assert "--service-account-signing-key-file=/pki/x.key" in command
    assert not any(word.startswith(("--disable-admission-plugins", "--anonymous-auth")) for word in command)


def test_an_apiserver_that_runs_alone_writes_down_what_service_accounts_ask_for() -> None:
    assert f"--audit-log-path={STATE.audit_log}" in strict_options(STATE)
    assert [(rule["level"], rule["userGroups"]) for rule in AUDIT_POLICY["rules"]] == [
        ("Metadata", ["system:serviceaccounts"])
    ]


def test_a_loopback_address_is_not_published_as_an_endpoint() -> None:
    without = "--endpoint-reconciler-type=none"
    assert without in apiserver_command(Path("/b"), ALONE, CREDENTIALS)
    assert without not in apiserver_command(Path("/b"), NODE, CREDENTIALS)


def test_etcd_listens_on_loopback_only() -> None:
    listening = [word for word in etcd_command(Path("/b"), STATE, NODE) if word.startswith("--listen")]
    assert len(listening) == 2
    assert all("=http://127.0.0.1:" in word for word in listening)


@pytest.mark.parametrize(
    ("mounts", "tracking"),
    [
        (VERSION_1, "/sys/fs/cgroup/pids/x"),
        (VERSION_2, "/sys/fs/cgroup/x"),
        (HYBRID, "/sys/fs/cgroup/pids/x"),
    ],
)
def test_processes_are_counted_where_containers_are(mounts: str, tracking: str) -> None:
    assert Cgroups("x", tuple(hierarchies(mounts))).tracking == Path(tracking)


def test_a_missing_right_to_lower_oom_scores_is_seen() -> None:
    assert lacks_sys_resource("CapEff:\t000001fffeffffff\n")
    assert not lacks_sys_resource("CapEff:\t000001ffffffffff\n")


def test_images_go_where_the_kubelet_looks() -> None:
    command = import_command(Path("/b/ctr"), STATE, Path("/i.tar"))
    assert command[:5] == ["/b/ctr", "--address", "/state/containerd/containerd.sock", "-n", "k8s.io"]


def test_the_same_program_makes_the_same_image() -> None:
    assert pause_archive(b"busybox") == pause_archive(b"busybox") != pause_archive(b"other")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "load-image"])
def test_every_command_is_understood(command: str) -> None:
    assert parse([command]).command == command
    assert parse(["--source", "local", command]).source == "local"
