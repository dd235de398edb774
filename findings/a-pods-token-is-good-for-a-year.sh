#!/usr/bin/env bash
# Guess: a service account token that was asked for an hour is refused after an hour; a client that reads its file once, and never
#   again, fails then.
# Seen: kube-apiserver v1.34.4: the token of a pod is asked for 3,607 s (the volume that admission adds says so), its status says
#   one hour as well, and the token itself is good for a year: `exp` is 31,536,000 s after `iat`, and `warnafter` is the hour.
#   3,600, 3,608 and 7,200 s are what was asked for, and so is 3,607 s without a pod: that number alone means "a year".
#   (--service-account-extend-token-expiration, on by default, for clients of the time before tokens ended.)
# Why it matters: a client that never reads its token again passes each test, and works until its pod is a year old, or until somebody
#   gives it a projected volume with a round number: then it fails after an hour. (A pod's token ends with the pod in any
#   case: 401 after it was deleted, seen here too.)
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
import base64, calendar, http.client, json, ssl, subprocess, sys, time

etcd, port = sys.argv[1], int(sys.argv[2])
HERE = "/api/v1/namespaces/default"
HOUR, YEAR = 3607, 365 * 24 * 3600
COMMAND = [
    "./kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
    "--advertise-address=127.0.0.1", "--cert-dir=certificates", "--token-auth-file=tokens.csv",
    "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=sa.key",
    "--service-account-signing-key-file=sa.key", "--service-cluster-ip-range=10.96.0.0/16",
    "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
]


def ask(method, path, body=None, token="administrator"):
    trust = ssl.create_default_context(cafile="certificates/apiserver.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def until(status, *request, token="administrator"):
    end = time.monotonic() + 120
    while True:
        try:
            if ask(*request, token=token)[0] == status:
                return
        except (OSError, ValueError, http.client.HTTPException):
            pass
        assert time.monotonic() < end, f"no {status} of {request}"
        time.sleep(0.5)


def asked_for(seconds, pod):
    """Lifetimes of a token: what its status says, what it says itself, and `warnafter`."""
    spec = {"expirationSeconds": seconds} | ({"boundObjectRef": pod} if pod else {})
    made, answer = ask("POST", f"{HERE}/serviceaccounts/reader/token", {"spec": spec})
    assert made == 201, answer
    token = answer["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
    began = claims["iat"]
    says = time.strptime(answer["status"]["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
    warned = claims["kubernetes.io"].get("warnafter", began) - began
    return calendar.timegm(says) - began, claims["exp"] - began, warned, token


with open("apiserver.log", "w") as log:
    server = subprocess.Popen(COMMAND, stdout=log, stderr=log)
try:
    until(200, "GET", HERE)
    assert ask("POST", f"{HERE}/serviceaccounts", {"metadata": {"name": "reader"}})[0] == 201
    spec = {"serviceAccountName": "reader", "containers": [{"name": "a", "image": "a"}]}
    made, pod = ask("POST", f"{HERE}/pods", {"metadata": {"name": "reader"}, "spec": spec})
    assert made == 201, pod
    (projected,) = (one["projected"] for one in pod["spec"]["volumes"])
    volume = projected["sources"][0]["serviceAccountToken"]["expirationSeconds"]
    print(f"the volume that a pod gets asks for {volume} s")
    assert volume == HOUR
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "reader"}
    for seconds in (600, 3600, HOUR, 3608, 7200):
        for to in (None, bound):
            status, itself, warned, _ = asked_for(seconds, to)
            print(f"asked for {seconds} s, {'of the pod' if to else 'of no pod'}: status {status} s, exp {itself} s, warnafter {warned} s")
            year = seconds == HOUR and to is bound
            assert (status, itself, warned) == (seconds, YEAR if year else seconds, HOUR if year else 0)
    token = asked_for(HOUR, bound)[-1]
    until(403, "GET", f"{HERE}/pods", token=token)  # known, and not allowed to list pods
    assert ask("DELETE", f"{HERE}/pods/reader", {"gracePeriodSeconds": 0})[0] == 200
    until(401, "GET", f"{HERE}/pods", token=token)
    print("pod deleted: its token is refused")
finally:
    server.terminate()
    server.wait()
PYTHON
python3 ask.py "http://127.0.0.1:$base" "$((base + 2))"
