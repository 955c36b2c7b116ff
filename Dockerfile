# `docker build .` gives an image whose entry point is the command `streamwarden`;
# `--target demo` adds the three services of docker-compose.yml to it.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/streamwarden
ENV PATH=/opt/streamwarden/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
# What it depends on changes less often than itself, and so is a layer of its own. Wheels only: an
# image without a compiler is the same image everywhere.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['registry'], sep='\n')" >requirements.txt \
 && pip install --no-cache-dir --only-binary :all: -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps . \
 # The services install nothing: what could is left out.
 && pip uninstall --yes --quiet setuptools pip

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title=streamwarden \
      org.opencontainers.image.description="Declarative policy enforcement for Kafka event streams" \
      org.opencontainers.image.licenses=Apache-2.0
# Its home is where guards keep their last good policy; mount a volume there to keep that longer.
RUN useradd --uid 10001 --user-group --home-dir /var/lib/streamwarden --shell /usr/sbin/nologin streamwarden \
 && install --directory --owner streamwarden --group streamwarden /var/lib/streamwarden
COPY --from=build /opt/streamwarden /opt/streamwarden
ENV PATH=/opt/streamwarden/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_STATE_HOME=/var/lib/streamwarden
USER streamwarden
WORKDIR /var/lib/streamwarden
ENTRYPOINT ["streamwarden"]
CMD ["--help"]

FROM runtime AS demo
COPY deploy/demo /opt/demo

# The last stage is what is built when nobody says which.
FROM runtime
