"""How the page looks, and the policy that allows this style and nothing else.

Colours have a contrast of 4.5 : 1 or more to what is behind them (WCAG 2.2, 1.4.3), in light and
dark. No attribute ``style``: the policy forbids it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

CSS: Final = "".join(
    line.strip() for line in Path(__file__).with_name("page.css").read_text("utf-8").splitlines()
)
"""On one line."""
_HASH: Final = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy (CSP level 3). ``img-src data:`` is the icon, which is empty."""
