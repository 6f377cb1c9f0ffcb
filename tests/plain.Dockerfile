# The recipe that every tutorial has, on the base of kit's images: what `make bench` measures them against.
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv >/dev/null
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/venv \
 && PIP_CERT=/run/secrets/ca /opt/venv/bin/pip install --quiet 'tensorflow[and-cuda]==2.21.0'
ENV PATH=/opt/venv/bin:$PATH
