# docker build -t nearcast .           (--build-arg BASE=... : any image with Python >= 3.11 and its venv module)
#
# Runs as uid 10001 with a read-only root: everything that is written goes to /data (the SQLite store, uploads
# while they are read, and numba's compiled kernels, which fit the processor at hand and so cannot be baked in).
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/nearcast \
    && /opt/nearcast/bin/python -m pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements.lock \
    && python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY service service
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist \
    && /opt/nearcast/bin/python -m pip install --no-cache-dir --no-deps --no-index /dist/nearcast-*.whl \
    && /opt/nearcast/bin/python -m pip check \
    && /opt/nearcast/bin/python -m pip uninstall --yes pip

FROM ${BASE}
LABEL org.opencontainers.image.title="nearcast" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/nearcast /opt/nearcast
RUN mkdir /data && chown 10001:10001 /data
ENV PATH=/opt/nearcast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    TMPDIR=/data \
    NUMBA_CACHE_DIR=/data/numba \
    NEARCAST_DATABASE_URL=sqlite:////data/nearcast.db \
    NEARCAST_HOST=0.0.0.0 \
    NEARCAST_PORT=8000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f\"http://127.0.0.1:{os.environ['NEARCAST_PORT']}/healthz\", timeout=4)"]
CMD ["nearcast", "serve"]
