"""The cluster's command line: `make cluster ARGS="up"`."""

from __future__ import annotations

import argparse
import os
import sys

from e2e.cluster import programs
from e2e.cluster.cluster import Cluster, build
from e2e.cluster.errors import ClusterError
from e2e.faults import all_faults, held

EPILOG = """
up, install, fault, heal and down are all there is to breaking a network and looking at it:
Prometheus is at http://10.90.0.2:9090 and Jaeger at http://10.90.0.2:16686 of the cluster's own
network (`shell`, or `forward 9090` for a browser on this machine).
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--name",
        default=os.environ.get("KUBENURSE_E2E_NAME", "kne"),
        help="there can be several clusters (default: $KUBENURSE_E2E_NAME or kne)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="raise it; one that is up stays as it is")
    up.add_argument("--nodes", type=int, default=3)
    up.add_argument(
        "--compress",
        type=float,
        default=1.0,
        help="divide the alerts' waits and ranges by this (default: 1)",
    )
    commands.add_parser("build", help="build programs and images that are not in the cache")
    commands.add_parser("install", help="install or upgrade our chart (helm's options: shell)")
    commands.add_parser("status", help="machines, nodes, pods and faults")
    fault = commands.add_parser("fault", help="break something until `heal`; no NAME: list them")
    fault.add_argument("fault", nargs="?", default="", metavar="NAME")
    fault.add_argument("--node", default="", help="which node (default: node-2)")
    heal = commands.add_parser("heal", help="heal one fault, or all")
    heal.add_argument("fault", nargs="?", default="", metavar="NAME")
    shell = commands.add_parser("shell", help="a shell, or a command, in its network, with kubectl")
    shell.add_argument("shell_command", nargs=argparse.REMAINDER, metavar="COMMAND")
    forward = commands.add_parser("forward", help="bring a port of 10.90.0.2 to 127.0.0.1")
    forward.add_argument("port", type=int)
    commands.add_parser("down", help="remove everything of it")
    return parser


def main() -> int:
    arguments = parser().parse_args()
    cluster = Cluster(arguments.name)
    try:
        run(cluster, arguments)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(cluster: Cluster, arguments: argparse.Namespace) -> None:  # noqa: C901 - one line a command
    match arguments.command:
        case "up":
            cluster.up(arguments.nodes, compress=arguments.compress)
            print(status(cluster))
        case "build":
            build()
        case "install":
            cluster.install()
            print(status(cluster))
        case "status":
            print(status(cluster))
        case "fault" if not arguments.fault:
            for fault in all_faults.by_name().values():
                print(f"{fault.name:32} {fault.broken}")
        case "fault":
            held.inject(cluster, arguments.fault, arguments.node)
        case "heal":
            held.heal(cluster, arguments.fault)
        case "shell":
            run_in(cluster, [word for word in arguments.shell_command if word != "--"])
        case "forward":
            cluster.forward(arguments.port)
        case "down":
            held.heal(cluster)
            cluster.down()


def status(cluster: Cluster) -> str:
    if not cluster.is_up:
        raise ClusterError(f"no cluster {cluster.name}: `up` raises it")
    lines = [
        f"cluster {cluster.name} in {cluster.folder}",
        *(
            f"  {machine.name:10} {machine.address:12} {machine.memory_mib():6.0f} MiB"
            for machine in cluster.machines
        ),
    ]
    lines += [f"  fault: {name}" for name in held.names(cluster)]
    listed = cluster.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide")
    return "\n".join([*lines, "", listed])


def run_in(cluster: Cluster, command: list[str]) -> None:
    """Become a command in the cluster's network."""
    cluster.enter()
    tools = cluster.folder / "bin"
    tools.mkdir(exist_ok=True)
    for name, program in (("kubectl", programs.kubernetes("kubectl")), ("helm", programs.helm())):
        (tools / name).unlink(missing_ok=True)
        (tools / name).symlink_to(program)
    os.environ["KUBECONFIG"] = str(cluster.credentials.kubeconfig())
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    command = command or [os.environ.get("SHELL", "/bin/bash")]
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
