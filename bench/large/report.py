from __future__ import annotations
import json
from typing import Any
def markdown(results: dict[str, Any]) -> str:
    return json.dumps(results, indent=1)
