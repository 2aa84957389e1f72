#!/usr/bin/env bash
# Makes requirements.txt and requirements-dev.txt from the .in files: exact versions for Linux, Windows and macOS and
# Python 3.10 to 3.12, by markers. Arguments go to uv: `tests/lock.sh --upgrade-package gradio`.
set -eu
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --disable-pip-version-check -q uv

compile() {
    "$tools/bin/uv" pip compile --quiet --universal --no-annotate --no-emit-index-url --no-emit-find-links \
        --python-version 3.10 --custom-compile-command tests/lock.sh "$@"
}
compile requirements.in -o requirements.txt "$@"
compile requirements-dev.in -o requirements-dev.txt "$@"
