FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN groupadd --gid 10001 liquida \
    && useradd --uid 10001 --gid liquida --home-dir /var/lib/liquida --shell /usr/sbin/nologin liquida \
    && install --directory --owner liquida --group liquida --mode 0700 /var/lib/liquida

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY activities activities
COPY api api
COPY chains chains
COPY liquida liquida
COPY migrations migrations
COPY models models
COPY payments payments
COPY workflows workflows
RUN pip install -c constraints.txt . && rm -rf /src

USER liquida
WORKDIR /var/lib/liquida
VOLUME /var/lib/liquida
ENTRYPOINT ["liquida"]
CMD ["--help"]
