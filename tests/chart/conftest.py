"""What the chart's tests share: the API server, and charts with another chart's values beneath."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from . import helm, kubenurse
from .values import CHART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .admission import Admission


@pytest.fixture(scope="session")
def reused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as `helm upgrade --reuse-values` over kubenurse's sees it: with its values.yaml."""
    chart = tmp_path_factory.mktemp("reused") / CHART.name
    shutil.copytree(CHART, chart)
    (chart / "values.yaml").write_text(yaml.safe_dump(kubenurse.DEFAULTS))
    return chart


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """NOTES.txt for values. Helm prints it in a cluster only: here a manifest holds it."""
    chart = tmp_path_factory.mktemp("notes") / CHART.name
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        f'{{{{ define "notes" }}}}{text}{{{{ end }}}}\n'
        'notes: {{ include "notes" . | toJson }}\n'
    )

    def rendered(values: object = None) -> str:
        shown = helm.template(values, "--show-only", "templates/notes.yaml", chart=chart)
        said: str = yaml.safe_load(shown)["notes"]
        return said

    return rendered


@pytest.fixture(scope="session")
def admission(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A real API server with our CRDs and namespaces of two Pod Security levels."""
    from apiserver.real import real_api_server

    from .admission import Admission

    with real_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield Admission(server)
