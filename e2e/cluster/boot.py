"""Starts the programs of a local node in the order in which they need each other, as far as possible at once."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import controlplane, node
from e2e.cluster.access import ApiAccess
from e2e.cluster.apiserver import access_to, free_ports, start_storage_and_api, wait_for_apiserver
from e2e.cluster.cgroups import Cgroups
from e2e.cluster.control import Control
from e2e.cluster.controlplane import Credentials, Endpoints, issue_credentials
from e2e.cluster.images import import_image
from e2e.cluster.kubeconfig import write_kubeconfig
from e2e.cluster.ledger import RUNNER, read_ledger
from e2e.cluster.network import Network, raise_network
from e2e.cluster.node import NODE_NAME, NodeFiles
from e2e.cluster.packages import cni_folder
from e2e.cluster.pause import pause_archive, read_busybox
from e2e.cluster.pki import Authority
from e2e.cluster.places import State
from e2e.cluster.progress import Progress, wait_until

APISERVER_PORT = 6443
CONTAINERD_SECONDS = 60.0
NODE_SECONDS = 120.0

DAEMONS = (
    "etcd",
    "kube-apiserver",
    "containerd",
    "kubelet",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)


@dataclass(frozen=True, slots=True)
class Boot:
    state: State
    network: Network
    programs: Mapping[str, Path]
    progress: Progress

    def run(self) -> ApiAccess:
        self._make_folders()
        etcd_port, peer_port = free_ports(2)
        endpoints = Endpoints(self.network.node_address, APISERVER_PORT, etcd_port, peer_port)
        authority = Authority(self.state.pki)
        credentials = issue_credentials(authority, endpoints)
        write_kubeconfig(self.state.kubeconfig, endpoints.url, credentials.authority, credentials.admin)
        users = self._write_kubeconfigs(authority, endpoints)
        files = self._write_configs(authority, users["kube-proxy"])
        control = self._start_runner()
        raise_network(self.state, self.network)
        start_storage_and_api(control, self.programs, endpoints, credentials)
        self._start_containerd(control, files)
        wait_for_apiserver(control, endpoints.url, credentials.authority)
        self.progress.say("kube-apiserver is ready")
        self._start_the_rest(control, files, users, credentials)
        access = access_to(self.state, self.programs["kubectl"])
        self._wait_for_node(control, access)
        return access

    def _make_folders(self) -> None:
        for folder in (self.state.logs, self.state.volumes, node.shim_sockets(self.state), self.state.kubelet):
            folder.mkdir(parents=True, exist_ok=True)
        for log in self.state.logs.iterdir():
            log.unlink()

    def _start_runner(self) -> Control:
        """Into our cgroup before it starts anything, so that whatever it starts is counted there."""
        cgroups = Cgroups.of_this_machine(self.state.name)
        cgroups.prepare()
        control = Control(self.state)
        control.spawn().wait()
        runner = next(entry for entry in read_ledger(self.state.ledger) if entry.name == RUNNER)
        cgroups.enter(runner.pid)
        return control

    def _write_kubeconfigs(self, authority: Authority, endpoints: Endpoints) -> dict[str, Path]:
        users = {
            "kube-controller-manager": ("system:kube-controller-manager",),
            "kube-scheduler": ("system:kube-scheduler",),
            "kube-proxy": ("system:kube-proxy",),
            "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
        }
        return {
            name: write_kubeconfig(
                self.state.pki / f"{name}.kubeconfig",
                endpoints.url,
                authority.certificate,
                authority.client(name, *user),
            )
            for name, user in users.items()
        }

    def _write_configs(self, authority: Authority, proxy_kubeconfig: Path) -> NodeFiles:
        serving = authority.server("kubelet-serving", (NODE_NAME, self.network.node_address))
        restrict_oom = node.lacks_sys_resource(Path("/proc/self/status").read_text())
        return node.write_node_files(
            self.state,
            kubelet=node.kubelet_config(self.state, authority.certificate, serving),
            proxy=node.proxy_config(proxy_kubeconfig, self.network),
            containerd=node.containerd_config(
                self.state, self.programs["runc"], cni_folder(), restrict_oom=restrict_oom
            ),
        )

    def _start_containerd(self, control: Control, files: NodeFiles) -> None:
        # containerd looks for its shim on PATH.
        shims = self.programs["containerd-shim-runc-v2"].parent
        path = os.pathsep.join((str(shims), os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")))
        control.start("containerd", node.containerd_command(self.programs["containerd"], files), {"PATH": path})
        wait_until(
            "containerd",
            self.state.containerd_socket.exists,
            seconds=CONTAINERD_SECONDS,
            doomed=lambda: control.ended("containerd"),
        )
        archive = self.state.containerd / "pause.tar"
        archive.write_bytes(pause_archive(read_busybox()))
        import_image(self.programs["ctr"], self.state, archive)
        self.progress.say("containerd is ready")

    def _start_the_rest(
        self, control: Control, files: NodeFiles, users: Mapping[str, Path], credentials: Credentials
    ) -> None:
        commands = {
            "kubelet": node.kubelet_command(
                self.programs["kubelet"], self.state, files, users["kubelet"], self.network
            ),
            "kube-controller-manager": controlplane.controller_manager_command(
                self.programs["kube-controller-manager"], users["kube-controller-manager"], credentials
            ),
            "kube-scheduler": controlplane.scheduler_command(self.programs["kube-scheduler"], users["kube-scheduler"]),
            "kube-proxy": node.proxy_command(self.programs["kube-proxy"], files),
        }
        for name, command in commands.items():
            control.start(name, command)

    def _wait_for_node(self, control: Control, access: ApiAccess) -> None:
        wait_until(
            "the node",
            lambda: node_is_ready(access),
            seconds=NODE_SECONDS,
            every=0.3,
            doomed=lambda: next(filter(None, map(control.ended, DAEMONS)), None),
        )


def node_is_ready(access: ApiAccess) -> bool:
    """Ready and without its start-up taints, and a pod with the default service account would be admitted."""
    shown = access.kubectl("get", f"node/{NODE_NAME}", "serviceaccount/default", "-o", "json")
    if shown.returncode != 0:
        return False
    found = next(item for item in json.loads(shown.stdout)["items"] if item["kind"] == "Node")
    conditions = {entry["type"]: entry["status"] for entry in found["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not found["spec"].get("taints")
