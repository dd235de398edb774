"""HTTP GET of JSON from Prometheus and Jaeger; whoever asks is in the cluster's network."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_SECONDS: Final = 10.0
# A proxy of the environment is not in the cluster's network.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, parameters: Mapping[str, str] | None = None) -> Any:
    """Return the JSON there. Raises ClusterError for a refusal, OSError where nobody answers."""
    return json.loads(get_text(url, parameters))


def get_text(url: str, parameters: Mapping[str, str] | None = None) -> str:
    """Return the body there. Raises as ``get``."""
    full = f"{url}?{urllib.parse.urlencode(parameters)}" if parameters else url
    try:
        with _OPENER.open(full, timeout=_TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode(errors="replace")
        raise ClusterError(f"{error.code} from {full}: {body}") from error
    except http.client.HTTPException as error:
        raise ConnectionError(f"half an answer from {full}: {error!r}") from error


def answers(url: str) -> bool:
    """Whether a server is there and says 2xx."""
    try:
        get_text(url)
    except (ClusterError, OSError):
        return False
    return True
