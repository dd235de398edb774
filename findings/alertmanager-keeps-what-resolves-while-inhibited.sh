#!/usr/bin/env bash
# Guess: an alert that was notified, is inhibited later and resolves meanwhile gets its resolved notification
#   (`send_resolved: true`, a webhook's default) when the inhibition ends, or at once: inhibition mutes what
#   fires, and whoever was told of a beginning is told of the end.
# Seen: Alertmanager 0.28.1 never sends it. The resolved alert is muted as a firing one is, and forgotten with the
#   flush that sent nothing. The cause's own resolved notification arrives; nothing more comes after it.
# Why it matters: a symptom fires first, its cause a minute later, both end together: that is how most outages
#   go. What keeps state of its own (PagerDuty, Opsgenie, a ticket, a chat thread) has the symptom open for
#   ever, and a later one is joined to it and wakes nobody. Let causes fire no later than their symptoms (a
#   shorter `for`), or mute the symptom in its expression; or let incidents close themselves after a time.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOBIN=$work nice go install github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1 2>"$work/build.log" ||
  { cat "$work/build.log"; exit 1; }

cat >"$work/ask.py" <<'PYTHON'
import datetime
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request

work = pathlib.Path(sys.argv[1])
told = []
changed = threading.Condition()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        with changed:
            told.extend((alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"])
            changed.notify_all()

    def log_message(self, *_):
        pass


def wait_for(what, seconds=30):
    with changed:
        assert changed.wait_for(lambda: what in told, seconds), f"not told in {seconds} s: {what}; {told}"


def post(**alerts):
    """Tell Alertmanager as Prometheus does: each alert fires for 5 minutes more, or has ended now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    body = [
        {
            "labels": {"alertname": name, "node": "node-1"},
            "startsAt": begin.isoformat(),
            "endsAt": (now + datetime.timedelta(minutes=5) if fires else now).isoformat(),
        }
        for name, fires in alerts.items()
    ]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
config = {
    "route": {
        "receiver": "incidents",
        "group_by": ["alertname"],
        "group_wait": "100ms",
        "group_interval": "1s",
        "repeat_interval": "1h",
    },
    "receivers": [
        {"name": "incidents", "webhook_configs": [{"url": f"http://127.0.0.1:{receiver.server_port}/"}]}
    ],
    "inhibit_rules": [
        {
            "source_matchers": ['alertname="NodeUnreachable"'],
            "target_matchers": ['alertname="PacketLoss"'],
            "equal": ["node"],
        }
    ],
}
(work / "config.yaml").write_text(json.dumps(config))
log = work / "alertmanager.log"
words = [f"--config.file={work / 'config.yaml'}", f"--storage.path={work / 'data'}"]
words += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
with log.open("wb") as output:
    alertmanager = subprocess.Popen([work / "alertmanager", *words], stdout=output, stderr=output)
try:
    begin = datetime.datetime.now(datetime.timezone.utc)
    for _ in range(200):
        try:
            post(PacketLoss=True)
            break
        except ConnectionError:
            time.sleep(0.05)
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ConnectionError):
                raise
            time.sleep(0.05)
    wait_for(("PacketLoss", "firing"))
    post(NodeUnreachable=True)
    wait_for(("NodeUnreachable", "firing"))
    post(PacketLoss=False)  # while the cause still fires
    time.sleep(3)  # three group_intervals
    post(NodeUnreachable=False)
    wait_for(("NodeUnreachable", "resolved"))
    time.sleep(5)  # five more, in which it might come
    print("told:", *(f"{name} {status}" for name, status in told), sep="\n  ")
    assert told == [
        ("PacketLoss", "firing"),
        ("NodeUnreachable", "firing"),
        ("NodeUnreachable", "resolved"),
    ], "PacketLoss is told to have resolved now"
finally:
    alertmanager.terminate()
    alertmanager.wait(20)
PYTHON
env -u HTTP_PROXY -u http_proxy NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 python3 "$work/ask.py" "$work"
