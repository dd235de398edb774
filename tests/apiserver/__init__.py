"""API servers for tests: a stand-in that can misbehave, and the real kube-apiserver with etcd."""
