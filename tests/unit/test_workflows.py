"""The GitHub workflows, as far as can be told without GitHub: what they call, may do and trust."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import go_programs
import pytest
import yaml

from tests.chart import helm

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.y*ml"))
ACTIONLINT = "v1.7.7"

_TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
_USES = re.compile(r"uses: (\S+)(.*)")
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def _read(workflow: Path) -> dict[str, Any]:
    """Return the workflow; its key ``on`` is True, as YAML 1.1 has it."""
    content = yaml.safe_load(workflow.read_text())
    assert isinstance(content, dict)
    return content


def _called(job: dict[str, Any]) -> set[str]:
    """Return the make targets that a job's steps call, the matrix filled in."""
    matrix = job.get("strategy", {}).get("matrix", {})
    every = [*matrix.get("target", []), *(one.get("target") for one in matrix.get("include", []))]
    scripts = "\n".join(step.get("run", "") for step in job.get("steps", []))
    named = set(_MAKE.findall(scripts))
    return named | set(every) if "make ${{ matrix.target }}" in scripts else named


@each_workflow
def test_every_make_target_exists(workflow: Path) -> None:
    """What a workflow asks of make, the Makefile has: what fails there fails at home."""
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    called = {target for job in _read(workflow)["jobs"].values() for target in _called(job)}
    assert set() == called - targets
    assert called


def test_the_gate_installs_nothing_before_the_two_commands() -> None:
    """make demo and make test run on a machine that has Python and make alone."""
    gate = (ROOT / ".ci" / "run").read_text()
    before, found, _ = gate.partition(
        "'make demo ARGS=\"--seconds 30\" && make test ARGS=--nothing-lacking'"
    )
    assert found
    assert re.findall(r"apt-get install (.*?)(?: >|$)", before, re.MULTILINE) == [
        "-y -qq debootstrap"
    ]
    assert before.rstrip().endswith(".ci/minimal-root sh -c")
    assert "--include=python3,make " in (ROOT / ".ci" / "minimal-root").read_text()


@pytest.mark.parametrize("given", [{}, {"CI": "true"}])
def test_the_minimal_root_has_ci_as_it_is_outside(given: dict[str, str]) -> None:
    """With CI hypothesis draws the same examples in each run; without it nobody asked for that."""
    script = (ROOT / ".ci" / "minimal-root").read_text()
    found = re.search(r"^  env -i .*?\\\n.*?(?= \\\n)", script, re.MULTILINE)
    assert found
    command = ["bash", "-euc", f"{found[0]} env"]
    environment = {"PATH": os.environ["PATH"]} | given
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert given.get("CI") == dict(line.split("=", 1) for line in said.stdout.splitlines()).get(
        "CI"
    )


def test_checks_run_what_the_gate_runs() -> None:
    """Each target of .ci/run that GitHub's machines can run is a job, too."""
    gate = set(_MAKE.findall((ROOT / ".ci" / "run").read_text()))
    checks = _read(ROOT / ".github" / "workflows" / "checks.yaml")["jobs"]
    needs_cgroup_v1 = {"e2e"}
    assert set() == gate - needs_cgroup_v1 - {
        name for job in checks.values() for name in _called(job)
    }


def test_every_python_that_we_name_is_run() -> None:
    """pyproject.toml, the checks, the image and docs/compatibility.md agree on the Pythons."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={named[0]}"
    matrix = _read(ROOT / ".github" / "workflows" / "checks.yaml")["jobs"]["make"]["strategy"][
        "matrix"
    ]
    more = [one["python"] for one in matrix["include"] if one["target"] == "test"]
    assert named == [*matrix["python"], *more]
    image = re.search(r"/python:(3\.\d+)-", (ROOT / "Dockerfile").read_text())
    assert image is not None
    assert image[1] in named
    page = (ROOT / "docs" / "compatibility.md").read_text()
    row = re.search(r"^\| Python \|.*$", page, re.MULTILINE)
    assert row is not None
    assert named == sorted(set(re.findall(r"\b3\.1\d\b", row[0])))


def test_every_kubernetes_that_we_pin_is_run() -> None:
    """The oldest and the newest Kubernetes are jobs of their own, beside the one of the gate."""
    pinned = {path.parent.name for path in (ROOT / "tests" / "apiserver").glob("*/go.mod")}
    job = _read(ROOT / ".github" / "workflows" / "checks.yaml")["jobs"]["make"]
    run = [one for one in job["strategy"]["matrix"]["include"] if one.get("kubernetes")]
    assert {("test-apiserver", name) for name in pinned} == {
        (one["target"], one["kubernetes"]) for one in run
    }
    assert {step["env"]["KUBERNETES"] for step in job["steps"] if "env" in step} == {
        "${{ matrix.kubernetes }}"
    }


def test_every_helm_that_we_pin_is_run() -> None:
    """Helm 4 is a job of its own, beside the gate's Helm 3."""
    job = _read(ROOT / ".github" / "workflows" / "checks.yaml")["jobs"]["make"]
    run = [one for one in job["strategy"]["matrix"]["include"] if one.get("helm")]
    assert set(helm.VERSIONS) - {helm.DEFAULT} == {one["helm"] for one in run}
    assert {"chart"} == {one["target"] for one in run}
    assert {step["env"]["HELM"] for step in job["steps"] if "env" in step} == {"${{ matrix.helm }}"}


def test_the_base_image_is_pinned_by_digest() -> None:
    """What is built is what was looked at; dependabot, which reads a FROM and no ARG, renews it."""
    pulled = re.findall(
        r"^FROM (?:--platform=\S+ )?([^$ ]+/\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert len(pulled) == 2
    assert len(set(pulled)) == 1
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", pulled[0])
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yaml").read_text())["updates"]
    assert {"ecosystem": "docker", "directory": "/"} in [
        {"ecosystem": one["package-ecosystem"], "directory": one["directory"]} for one in updates
    ]


def test_nothing_is_renewed_on_the_day_it_comes_out() -> None:
    """Dependabot waits a week: what is withdrawn is withdrawn within days."""
    content = yaml.safe_load((ROOT / ".github" / "dependabot.yaml").read_text())
    assert all(one["cooldown"]["default-days"] >= 7 for one in content["updates"])


@each_workflow
def test_permissions_are_named_and_narrow(workflow: Path) -> None:
    """A workflow says what its token may do; what may write is said job by job."""
    content = _read(workflow)
    assert content["permissions"] in ({}, {"contents": "read"})
    for name, job in content["jobs"].items():
        assert content["permissions"] or "permissions" in job, f"{name} has none"
        assert isinstance(job.get("permissions", {}), dict), f"{name}: write-all, read-all"


@each_workflow
def test_who_may_write_runs_nothing_that_is_built_or_installed(workflow: Path) -> None:
    """Code of this tree, its dependencies and build tools run in jobs whose token can only read."""
    for name, job in _read(workflow)["jobs"].items():
        if "write" not in job.get("permissions", {}).values():
            continue
        for step in job["steps"]:
            action = step.get("uses", "").partition("@")[0]
            assert action in {"", "actions/download-artifact", "sigstore/cosign-installer"}, name
            words = set(re.findall(r"[\w.-]+", step.get("run", "")))
            assert not words & {"make", "pip", "python", "python3", "uv", "go", "npm", "build"}, (
                name
            )


def test_a_signature_is_made_by_who_does_nothing_else() -> None:
    """One job may ask for an identity; it builds nothing, pushes nothing and takes digests."""
    jobs = _read(ROOT / ".github" / "workflows" / "release.yaml")["jobs"]
    assert ["sign"] == [
        name for name, job in jobs.items() if "id-token" in job.get("permissions", {})
    ]
    script = "\n".join(step.get("run", "") for step in jobs["sign"]["steps"])
    commands = set(re.findall(r"^\s*(?:\w+=\$\()?((?:cosign|docker) \w+)", script, re.MULTILINE))
    assert {"cosign login", "cosign sign", "cosign attest", "docker buildx"} == commands


def test_the_release_says_what_is_in_it_and_what_is_known_against_it() -> None:
    """SBOMs and the list of vulnerabilities are files of the release; the list is on its page."""
    jobs = _read(ROOT / ".github" / "workflows" / "release.yaml")["jobs"]
    built = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    assert 'about="dist/' in built
    assert '"spdx-json=${about}.spdx.json"' in built
    assert '"${about}-vulnerabilities.txt"' in built
    assert ">>notes.md" in built
    announced = jobs["announce"]["steps"][-1]["run"]
    assert "dist/*" in announced
    assert "--notes-file notes.md" in announced


@each_workflow
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    """A foreign action is a full commit id with its version beside it, never a branch."""
    for action, comment in _USES.findall(workflow.read_text()):
        if not action.startswith("./"):
            assert _PINNED.fullmatch(action), action
            assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), f"{action}: which version is it?"


@each_workflow
def test_jobs_end_and_keep_no_token(workflow: Path) -> None:
    """Each job has a time limit, and no checkout leaves the token in .git/config."""
    for name, job in _read(workflow)["jobs"].items():
        assert "uses" in job or job.get("timeout-minutes"), f"{name} may run for six hours"
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@each_workflow
def test_no_expression_stands_in_a_script(workflow: Path) -> None:
    """Scripts take what GitHub knows from variables; pasted in, a branch's name would be code."""
    for job in _read(workflow)["jobs"].values():
        for step in job.get("steps", []):
            script = step.get("run", "").replace("make ${{ matrix.target }}", "")
            assert "${{" not in script


@each_workflow
def test_no_secret_but_the_jobs_own_token(workflow: Path) -> None:
    """Nothing has to be stored at GitHub: signing is keyless, the registry takes the token."""
    assert "secrets." not in workflow.read_text()


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_whole(form: Path) -> None:
    """Each form has a name, a description and fields with distinct ids; config.yml has links."""
    content = yaml.safe_load(form.read_text())
    if form.name == "config.yml":
        assert content["contact_links"]
        return
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert sorted(set(ids)) == sorted(ids)
    assert all(field["attributes"]["label"] for field in fields)


@pytest.mark.skipif(shutil.which("go") is None, reason="actionlint is built by Go")
def test_actionlint_has_no_complaint() -> None:
    """The workflows are sound for actionlint (and shellcheck, where that is installed)."""
    actionlint = go_programs.installed(
        go_programs.cached("actionlint", ACTIONLINT),
        f"github.com/rhysd/actionlint/cmd/actionlint@{ACTIONLINT}",
    )
    command = [str(actionlint), "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
