"""What is said about variables that are set and that the agent does not read.

Owns OpenTelemetry's refused and ignored ones, Kubernetes' service links, and typing errors. Their
values are never repeated: they may be secrets.
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from kubenurse_otel.config.environment import is_service_link
from kubenurse_otel.config.reader import Reader, Setting, Source
from kubenurse_otel.config.table import BY_NAME, UNREAD
from kubenurse_otel.config.variable import Unread, Use
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_KUBENURSE = "KUBENURSE_"
_OTEL = "OTEL_"


def report_unread(
    reader: Reader, environ: Mapping[str, str], *, without_opentelemetry: bool = False
) -> None:
    """Add a setting for each, a warning where something has no effect.

    ``without_opentelemetry``: the SDK is disabled, and OTEL_* are not even looked at.
    """
    prefixes = (_KUBENURSE,) if without_opentelemetry else (_KUBENURSE, _OTEL)
    for name, text in sorted(environ.items()):
        if not name.startswith(prefixes) or name in BY_NAME or not text.strip():
            continue
        if is_service_link(name, text.strip()):
            note = "set by Kubernetes for a Service"
        elif row := _row(name):
            note = row.help
            _report(reader, row, name, text.strip())
        else:
            note = "not known"
            nearest = difflib.get_close_matches(name, BY_NAME, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            reader.warn(f"{printable(name, 100)}: not known, and without effect{hint}")
        reader.settings[name] = Setting(
            name=printable(name, 100), value="***", source=Source.IGNORED, note=note
        )


def _row(name: str) -> Unread | None:
    return next((row for row in UNREAD if fnmatchcase(name, row.name)), None)


def _report(reader: Reader, row: Unread, name: str, text: str) -> None:
    if row.use is Use.REFUSED and text.lower() not in row.harmless:
        reader.warn(f"{name}: overridden. {row.help}")
