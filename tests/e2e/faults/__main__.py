"""`python -m e2e.faults [NAME...]` (in tests/): run faults on a cluster that is up."""

from __future__ import annotations

import argparse
import os
import sys

from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError
from e2e.faults import all_faults, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="all of them if none is given")
    parser.add_argument("--cluster", default=os.environ.get("KUBENURSE_E2E_NAME", "kne"))
    parser.add_argument("--node", default="", help="break this one instead")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    known = all_faults.by_name()
    if arguments.list:
        for fault in known.values():
            print(f"{fault.name:32} {fault.broken}")
        return 0
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    cluster = Cluster(arguments.cluster)
    try:
        cluster.up(compress=run.COMPRESS, scrape="1s")
        cluster.enter()
        cluster.install(run.VALUES)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    chosen = [known[name] for name in arguments.names] or list(known.values())
    results = list(run.run(cluster, chosen, node=arguments.node))
    failed = [result.fault.name for result in results if not result.passed]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
