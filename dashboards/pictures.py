"""The main panels' queries as pictures for the README: `python -m dashboards.pictures DATA.json`.

DATA.json is what tests/dashboards saw of real agents (KUBENURSE_PICTURES=DATA.json pytest
tests/dashboards/test_live_expressions.py). Draws; asks no Prometheus.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from dashboards import node_to_node, overview, services
from dashboards.queries import RULE

PICTURES: Final = Path(__file__).parents[1] / "docs" / "pictures"
