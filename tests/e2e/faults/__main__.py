"""`python -m e2e.faults [NAME...]` (in tests/): run faults, each on a healthy cluster.

With --jobs the faults are shared among so many clusters; --write is of docs/faults.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError
from e2e.faults import all_faults, report, run
from e2e.faults.run import Result
from e2e.faults.scene import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.faults.fault import Fault


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="all of them if none is given")
    parser.add_argument("--cluster", default=os.environ.get("KUBENURSE_E2E_NAME", "kne-faults"))
    parser.add_argument("--keep", action="store_true", help="leave the cluster up afterwards")
    parser.add_argument("--node", default="", help="break this one instead")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--jobs", type=int, default=1, help="on so many clusters at once")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--write", action="store_true", help="the rows into docs/faults.md")
    arguments = parser.parse_args()
    known = all_faults.by_name()
    if arguments.list:
        for fault in known.values():
            print(f"{fault.name:32} {fault.broken}")
        return 0
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    chosen = [known[name] for name in arguments.names] or list(known.values())
    try:
        if arguments.jobs > 1:
            results = on_several(arguments.cluster, chosen, arguments.jobs)
        else:
            results = on_one(arguments.cluster, chosen, arguments.node, keep=arguments.keep)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps([to_json(result) for result in results], indent=1))
    if arguments.write:
        report.write(results, load=f"{os.getloadavg()[2]:.1f} (the mean of 15 minutes)")
    failed = [result.fault.name for result in results if not result.passed]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed {failed}")
    return 1 if failed else 0


def on_one(name: str, faults: Sequence[Fault], node: str, *, keep: bool) -> list[Result]:
    cluster = Cluster(name)
    try:
        cluster.up(compress=run.COMPRESS, scrape="1s")
        with cluster.entered():
            cluster.install(run.VALUES)
            return list(run.run(cluster, faults, node=node))
    finally:
        if not keep:
            cluster.down()


def on_several(name: str, faults: Sequence[Fault], jobs: int) -> list[Result]:
    """Each job is a process with a cluster of its own; a job that dies has failed its faults."""
    found: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for job in range(jobs):
            share, file = [fault.name for fault in faults[job::jobs]], Path(folder) / f"{job}.json"
            command = [sys.executable, "-m", "e2e.faults", "--cluster", f"{name}-{job + 1}"]
            process = subprocess.Popen([*command, "--json", str(file), *share])
            running.append((process, file))
        for process, file in running:
            process.wait()
            if file.exists():
                found |= {one["name"]: from_json(one) for one in json.loads(file.read_text())}
    return [found.get(fault.name) or died(fault) for fault in faults]


def died(fault: Fault) -> Result:
    return Result(fault, passed=False, problem="its job died", seen=Seen(), seconds=0, at="")


def to_json(result: Result) -> dict[str, object]:
    return {
        "name": result.fault.name,
        "passed": result.passed,
        "problem": result.problem,
        "seen": asdict(result.seen),
        "seconds": result.seconds,
        "at": result.at,
    }


def from_json(document: dict[str, Any]) -> Result:
    """Take back what to_json wrote."""
    fields = dict(document)
    fault = all_faults.by_name()[fields.pop("name")]
    return Result(fault=fault, seen=Seen(**fields.pop("seen")), **fields)


if __name__ == "__main__":
    sys.exit(main())
