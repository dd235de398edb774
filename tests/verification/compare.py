"""Ask Go, curl and us for every form, and print what each says.

Run by hand: PYTHONPATH=tests:. .venv/bin/python -m verification.compare
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from probing import Prober
from servers import FaultServer, answer

from kubenurse_otel.model import Trust
from verification.forms import FORMS, Form
from verification.showing import server_context


def curl(form: Form, ca_file: Path, port: int) -> str:
    done = subprocess.run(
        [
            *("curl", "-sS", "-o", "/dev/null", "--noproxy", "*", "--cacert", str(ca_file)),
            *("--resolve", f"{form.host}:{port}:127.0.0.1", f"https://{form.host}:{port}/"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return "ok"
    return done.stderr.partition("\n")[0].removeprefix("curl: ")


async def ours(form: Form, ca_file: Path, port: int) -> str:
    names = {form.host: ["127.0.0.1"]}
    async with Prober(ca_file=ca_file, names=names) as prober:
        checked = await prober.check(f"https://{form.host}:{port}/", trust=Trust.API_SERVER)
    failure = checked.probe.failure
    return f"{failure.error_type}: {failure.message}" if failure else "ok"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        client = Path(folder) / "client"
        source = Path(__file__).with_name("client.go")
        subprocess.run(["go", "build", "-o", str(client), str(source)], check=True)
        for name, make in FORMS.items():
            form = make()
            ca_file = Path(folder) / "ca.pem"
            ca_file.write_bytes(form.ca_file)
            with FaultServer(answer(), tls=server_context(form, Path(folder))) as server:
                line = f"{ca_file} {form.host} {server.port}\n"
                go = subprocess.run(
                    [client], input=line, capture_output=True, text=True, check=True
                ).stdout.strip()
                says = (go, curl(form, ca_file, server.port))
                us = asyncio.run(ours(form, ca_file, server.port))
            differ = len({word == "ok" for word in (*says, us)}) > 1
            print(name, *says, us, "DIFFER" if differ else "", sep=" | ")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
