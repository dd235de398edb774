"""The main panels as pictures for the README: `python -m dashboards.pictures DATA.json`.

DATA.json is what tests/dashboards saw of real agents: KUBENURSE_PICTURES=DATA.json pytest
tests/dashboards/test_live_expressions.py. Draws answers to panels' queries; asks no Prometheus.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dashboards.__main__ import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

PICTURES: Final = Path(__file__).parents[1] / "docs" / "pictures"
_DPI: Final = 80
_WHOSE_TIME: Final = "Whose time: egress, loss, network, far end, own delay"
_PANELS: Final = {
    "failures": ("nodes", "Failing checks: from (rows) to (columns)", None),
    "round_trip": ("nodes", "Network round trip: from (rows) to (columns)", None),
    "steps": ("target", "Steps, stacked", None),
    "loss": ("target", _WHOSE_TIME, "loss"),
    "network round trip": ("target", _WHOSE_TIME, "network round trip"),
    "far end": ("target", _WHOSE_TIME, "far end"),
    "own delay": ("target", _WHOSE_TIME, "own delay"),
}
"""Dashboard, panel, and the legend where a panel has several queries."""


def queries() -> dict[str, str]:
    """Return the drawn panels' expressions by the name that the pictures give them."""
    dashboards = {name: json.loads(text) for name, text in documents().items()}
    return {
        name: next(
            target["expr"]
            for panel in dashboards[f"kubenurse-otel-{dashboard}.json"]["panels"]
            if panel["title"] == title
            for target in panel["targets"]
            if legend in {None, target.get("legendFormat")}
        )
        for name, (dashboard, title, legend) in _PANELS.items()
    }


def draw(data: dict[str, Any], folder: Path) -> None:
    """Write node-to-node.png and target.png."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and only for drawing

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after use()

    folder.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    _matrix(
        left,
        data["failures"],
        "Failing checks",
        lambda value: f"{value:.0%}",
        colours="Reds",
        most=1.0,
    )
    _matrix(
        right,
        data["round_trip"],
        "Network round trip",
        lambda value: f"{value * 1e6:.0f} us",
        colours="Blues",
    )
    _save(figure, folder / "node-to-node.png")

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6))
    steps = list(_lines(data["steps"], "phase"))
    start = steps[0][1][0]
    times = sorted({time for _, moments, _ in steps for time in moments})
    order = ("dns", "connect", "tls", "request")
    rows = sorted(steps, key=lambda one: order.index(one[0]))
    left.stackplot(
        [time - start for time in times],
        [
            [dict(zip(moments, values, strict=True)).get(time, 0) * 1e3 for time in times]
            for _, moments, values in rows
        ],
        labels=[name for name, _, _ in rows],
    )
    left.set(title="me_ingress: steps of a check", xlabel="s", ylabel="ms")
    left.legend(loc="best", fontsize=8)
    for name in ("network round trip", "far end", "loss", "own delay"):
        for _, moments, values in _lines(data[name], ""):
            right.plot(
                [time - start for time in moments], [value * 1e3 for value in values], label=name
            )
    right.set(title="me_ingress: whose time", xlabel="s", ylabel="ms")
    right.set_yscale("symlog", linthresh=0.1)
    right.legend(loc="best", fontsize=8)
    _save(figure, folder / "target.png")


def _matrix(
    axes: Any,
    answer: dict[str, Any],
    title: str,
    text: Any,
    *,
    colours: str,
    most: float | None = None,
) -> None:
    cells = {
        (one["metric"]["source_node"], one["metric"]["target_node"]): float(one["value"][1])
        for one in answer["instant"]["result"]
    }
    sources = sorted({source for source, _ in cells})
    targets = sorted({target for _, target in cells})
    grid = [[cells.get((row, column), float("nan")) for column in targets] for row in sources]
    axes.imshow(grid, cmap=colours, vmin=0, vmax=most, aspect="auto")
    axes.set_xticks(range(len(targets)), targets, fontsize=8)
    axes.set_yticks(range(len(sources)), sources, fontsize=8)
    axes.set(title=title, xlabel="to", ylabel="from")
    top = most or max(cells.values())
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            if value == value:  # noqa: PLR0124 - not NaN
                shade = "white" if value > 0.6 * top else "black"
                axes.text(x, y, text(value), ha="center", va="center", fontsize=8, color=shade)


def _lines(answer: dict[str, Any], *labels: str) -> Iterable[tuple[str, list[float], list[float]]]:
    """Yield (name, times, values) of a range query's series."""
    for one in answer["range"]["result"]:
        name = " ".join(one["metric"].get(label, "") for label in labels).strip()
        pairs = [(float(time), float(value)) for time, value in one["values"] if value != "NaN"]
        yield name, [time for time, _ in pairs], [value for _, value in pairs]


def _save(figure: Any, file: Path) -> None:
    for axes in figure.axes:
        if axes.get_legend():
            axes.set_xlim(left=0)
    figure.tight_layout()
    figure.savefig(file, dpi=_DPI)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboards.pictures", description=__doc__)
    parser.add_argument("data", type=Path)
    draw(json.loads(parser.parse_args().data.read_text()), PICTURES)


if __name__ == "__main__":
    main()
