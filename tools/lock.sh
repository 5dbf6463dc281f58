#!/bin/sh
# Pins every package anew after a change in pyproject.toml; `make lock` calls it. With --upgrade, to the newest ones.
#
# The locks hold no address. They keep the extras (`coverage[toml]==...`): without them pip takes a package's wish for
# "coverage[toml]" for another, unpinned requirement, and refuses to install as soon as a newer version is out.
set -eu

cd "$(dirname "$0")/.."
UV=0.13.9
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV"

compile() {
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-python-downloads --no-header \
        --no-emit-index-url --generate-hashes --no-strip-extras "$@"
}

compile "$@" pyproject.toml --output-file requirements.txt
compile "$@" --group pyproject.toml:test --constraints requirements.txt --output-file requirements-test.txt
