"""The commands of README.md's quick start, run in a namespace beside Jaeger; prints JSON.

There the ports that it names are free.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import go_programs
from agents import wait_for

from collector import binaries
from collector.servers import answers, process


def main() -> None:
    commands = sys.stdin.read()
    with (
        tempfile.TemporaryDirectory() as folder,
        process([str(binaries.jaeger())], Path(folder) / "jaeger.log"),
    ):
        wait_for(lambda: answers("http://127.0.0.1:14269/"), seconds=60, what="start of Jaeger")
        done = subprocess.run(
            ["bash", "-o", "errexit", "-c", commands],
            cwd=go_programs.ROOT,
            env=os.environ | {"LC_ALL": "C"},  # the order of `sort`
            capture_output=True,
            text=True,
            check=False,
        )
    json.dump({"status": done.returncode, "printed": done.stdout, "said": done.stderr}, sys.stdout)


if __name__ == "__main__":
    main()
