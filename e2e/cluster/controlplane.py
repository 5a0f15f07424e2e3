"""Command lines of the control plane, as pure functions of where things lie and which ports are free."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.pki import Authority, Pair
from e2e.cluster.places import State

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one control plane."""

    address: str
    secure_port: int
    etcd_port: int
    etcd_peer_port: int
    service_cidr: str = "10.96.0.0/16"
    service_address: str = "10.96.0.1"

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.secure_port}"

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd_port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    authority: Path
    serving: Pair
    admin: Pair
    kubelet_client: Pair
    service_accounts: Pair


def issue_credentials(authority: Authority, endpoints: Endpoints) -> Credentials:
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        endpoints.address,
        endpoints.service_address,
    )
    return Credentials(
        authority=authority.certificate,
        serving=authority.server("apiserver", names),
        admin=authority.client("admin", "llmworker-admin", "system:masters"),
        kubelet_client=authority.client("apiserver-kubelet-client", "kube-apiserver", "system:masters"),
        service_accounts=authority.signing_key("service-accounts"),
    )


def etcd_command(program: Path, state: State, endpoints: Endpoints) -> list[str]:
    peers = f"http://127.0.0.1:{endpoints.etcd_peer_port}"
    return [
        str(program),
        "--name=llmworker",
        f"--data-dir={state.etcd}",
        f"--listen-client-urls={endpoints.etcd_url}",
        f"--advertise-client-urls={endpoints.etcd_url}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=llmworker={peers}",
        # The data live as long as the test; a slow disk would make every write a second long.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_command(program: Path, endpoints: Endpoints, credentials: Credentials) -> list[str]:
    """Default admission: pod security, ValidatingAdmissionPolicy and the service accounts' checks are on."""
    return [
        str(program),
        f"--etcd-servers={endpoints.etcd_url}",
        f"--bind-address={endpoints.address}",
        f"--advertise-address={endpoints.address}",
        f"--secure-port={endpoints.secure_port}",
        f"--service-cluster-ip-range={endpoints.service_cidr}",
        f"--tls-cert-file={credentials.serving.certificate}",
        f"--tls-private-key-file={credentials.serving.key}",
        f"--client-ca-file={credentials.authority}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={credentials.service_accounts.certificate}",
        f"--service-account-signing-key-file={credentials.service_accounts.key}",
        # Nobody resolves the node's name here, and exec and logs would look it up.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={credentials.kubelet_client.certificate}",
        f"--kubelet-client-key={credentials.kubelet_client.key}",
        f"--kubelet-certificate-authority={credentials.authority}",
        # One server and no balancer in front of it; a loopback address could not be published anyway.
        *(["--endpoint-reconciler-type=none"] if endpoints.address.startswith("127.") else []),
        # Open watches would hold up a stop for a minute; so long the watchers get to move on.
        "--shutdown-watch-termination-grace-period=1s",
        "--profiling=false",
        "--v=1",
    ]


def strict_options(state: State) -> list[str]:
    """For an API server that runs alone: it keeps a record of who asked for what, and enforces what some clusters do.

    OpenShift lets nobody change the owners of what they may not delete.
    """
    return [
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        f"--audit-policy-file={state.audit_policy}",
        f"--audit-log-path={state.audit_log}",
    ]


AUDIT_POLICY: Mapping[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}],
}


def controller_manager_command(program: Path, kubeconfig: Path, credentials: Credentials) -> list[str]:
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={credentials.service_accounts.key}",
        f"--root-ca-file={credentials.authority}",
        "--profiling=false",
        "--v=1",
    ]


def scheduler_command(program: Path, kubeconfig: Path) -> list[str]:
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
        "--v=1",
    ]
