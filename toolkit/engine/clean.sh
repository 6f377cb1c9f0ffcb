#!/usr/bin/env bash
# Removes what kit made and can make again: its containers, images and cache. Runs, logs and your own images stay.
set -euo pipefail
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"

if docker version >/dev/null 2>&1; then
  docker ps -aq --filter label=org.kit.owner | xargs -r docker rm -f >/dev/null
  docker images -q --filter label=org.kit.image | sort -u | xargs -r docker rmi -f >/dev/null
fi
rm -rf "${XDG_CACHE_HOME:-$HOME/.cache}/kit" "${XDG_STATE_HOME:-$HOME/.local/state}/kit"
