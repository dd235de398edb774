#!/usr/bin/env bash
# Guess: a kube-apiserver that has just been restarted refuses connections or answers 500 and 503 until it is
#   ready; whatever it does decide by RBAC it decides rightly.
# Seen: kube-apiserver v1.34.4: right after its port is open it answers 403 Forbidden to a list that RBAC allows,
#   as if the role did not exist, with nothing in it that tells it from a role that is missing; then it answers 200.
#   (Its authorizer reads roles from caches that it has begun to fill.) Not at each start, and for 0.1 to 3 s.
# Why it matters: after a 403 a client that gives up, or waits for minutes as one waits for a person who mends a
#   role, is blind long after the API server is back; an alert on 403 accuses the roles.
set -euo pipefail

work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" && wait "$pid" || true; done 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/etcd" "$work/api"

cd "$work/etcd"
printf 'module run\n\ngo 1.24.0\n' >go.mod
go get -tool go.etcd.io/etcd/server/v3@v3.6.4 >/dev/null 2>&1
go build -trimpath "-ldflags=-s -w" -o "$work/etcd/etcd" go.etcd.io/etcd/server/v3

cd "$work/api"
{
  printf 'module run\n\ngo 1.24.0\n\nreplace (\n'
  for name in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider \
    cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client \
    csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator \
    kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils \
    pod-security-admission sample-apiserver; do
    printf '\tk8s.io/%s => k8s.io/%s v0.34.4\n' "$name" "$name"
  done
  printf ')\n'
} >go.mod
go get -tool k8s.io/kubernetes/cmd/kube-apiserver@v1.34.4 >/dev/null 2>&1
go build -trimpath "-ldflags=-s -w" -o kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver

openssl genrsa -out sa.key 2048 2>/dev/null
echo 'administrator,admin,admin,"system:masters"' >tokens.csv
base=$((20000 + RANDOM % 10000))
"$work/etcd/etcd" --data-dir=data --listen-client-urls="http://127.0.0.1:$base" \
  --advertise-client-urls="http://127.0.0.1:$base" --listen-peer-urls="http://127.0.0.1:$((base + 1))" \
  --initial-advertise-peer-urls="http://127.0.0.1:$((base + 1))" \
  --initial-cluster="default=http://127.0.0.1:$((base + 1))" >etcd.log 2>&1 &
pids+=($!)

cat >ask.py <<'PYTHON'
import collections, http.client, json, ssl, subprocess, sys, threading, time

etcd, port = sys.argv[1], int(sys.argv[2])
PODS = "/api/v1/namespaces/default/pods"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
COMMAND = [
    "./kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
    "--advertise-address=127.0.0.1", "--cert-dir=certificates", "--token-auth-file=tokens.csv",
    "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=sa.key",
    "--service-account-signing-key-file=sa.key", "--service-cluster-ip-range=10.96.0.0/16",
    "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
]

def ask(method, path, token, body=None, seconds=5.0):
    trust = ssl.create_default_context(cafile="certificates/apiserver.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=seconds)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()

def ready():
    try:
        connection = ask("GET", "/api/v1/namespaces/default", "administrator")
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return connection[0] == 200

def started(log):
    return subprocess.Popen(COMMAND, stdout=log, stderr=log)

def until_ready():
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end, "the API server does not start"
        time.sleep(0.2)

with open("apiserver.log", "w") as log:
    server = started(log)
    try:
        until_ready()
        account = {"metadata": {"name": "reader"}}
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
        bound = {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "reader"}],
        }
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        for path, made in (
            (accounts, account),
            (f"{ROLES}/clusterroles", account | {"rules": rules}),
            (f"{ROLES}/clusterrolebindings", bound),
        ):
            assert ask("POST", path, "administrator", made)[0] == 201, path
        asked = ask("POST", f"{accounts}/reader/token", "administrator", {"spec": {}})
        token = asked[1]["status"]["token"]
        while ask("GET", PODS, token)[0] != 200:
            time.sleep(0.2)

        def look(seen, done):
            while not done.is_set():
                try:
                    status, answer = ask("GET", PODS, token, seconds=1.0)
                    seen.append((time.monotonic(), status, answer.get("message", "")))
                except (OSError, ValueError, http.client.HTTPException):
                    pass
                done.wait(0.02)

        forbidden = 0
        turn = 0
        while turn < 12 and forbidden < 2:
            turn += 1
            server.terminate()
            server.wait()
            seen, done = [], threading.Event()
            lookers = [threading.Thread(target=look, args=(seen, done)) for _ in range(6)]
            for one in lookers:
                one.start()
            server = started(log)
            until_ready()
            time.sleep(2)
            done.set()
            for one in lookers:
                one.join()
            seen.sort()
            count = collections.Counter(status for _, status, _ in seen)
            refused = [at for at, status, _ in seen if status == 403]
            assert seen[-1][1] == 200, seen[-1]
            forbidden += bool(refused)
            took = refused[-1] - refused[0] if refused else 0.0
            print(f"start {turn}: {dict(count)}, forbidden for {took:.1f} s at least")
            if refused and forbidden == 1:
                print("  ", next(words for _, status, words in seen if status == 403))
    finally:
        server.terminate()
        server.wait()
print(f"forbidden what RBAC allows: in {forbidden} of {turn} starts")
sys.exit(not forbidden)
PYTHON
python3 ask.py "http://127.0.0.1:$base" "$((base + 2))"
