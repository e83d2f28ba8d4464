# The base image is named by its tag. To build from one exact image, pass
# --build-arg BASE=python@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS builder
# What is installed: runtime, or cluster, which adds the drivers of PostgreSQL and of buckets.
ARG REQUIREMENTS=runtime
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The image's own pip fills the environment, so the environment needs no pip.
RUN python -m venv --without-pip /app/.venv
# Dependencies change less often than the code, so they have a layer of their own. These are the
# ones of the extra [server], or of [server,cluster].
COPY requirements/${REQUIREMENTS}.txt requirements/${REQUIREMENTS}.txt
RUN pip --python /app/.venv install --require-hashes -r requirements/${REQUIREMENTS}.txt
# The build tools are pinned too, and are not installed into the environment.
COPY requirements/build.txt requirements/build.txt
RUN pip install --require-hashes -r requirements/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /app/.venv install --no-deps /wheels/*.whl

FROM ${BASE} AS service
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent mlp \
    && install --directory --owner=10001 --group=10001 /data
# The path and the base image are those of the builder, so the environment's links to Python hold.
COPY --from=builder /app/.venv /app/.venv
# Not /data: `python -m` imports code from the working directory, so it must not be writable.
WORKDIR /app
# 0.0.0.0 means all interfaces of the container. Without API keys or MLP_INSECURE=1, `serve`
# refuses to listen there.
# matplotlib ignores a cache directory that it can't write to, and fills an empty one in 0.2 s.
# So its cache is in /tmp, which is writable even under a read-only root, and not in the image.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    MLP_HOST=0.0.0.0 \
    MLP_PORT=8000 \
    MLP_DATA_DIR=/data
# A number, because Kubernetes' runAsNonRoot can't check a name.
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["mlp-service", "health"]
ENTRYPOINT ["mlp-service"]
CMD ["serve"]

# A node of a Ray cluster that can run hosts: docker build --target ray --build-arg REQUIREMENTS=cluster
# Ray has an environment of its own, so that its dependencies decide nothing about ours.
FROM ${BASE} AS ray-builder
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/ray
COPY requirements/ray.txt requirements/ray.txt
RUN pip --python /opt/ray install --require-hashes -r requirements/ray.txt

FROM service AS ray
COPY --from=ray-builder /opt/ray /opt/ray
# Hosts are started by a shell of Ray, whose home they would use otherwise. Nobody may use the
# cluster without its token.
ENV HOME=/data \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    RAY_JOB_STOP_WAIT_TIME_S=8
HEALTHCHECK NONE
ENTRYPOINT ["/opt/ray/bin/ray"]
CMD ["start", "--help"]

# What is built unless a target is named.
FROM service
