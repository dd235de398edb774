"""An administrator's requests to an API server: one kept connection, plain dictionaries."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_KEEP_SECONDS = 30.0
"""The server ends connections that are idle for longer."""


class Administrator:
    """Asks the API server at ``host:port`` with a bearer token; the CA's file verifies it."""

    def __init__(self, host: str, port: int, *, ca_file: Path, token: str) -> None:
        self._host = host
        self.port = port
        self.admin_token = token
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._connection: http.client.HTTPSConnection | None = None
        self._asked_at = 0.0

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:
        """Ask as the administrator; return (status, decoded answer)."""
        if time.monotonic() - self._asked_at > _KEEP_SECONDS:
            self.close_connection()
        self._asked_at = time.monotonic()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, self.port, context=self._tls, timeout=30
            )
        headers = {
            "Authorization": f"Bearer {self.admin_token}",
            "Content-Type": content_type,
            "Accept": accept,
        }
        try:
            self._connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection()
            raise
        with suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, content.decode(errors="replace")

    def must(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Any:
        status, answer = self.request(method, path, body, content_type)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def merge(self, path: str, change: object) -> Any:
        return self.must("PATCH", path, change, "application/merge-patch+json")

    def delete(self, path: str) -> None:
        self.must("DELETE", path, {"gracePeriodSeconds": 0})

    def token(self, namespace: str, account: str, seconds: int = 3600) -> str:
        """Return a real token of a service account, as the kubelet would mount it."""
        answer = self.must(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
            {"spec": {"expirationSeconds": seconds}},
        )
        return str(answer["status"]["token"])

    def close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
