"""The Helm chart: what is generated from its values, and its tests with the real helm."""

import sys
from pathlib import Path

# `python -m tests.chart.golden` has the tree on its path, pytest what tests share as well.
sys.path.append(str(Path(__file__).parents[1]))
