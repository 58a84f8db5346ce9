#!/bin/sh
# Make .venv and install meshd in it (editable), with compiled bytecode.
#   tools/venv.sh            what it needs to run
#   tools/venv.sh dev bench  also these dependency groups of pyproject.toml
# uv is used when it is there; else Python's own venv and pip. Versions are those of uv.lock (constraints.txt for pip).
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

fail() {
    echo "meshd: $1" >&2
    exit 1
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found (set PYTHON to where it is)"
}

make_venv() {
    python=$(find_python)
    if command -v uv >/dev/null && uv venv --quiet --allow-existing --python "$python" "$venv"; then
        return
    fi
    "$python" -m venv "$venv" >/dev/null 2>&1 && return
    rm -rf "$venv"
    # Debian keeps venv in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "meshd: installing python3-venv" >&2
        { apt-get update && apt-get install -y --no-install-recommends python3-venv; } >/dev/null 2>&1 || true
        "$python" -m venv "$venv" && return
    fi
    fail "Python cannot make a virtual environment here: sudo apt-get install python3-venv"
}

install() {
    set -- $groups
    if command -v uv >/dev/null; then
        arguments=""
        for group in "$@"; do arguments="$arguments --group $group"; done
        # shellcheck disable=SC2086
        uv pip install --quiet --python "$venv/bin/python" --compile-bytecode -c constraints.txt $arguments -e . && return
        echo "meshd: uv could not install; trying pip" >&2
        "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || true
    fi
    arguments=""
    for group in "$@"; do arguments="$arguments --group $group"; done
    # Dependency groups came with pip 25.1.
    "$venv/bin/python" -m pip install --quiet --upgrade "pip>=25.1"
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install --quiet -c constraints.txt $arguments -e .
}

groups="$*"
[ -x "$venv/bin/python" ] || make_venv
install
# An editable install leaves our own modules uncompiled; a sidecar that compiles first starts twice as slowly.
"$venv/bin/python" -m compileall -q meshd
