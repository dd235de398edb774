"""The cluster's command line: `make cluster ARGS="up"`."""

from __future__ import annotations

import argparse
import os
import sys

from e2e.cluster import programs
from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError


def main() -> int:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("--name", default=os.environ.get("KUBENURSE_E2E_NAME", "kne"))
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="raise it")
    up.add_argument("--nodes", type=int, default=3)
    commands.add_parser("down", help="remove everything of it")
    commands.add_parser("status", help="machines, nodes and pods")
    shell = commands.add_parser("shell", help="a shell (or a command) in its network, with kubectl")
    shell.add_argument("shell_command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.name)
    try:
        if arguments.command == "up":
            cluster.up(arguments.nodes)
        elif arguments.command == "down":
            cluster.down()
        elif arguments.command == "status":
            print(status(cluster))
        else:
            run_in(cluster, arguments.shell_command)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def status(cluster: Cluster) -> str:
    return cluster.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide")


def run_in(cluster: Cluster, command: list[str]) -> None:
    """Become a command in the cluster's network."""
    cluster.enter()
    os.environ["KUBECONFIG"] = str(cluster.credentials.kubeconfig())
    tools = f"{programs.kubernetes('kubectl').parent}:{programs.helm().parent}"
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    command = command or [os.environ.get("SHELL", "/bin/bash")]
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
