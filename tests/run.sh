#!/usr/bin/env bash
# Runs the tests, with an engine where there is one or one can be started.
set -euo pipefail
[ -x /usr/bin/docker ] && export PATH="/usr/bin:$PATH"

if ! docker version >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    bash toolkit/engine/setup.sh || echo "tests: no engine could be started; what needs one is skipped" >&2
  fi
fi
# Compiled once, and not in every process that a test starts; some machines keep Python from doing so.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/python -m compileall -q toolkit workloads
exec .venv/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
