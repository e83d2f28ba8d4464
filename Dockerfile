# By tag, for the digest was not known when this was written; to build from exactly one image pass
# --build-arg BASE=python@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS builder
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The image's own pip fills the environment, which needs none of its own.
RUN python -m venv --without-pip /app/.venv
# Dependencies change less often than the code: a layer of their own.
COPY requirements/runtime.txt requirements/runtime.txt
RUN pip --python /app/.venv install --require-hashes -r requirements/runtime.txt
# What builds the wheel is pinned too, and stays out of the environment.
COPY requirements/build.txt requirements/build.txt
RUN pip install --require-hashes -r requirements/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /app/.venv install --no-deps /wheels/*.whl

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent mlp \
    && install --directory --owner=10001 --group=10001 /data
# From the same path of the same base image, so that the environment's links to Python hold.
COPY --from=builder /app/.venv /app/.venv
# Not /data: `python -m` looks for code in the working directory, so nobody may write there.
WORKDIR /app
# All interfaces are the container's own ones; without API keys or MLP_INSECURE=1 `serve` refuses.
# matplotlib ignores a cache directory it can't write to, and needs 0.2 s to fill an empty one:
# so /tmp, which stays writable under a read-only root, and no cache in the image.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    MLP_HOST=0.0.0.0 \
    MLP_PORT=8000 \
    MLP_DATA_DIR=/data
# By number: Kubernetes' runAsNonRoot can't judge a name.
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["mlp-service", "health"]
ENTRYPOINT ["mlp-service"]
CMD ["serve"]
