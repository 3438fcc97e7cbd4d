# The service's image, and one for `docker compose up` with the local AWS in it; docs/image.md says how and why.

# Wheels of exactly what is locked, and the project's own, in an environment that is copied whole. It has no pip: the one
# beside it fills it. pyvips has no wheel on PyPI; it is Python alone, and so is built without a compiler, by the locked
# setuptools. Everything else comes as a wheel or not at all.
FROM docker.io/library/python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.txt requirements/
RUN pip install --no-deps --only-binary :all: --require-hashes -r requirements/build.txt
COPY requirements/runtime.txt requirements/
RUN pip wheel --no-deps --only-binary :all: --no-binary pyvips --no-build-isolation --require-hashes -r requirements/runtime.txt --wheel-dir /wheels \
    && python -m venv --without-pip /opt/truss \
    && pip --python /opt/truss/bin/python install --no-compile --no-deps --no-index /wheels/*.whl
# Of the AWS SDK's descriptions of 400 services, those that are called, and STS, which a pod's service account needs.
# Of the package around Swagger UI, the files that are served.
RUN find /opt/truss/lib/python3.13/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name cloudfront ! -name dynamodb ! -name events ! -name iam ! -name s3 ! -name secretsmanager ! -name sqs ! -name sts -exec rm -r {} + \
    && find /opt/truss/lib/python3.13/site-packages/drf_spectacular_sidecar -type f \
        ! -path '*/swagger-ui-dist/LICENSE' ! -name swagger-ui.css ! -name swagger-ui-bundle.js ! -name favicon-32x32.png -delete
COPY LICENSE README.md pyproject.toml ./
COPY processor processor
COPY service service
COPY clients/python clients/python
# Nothing can be written at run time, so bytecode is made here, and never compared with a source that cannot change.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . ./clients/python \
    && pip --python /opt/truss/bin/python install --no-compile --no-deps --no-index dist/*.whl \
    && /opt/truss/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/truss/lib


FROM docker.io/library/python:3.13-slim-trixie AS local-aws-build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/local-aws.txt requirements/
RUN python -m venv --without-pip /opt/local-aws \
    && pip --python /opt/local-aws/bin/python install --no-compile --no-deps --only-binary :all: --require-hashes -r requirements/local-aws.txt \
    && /opt/local-aws/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/local-aws/lib


FROM docker.io/library/python:3.13-slim-trixie AS runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libjemalloc2=5.3.* \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && rm -r /usr/local/bin/pip* /usr/local/lib/python3.13/ensurepip /usr/local/lib/python3.13/site-packages/pip* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin truss \
    && mkdir /app
COPY --from=build /opt/truss /opt/truss
ENV PATH=/opt/truss/bin:$PATH
# The base image's own modules come without bytecode: importing the service compiles those that it uses.
RUN truss-image --version && python -c 'import pi_heif, processor.sandbox.child, service.server, service.calls.docs'
# The loader looks the allocator up by its name alone, so the architecture is in no path.
# Blocks from 1 MiB on, which pictures are made of, go back to the system at once: what is left of one is no part of the
# next one's peak. Two arenas for all smaller blocks: by default there are four for each processor of the node, and each
# keeps what is free.
ENV LD_PRELOAD=libjemalloc.so.2 \
    MALLOC_CONF=oversize_threshold:1048576,narenas:2 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8080}/images/live\", timeout=4)"]
ENTRYPOINT ["truss-image"]


FROM runtime AS local
USER 0:0
RUN install --directory --owner=10001 --group=10001 /data
COPY --from=local-aws-build /opt/local-aws /opt/local-aws
ENV DATA_DIR=/data LOCAL_AWS_PYTHON=/opt/local-aws/bin/python
USER 10001:10001
VOLUME /data
CMD ["local"]


# What the extra `ai` adds: its packages, in a folder of their own, and the models; docs/analysis.md says what they are.
FROM docker.io/library/python:3.13-slim-trixie AS ai-build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/runtime.txt requirements/ai.txt requirements/models.txt requirements/
RUN grep --invert-match --line-regexp --fixed-strings --file requirements/runtime.txt requirements/ai.txt > requirements/added.txt \
    && pip install --target /opt/ai --no-compile --no-deps --only-binary :all: --require-hashes -r requirements/added.txt \
    && rm -r /opt/ai/bin /opt/ai/numpy/*/tests \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/ai \
    && echo /opt/ai > ai.pth
COPY processor processor
COPY models models
RUN python -m models /opt/models


FROM runtime AS released
ARG VERSION=0.0.0+unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Truss image service" \
      org.opencontainers.image.description="Users upload pictures straight to S3; WebP variants come back behind a CDN." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-trixie"
ENV REVISION=${REVISION}
CMD ["serve"]


FROM released AS service-ai
COPY --from=ai-build /opt/ai /opt/ai
COPY --from=ai-build /opt/models /opt/models
COPY --from=ai-build /src/ai.pth /opt/truss/lib/python3.13/site-packages/
ENV MODELS_DIR=/opt/models
RUN python -c 'import onnxruntime, pathlib, processor.looking.models as looking; looking.check_models(pathlib.Path("/opt/models"))'


FROM released AS service
