"""What a test holds of a cluster: its address, its kubectl, and tokens of its service accounts."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.progress import ClusterError

KUBECTL_SECONDS = 120
"""Longer than any single call should take. What takes longer is polled for, not waited for inside one call."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    kubeconfig: Path
    url: str
    kubectl_program: Path
    # kubectl caches discovery by host and port, and ports are used again by other clusters.
    kubectl_cache: Path
    certificate_authority: Path | None = None
    # What service accounts asked for, where the API server runs alone.
    audit_log: Path | None = None

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002  subprocess's own word
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """As administrator. `check` turns a failure into an error with kubectl's own words."""
        return self._run(("--kubeconfig", str(self.kubeconfig), *args), input, check=check)

    def kubectl_as(
        self,
        token: str,
        *args: str,
        input: str | None = None,  # noqa: A002  subprocess's own word
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """With nothing but this token: kubectl would prefer the administrator's certificate."""
        trust = (
            ("--certificate-authority", str(self.certificate_authority))
            if self.certificate_authority
            else ("--insecure-skip-tls-verify=true",)
        )
        bare = ("--kubeconfig", os.devnull, "--server", self.url, *trust, "--token", token)
        return self._run((*bare, *args), input, check=check)

    def token_for(
        self,
        service_account: str,
        *,
        namespace: str = "default",
        pod: str | None = None,
        pod_uid: str | None = None,
        seconds: int = 3600,
    ) -> str:
        """By the TokenRequest API, bound to a pod where one is named: the token a mounted volume would hold."""
        bound = ("--bound-object-kind", "Pod", "--bound-object-name", pod) if pod else ()
        uid = ("--bound-object-uid", pod_uid) if pod_uid else ()
        made = self.kubectl(
            "-n", namespace, "create", "token", service_account, f"--duration={seconds}s", *bound, *uid, check=True
        )
        return made.stdout.strip()

    def _run(self, args: tuple[str, ...], text: str | None, *, check: bool) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                (str(self.kubectl_program), "--cache-dir", str(self.kubectl_cache), *args),
                input=text,
                capture_output=True,
                text=True,
                timeout=KUBECTL_SECONDS,
                check=False,
                env={name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"kubectl {' '.join(args)} did not end within {KUBECTL_SECONDS} s: the API server does not answer, "
                "or what it waits for takes longer and is to be polled for."
            ) from error
        if check and done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done
