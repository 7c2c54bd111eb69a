# One image for every command: `serve` (the default), `worker`, `init-db`, `keys create NAME`, ...
#
#   docker build --tag gpt-assistant-api:0.1.0 .
#
# For a release, name the base image by its digest as well; both stages take it from here:
#
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:... --tag ... .

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build

ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never

# The same uv as the Makefile's. It builds and installs, and stays behind in this stage.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    "uv>=0.13,<0.14"

# What changes seldom comes first. The lock holds all that the wheel needs, PostgreSQL's driver too.
WORKDIR /build
COPY requirements.txt ./
RUN uv venv /opt/gpt-assistant-api \
    && uv pip sync --python /opt/gpt-assistant-api/bin/python --require-hashes --compile-bytecode \
        requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN uv build --wheel --out-dir dist \
    && uv pip install --python /opt/gpt-assistant-api/bin/python --no-deps --compile-bytecode \
        dist/*.whl


FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="GPT Assistant API" \
      org.opencontainers.image.licenses="MIT"

# By number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 assistant \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin \
        assistant \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data

COPY --from=build /opt/gpt-assistant-api /opt/gpt-assistant-api

# TMPDIR: an upload is put aside until it is stored, and /data is all that is written.
ENV PATH=/opt/gpt-assistant-api/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    TMPDIR=/data \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_FORMAT=json

# A folder without a file `.env`, which would be read.
WORKDIR /opt/gpt-assistant-api
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Asks this container itself, past any proxy of the environment. Switch it off for other commands.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]

ENTRYPOINT ["gpt-assistant-api"]
CMD ["serve"]
