"""Configurations of containerd, the kubelet and kube-proxy, as pure functions of where things lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.network import Network
from e2e.cluster.pause import IMAGE as PAUSE_IMAGE
from e2e.cluster.pki import Pair
from e2e.cluster.places import State

NODE_NAME = "llmworker-local"
# containerd takes a folder of at most 42 characters for its shims' sockets.
LONGEST_NODE_STATE = 40

CAP_SYS_RESOURCE = 24


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Configuration files of one node."""

    containerd: Path
    kubelet: Path
    proxy: Path


def lacks_sys_resource(status: str) -> bool:
    """From the text of /proc/self/status. Without it nobody may lower an oom_score_adj, and containers fail."""
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return not int(effective, 16) >> CAP_SYS_RESOURCE & 1


def containerd_config(state: State, runc: Path, cni_programs: Path, *, restrict_oom: bool) -> str:
    """Everything below the state folder, also sockets and network namespaces, so that `down` finds it."""
    return f"""version = 3
root = "{state.containerd}/root"
state = "{state.containerd}/run"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{state.containerd_socket}"
[plugins."io.containerd.shim.v1.manager"]
  socket_dir = "{shim_sockets(state)}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {json.dumps(restrict_oom)}
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni_programs}"]
    conf_dir = "{state.cni}/net.d"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      Root = "{state.containerd}/run/runc"
      SystemdCgroup = false
"""


def shim_sockets(state: State) -> Path:
    return state.root / "s"


def kubelet_config(state: State, authority: Path, serving: Pair) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{state.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # Lowering it needs a right that a container or sandbox may lack, and buys nothing here.
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "podLogsDir": str(state.root / "pods"),
        "volumePluginDir": str(state.kubelet / "volume-plugins"),
        "staticPodPath": "",
        # Images are loaded by hand and no registry has them: never collect them.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "shutdownGracePeriod": "0s",
    }


def proxy_config(kubeconfig: Path, network: Network) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": network.pod_cidr,
        "hostnameOverride": NODE_NAME,
        "bindAddress": network.node_address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{network.node_address}/32"],
        "oomScoreAdj": 0,
        # The machine's own connection table is not ours to resize.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def write_node_files(state: State, kubelet: dict[str, Any], proxy: dict[str, Any], containerd: str) -> NodeFiles:
    folder = state.root / "config"
    folder.mkdir(exist_ok=True)
    files = NodeFiles(folder / "containerd.toml", folder / "kubelet.json", folder / "kube-proxy.json")
    files.containerd.write_text(containerd)
    files.kubelet.write_text(json.dumps(kubelet, indent=1))
    files.proxy.write_text(json.dumps(proxy, indent=1))
    return files


def containerd_command(program: Path, files: NodeFiles) -> list[str]:
    return [str(program), "--config", str(files.containerd), "--log-level", "warn"]


def kubelet_command(program: Path, state: State, files: NodeFiles, kubeconfig: Path, network: Network) -> list[str]:
    return [
        str(program),
        f"--config={files.kubelet}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={state.kubelet}",
        f"--cert-dir={state.kubelet}/pki",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={network.node_address}",
        "--v=2",
    ]


def proxy_command(program: Path, files: NodeFiles) -> list[str]:
    return [str(program), f"--config={files.proxy}", "--v=1"]
