# Somebody's own packages on an image of kit's, as `kit run script --requirements` has them: toolkit/own/layer.py builds it
# and names the contexts and secrets, those of the Dockerfile and `own` with the resolved packages.txt.
ARG BASE

FROM ${BASE} AS layer
ARG SOURCE_DATE_EPOCH
# hadolint ignore=DL3002
USER 0:0
RUN --mount=type=bind,from=uv,target=/tmp/uv \
    --mount=type=bind,from=wheels,target=/tmp/wheels \
    --mount=type=bind,from=own,target=/tmp/own \
    --mount=type=bind,source=install.sh,target=/tmp/install.sh \
    --mount=type=bind,source=stamp.sh,target=/tmp/stamp.sh \
    --mount=type=cache,target=/tmp/cache \
    --mount=type=secret,id=ca,target=/tmp/ca --mount=type=secret,id=network,target=/tmp/network \
    sh /tmp/install.sh /tmp/own/packages.txt
USER 1000:1000
