# syntax=docker/dockerfile:1
# Built in two stages: the first installs with hashes only, the second runs without pip's caches, as a user without rights.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/ledger
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/ledger/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml LICENSE README.md ./
COPY ledger ledger
RUN /opt/ledger/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="ledger" org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/ledger/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LEDGER_HOME=/var/lib/ledger
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/ledger --create-home ledger
COPY --from=build /opt/ledger /opt/ledger
USER ledger
WORKDIR /var/lib/ledger
VOLUME /var/lib/ledger
EXPOSE 8000 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ledger"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
