# The agent's image. For another base give both of
#   --build-context python=docker-image://IMAGE        python3 (3.11 to 3.14) and ca-certificates
#   --build-context python-here=docker-image://IMAGE   the same python3, and pip
# (buildah and podman: container-image://). No ARG: dependabot renews a digest that it finds in a FROM.
FROM docker.io/library/python:3.14-slim-trixie@sha256:a2b82f3c48559aa0a8446d9af49826b6e2b2016f4cd2afabfe6013ec53729170 AS python
FROM --platform=$BUILDPLATFORM docker.io/library/python:3.14-slim-trixie@sha256:a2b82f3c48559aa0a8446d9af49826b6e2b2016f4cd2afabfe6013ec53729170 AS python-here

FROM python AS base

# Runs on the builder's architecture: the wheels are picked for the target's, nothing is emulated.
FROM --platform=$BUILDPLATFORM python-here AS build
ARG TARGETARCH
WORKDIR /build
COPY requirements.lock ./
RUN case "${TARGETARCH:-$(uname -m)}" in arm64 | aarch64) machine=aarch64 ;; *) machine=x86_64 ;; esac \
 && python3 -m pip install --disable-pip-version-check --no-cache-dir --no-deps --no-compile \
      --require-hashes --only-binary=:all: --platform "manylinux_2_28_${machine}" \
      --platform "manylinux_2_17_${machine}" --platform "manylinux2014_${machine}" \
      --root-user-action=ignore --target /opt/kubenurse-otel --requirement requirements.lock
# kubernetes.aio and what only it needs are never imported.
RUN cd /opt/kubenurse-otel \
 && rm -rf bin kubernetes/aio aio* frozenlist* multidict* propcache* yarl*
COPY kubenurse_otel /opt/kubenurse-otel/kubenurse_otel
# Bytecode of everything but kubernetes' models and API classes, which the agent reads past. Unchecked:
# the files never change, so nothing is asked of the file system. Without docstrings and asserts (-OO):
# a megabyte of the agent's memory; and without columns, half of one more: tracebacks have their lines,
# and no carets below them. Isolated (-I): PYTHONPATH and the like of a pod, which injectors of
# instrumentation set, put no code into the agent.
RUN mkdir bin \
 && printf '#!%s -IBOOu\nimport sys\n\nsys.path.insert(0, "%s")\n\nfrom kubenurse_otel.cli import main\n\nsys.exit(main())\n' \
      "$(command -v python3)" /opt/kubenurse-otel >bin/kubenurse-otel \
 && chmod -R a=rX,u+w /opt/kubenurse-otel && chmod 0755 bin/kubenurse-otel \
 && PYTHONNODEBUGRANGES=1 python3 -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash \
      -x 'kubernetes/client/(models|api)/' /opt/kubenurse-otel

# Programs of the base that change who runs them, with a mode that does not: laid over it below. Nothing
# of the base can be run here, where it may be another architecture's.
RUN --mount=type=bind,from=base,source=/,target=/base \
    test -e "/base$(readlink -f "$(command -v python3)")" \
      || { echo "python and python-here have not the same python3: give both as build contexts" >&2; exit 1; } \
 && mkdir plain && cd /base \
 && find . -xdev -type f -perm /6000 -exec cp --parents --preserve=mode {} /build/plain ';' \
 && chmod -R a-s /build/plain

# The standard library's, which a base has with docstrings: laid over it as well. Same python3, any architecture.
RUN library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && PYTHONNODEBUGRANGES=1 python3 -m compileall -q -j 0 -o 2 --invalidation-mode unchecked-hash \
      -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|pydoc_data|[a-z]*-packages)/' "$library" \
 && find "$library" -name '*.opt-2.pyc' -not -path '*-packages/*' -exec cp --parents {} /build/plain ';'

FROM base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubenurse-otel" \
      org.opencontainers.image.description="Checks a Kubernetes network from every node, and tells apart the network, the far end and itself" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/kubenurse-otel/kubenurse-otel"
COPY --from=build /build/plain /
COPY --from=build /opt/kubenurse-otel /opt/kubenurse-otel
COPY --from=build /build/bin/kubenurse-otel /usr/local/bin/kubenurse-otel
COPY LICENSE /opt/kubenurse-otel/
# One malloc arena: each thread's own would grow by what others freed (docs/scale.md has the figures).
ENV MALLOC_ARENA_MAX=1
# Any uid will do; this one is what runAsNonRoot is checked against where none is given.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/kubenurse-otel"]
