#!/usr/bin/env bash
# Guess: a client that watches from a resourceVersion which the API server does not have yet, as each client holds after etcd was
#   restored from a backup, is told so and lists again: a list that asks for it is 504, "Too large resource version".
# Seen: kube-apiserver v1.34.4 on etcd 3.6.4: the watch is 200 and stays empty until its time is over: no ERROR, no bookmark (one that
#   began at the present has one within 60 s), and none of what is made meanwhile. So until etcd has counted as far again.
#   (`etcdutl snapshot restore --bump-revision --mark-compacted` keeps it away.)
# Why it matters: a client that goes on where its watch ended, as it should, sees the cluster of before the restore for hours or
#   days, and every request of it is a success. It has to list again when a watch with bookmarks told nothing.
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

cat >ask.py <<'PYTHON'
import http.client, json, shutil, ssl, subprocess, sys, time

etcd_program, base = sys.argv[1], int(sys.argv[2])
etcd, port = f"http://127.0.0.1:{base}", base + 2
peer = f"http://127.0.0.1:{base + 1}"
MAPS = "/api/v1/namespaces/default/configmaps"
SECONDS = 75  # bookmarks come once a minute
ETCD = [
    etcd_program, "--data-dir=data", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
    f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
]
SERVER = [
    "./kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
    "--advertise-address=127.0.0.1", "--cert-dir=certificates", "--token-auth-file=tokens.csv",
    "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=sa.key",
    "--service-account-signing-key-file=sa.key", "--service-cluster-ip-range=10.96.0.0/16",
    "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
]
running = []


def connect():
    trust = ssl.create_default_context(cafile="certificates/apiserver.crt")
    return http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=SECONDS + 30)


def ask(method, path, body=None, connection=None):
    connection = connection or connect()
    headers = {"Authorization": "Bearer administrator", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    return connection.getresponse()


def version():
    answer = ask("GET", f"{MAPS}?limit=1")
    return int(json.loads(answer.read())["metadata"]["resourceVersion"]) if answer.status == 200 else None


def start():
    for command in (ETCD, SERVER):
        with open("log", "a") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
    end = time.monotonic() + 180
    while True:
        try:
            if ask("GET", "/readyz").status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < end, "the API server does not start"
        time.sleep(0.5)


def stop():
    while running:
        program = running.pop()
        program.terminate()
        program.wait()


def make(count):
    for _ in range(count):
        assert ask("POST", MAPS, {"metadata": {"name": f"made-{time.time_ns()}"}}).status == 201


def watch(since):
    """Status of a watch from there, and the types of what it told while three objects were made."""
    query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={SECONDS}&resourceVersion={since}"
    answer = ask("GET", f"{MAPS}?{query}", connection=connect())
    make(3)
    told = [json.loads(line)["type"] for line in answer]
    return answer.status, told


try:
    start()
    stop()
    shutil.copytree("data", "backup")
    start()
    make(300)
    held = version()
    stop()
    shutil.rmtree("data")
    shutil.move("backup", "data")
    start()
    now = version()
    print(f"a client holds {held}; after the restore the API server is at {now}")
    assert now + 50 < held
    status, told = watch(held)
    print(f"a watch from {held}: {status}, {told} in {SECONDS} s")
    assert (status, told) == (200, [])
    listed = ask("GET", f"{MAPS}?resourceVersion={held}&resourceVersionMatch=NotOlderThan")
    print(f"a list from there: {listed.status}, {json.loads(listed.read())['message']}")
    assert listed.status == 504
    status, told = watch(version())
    print(f"a watch from now: {status}, {told}")
    assert status == 200
    assert told[:3] == ["ADDED"] * 3
    assert "BOOKMARK" in told
finally:
    stop()
PYTHON
python3 ask.py "$work/etcd/etcd" "$base"
