# One image for every kind of worker: `docker run dcmrelay KIND`, as docker-compose.yml does.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dcmrelay
WORKDIR /src
# The locked dependencies first: this layer is rebuilt only when they change.
COPY requirements.txt ./
RUN /opt/dcmrelay/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
# What builds the package stays out of the image: an environment of its own.
COPY requirements-build.txt ./
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY dcmrelay dcmrelay
COPY producers producers
COPY consumers consumers
COPY shared shared
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/dcmrelay/bin/pip install --no-deps /tmp/wheel/*.whl

FROM python:3.11-slim-bookworm
# The number is fixed so that the volume of an older image stays readable.
RUN groupadd --system --gid 10001 dcmrelay \
 && useradd --system --uid 10001 --gid dcmrelay --home-dir /var/lib/dcmrelay --shell /usr/sbin/nologin dcmrelay \
 && install -d -m 0700 -o dcmrelay -g dcmrelay /var/lib/dcmrelay
COPY --from=build /opt/dcmrelay /opt/dcmrelay
# Everything the relay writes is for its own account only, whatever the engine's umask is.
RUN printf '#!/bin/sh\numask 077\nexec /opt/dcmrelay/bin/dcmrelay "$@"\n' > /usr/local/bin/dcmrelay \
 && chmod 0755 /usr/local/bin/dcmrelay
ENV DCMRELAY_CONFIG=/etc/dcmrelay/dcmrelay.toml \
    DCMRELAY_METRICS_HOST=0.0.0.0 \
    DCMRELAY_METRICS_PORT=9400 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/dcmrelay
VOLUME /var/lib/dcmrelay
EXPOSE 9400 11112
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 CMD ["/opt/dcmrelay/bin/python", "-c", \
    "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['DCMRELAY_METRICS_PORT']), timeout=4); c.request('GET', '/metrics'); sys.exit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dcmrelay"]
CMD ["--help"]
