"""The node's network: one bridge that carries the node's own address, one masquerading table, kernel settings.

The node's address is on the bridge, so that nothing of the cluster listens on the machine's real network.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError

TABLE = "llmworker-e2e"
# kube-proxy's own names in nftables mode; it removes them only when asked to.
PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))

# What we, the kubelet and kube-proxy set; written down before, put back after.
KERNEL_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
# Paths that are fixed in the kubelet and in CNI's library. Ours to delete only where there was none before.
FOREIGN_FOLDERS = ("/var/lib/kubelet", "/var/log/containers", "/var/lib/cni")
OURS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}


@dataclass(frozen=True, slots=True)
class Network:
    bridge: str = "llmw0"
    # Set, or the bridge takes the lowest address of its ports and changes it whenever a pod comes or goes.
    bridge_mac: str = "02:6c:6c:6d:77:01"
    node_address: str = "10.245.0.1"
    gateway: str = "10.244.0.1"
    pod_cidr: str = "10.244.0.0/24"

    def ruleset(self) -> str:
        """Pods reach the world under the machine's address; among themselves they keep their own."""
        return (
            f"table ip {TABLE} {{\n"
            f"  chain postrouting {{\n"
            f"    type nat hook postrouting priority srcnat; policy accept;\n"
            f"    ip saddr {self.pod_cidr} ip daddr != {{ {self.pod_cidr}, {self.node_address} }} masquerade\n"
            f"  }}\n"
            f"}}\n"
        )

    def cni_config(self, state: State) -> str:
        plugins = [
            {
                "type": "bridge",
                "bridge": self.bridge,
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(state.cni / "addresses"),
                    "ranges": [[{"subnet": self.pod_cidr, "gateway": self.gateway}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ]
        return json.dumps({"cniVersion": "1.0.0", "name": state.name, "plugins": plugins}, indent=1)


def link_exists(name: str) -> bool:
    """Asked of the network namespace that we are in; /sys shows the one it was mounted from."""
    return _tried("ip", "link", "show", name)


def raise_network(state: State, network: Network) -> None:
    if link_exists(network.bridge):
        raise ClusterError(
            f"The bridge {network.bridge} exists already: another local node runs on this machine, and there can be "
            "one. Take it down with the LLMWORKER_STATE that it was started with."
        )
    footprint = {
        "bridge": network.bridge,
        "kernel": _read_kernel_settings(),
        "folders": [folder for folder in FOREIGN_FOLDERS if not Path(folder).exists()],
    }
    state.footprint.write_text(json.dumps(footprint))
    _run("ip", "link", "add", network.bridge, "address", network.bridge_mac, "type", "bridge")
    _run("ip", "address", "add", f"{network.gateway}/{network.pod_cidr.partition('/')[2]}", "dev", network.bridge)
    _run("ip", "address", "add", f"{network.node_address}/32", "dev", network.bridge)
    _run("ip", "link", "set", network.bridge, "up")
    for name, value in OURS.items():
        _write_kernel_setting(name, value)
    _run("nft", "-f", "-", text=network.ruleset())
    config = state.cni / "net.d" / "10-llmworker.conflist"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(network.cni_config(state))


def lower_network(state: State) -> None:
    """Undoes exactly what the footprint tells; nothing where there is none."""
    if not state.footprint.exists():
        return
    footprint = json.loads(state.footprint.read_text())
    for link in links_on(footprint["bridge"]):
        _tried("ip", "link", "delete", link)
    _tried("ip", "link", "delete", footprint["bridge"])
    for family, table in (("ip", TABLE), *PROXY_TABLES):
        _tried("nft", "delete", "table", family, table)
    for name, value in footprint["kernel"].items():
        _write_kernel_setting(name, value)
    for folder in footprint["folders"]:
        shutil.rmtree(folder, ignore_errors=True)
    state.footprint.unlink()


def links_on(bridge: str) -> list[str]:
    """A pod's end of the pair vanishes with its network namespace, but only some time after."""
    if not _tried("ip", "link", "show", bridge):
        return []
    shown = _run("ip", "-json", "link", "show", "master", bridge)
    return [entry["ifname"] for entry in json.loads(shown or "[]")]


def _read_kernel_settings() -> dict[str, str]:
    paths = {name: Path("/proc/sys", name) for name in KERNEL_SETTINGS}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}


def _write_kernel_setting(name: str, value: str) -> None:
    path = Path("/proc/sys", name)
    if path.exists() and path.read_text().strip() != value:
        path.write_text(value)


def _run(*command: str, text: str | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise ClusterError(f"{command[0]} is missing: install the packages iproute2 and nftables.")
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _tried(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
