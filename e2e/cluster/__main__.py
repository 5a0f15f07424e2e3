"""`python -m e2e.cluster`: one command for every way to a cluster."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from e2e.cluster.abilities import refuse_tests
from e2e.cluster.apiserver import detached_apiserver_down, detached_apiserver_up
from e2e.cluster.local import LocalNode
from e2e.cluster.places import default_state
from e2e.cluster.progress import ClusterError, Progress
from e2e.cluster.readiness import last_start
from e2e.cluster.source import ClusterSource, Source, open_source


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description="A Kubernetes to test on.")
    parser.add_argument("--source", choices=[each.value for each in Source], default=Source.AUTO.value)
    parser.add_argument("--kubeconfig", type=Path, help="a cluster of yours; its context must be on the allow-list")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_action, line) in COMMANDS.items():
        added = commands.add_parser(name, help=line)
        if name == "load-image":
            added.add_argument("archive", type=Path)
        if name == "run":
            added.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND …")
    return parser.parse_args(words)


def up(arguments: argparse.Namespace, progress: Progress) -> None:
    cluster = open_source(arguments.source, arguments.kubeconfig, progress).up(progress)
    progress.say(f"ready at {cluster.url}")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def ask(arguments: argparse.Namespace, progress: Progress) -> None:
    """What `run` would refuse, for those who come to it after minutes."""
    refuse_tests(open_source(arguments.source, arguments.kubeconfig, progress))


def run(arguments: argparse.Namespace, progress: Progress) -> None:
    source = open_source(arguments.source, arguments.kubeconfig, progress)
    sys.exit(run_on(source, arguments.words, progress))


def run_on(source: ClusterSource, words: Sequence[str], progress: Progress) -> int:
    """What it started it ends, however the command ended: for tests, which bring their images."""
    refuse_tests(source)
    ran_before = source.runs()
    source.up(progress)
    try:
        code = subprocess.run(words, check=False).returncode
    finally:
        if not ran_before:
            source.down(progress)
    # Again, as by now it stands far above.
    if not ran_before and isinstance(source, LocalNode) and (sentence := last_start(source.state)):
        progress.say(sentence)
    return code


def down(arguments: argparse.Namespace, progress: Progress) -> None:
    open_source(arguments.source, arguments.kubeconfig, progress).down(progress)


def status(arguments: argparse.Namespace, progress: Progress) -> None:
    print(open_source(arguments.source, arguments.kubeconfig, progress).status())


def stop_apiserver(arguments: argparse.Namespace, progress: Progress) -> None:
    with progress.step("stopping kube-apiserver"):
        open_source(arguments.source, arguments.kubeconfig, progress).stop_apiserver()


def start_apiserver(arguments: argparse.Namespace, progress: Progress) -> None:
    with progress.step("starting kube-apiserver"):
        open_source(arguments.source, arguments.kubeconfig, progress).start_apiserver()


def load_image(arguments: argparse.Namespace, progress: Progress) -> None:
    with progress.step(f"loading {arguments.archive}"):
        open_source(arguments.source, arguments.kubeconfig, progress).load_image(arguments.archive)


def apiserver_up(_arguments: argparse.Namespace, progress: Progress) -> None:
    access = detached_apiserver_up(default_state(), progress)
    print(f"export KUBECONFIG={access.kubeconfig}")


def apiserver_down(_arguments: argparse.Namespace, progress: Progress) -> None:
    detached_apiserver_down(default_state(), progress)


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Progress], None], str]] = {
    "up": (up, "start the cluster, or leave it running"),
    "ask": (ask, "say at once whether `run` would refuse"),
    "run": (run, "start it, run a command, end it if it did not run before"),
    "down": (down, "end it and everything that it left"),
    "status": (status, "say what runs"),
    "stop-apiserver": (stop_apiserver, "end the API server alone"),
    "start-apiserver": (start_apiserver, "start it again on the same data"),
    "load-image": (load_image, "put an image archive on the node"),
    "apiserver-up": (apiserver_up, "etcd and kube-apiserver alone, beside any node"),
    "apiserver-down": (apiserver_down, "end these two"),
}


def main() -> int:
    arguments = parse()
    try:
        COMMANDS[arguments.command][0](arguments, Progress())
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
