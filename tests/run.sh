#!/usr/bin/env bash
# Makes the environment as start_finetune.sh does, adds what the tests need, and runs every check.
# Arguments go to pytest: `tests/run.sh tests/test_segment.py -k silence`.
set -eu
cd "$(dirname "$0")/.."

./start_finetune.sh --install-only
python=.venv/bin/python
stamp=.venv/installed-dev
if ! cksum requirements.txt requirements-dev.txt | cmp -s - "$stamp"; then
    "$python" -m pip install --disable-pip-version-check --no-input -q --no-deps -r requirements-dev.txt
    cksum requirements.txt requirements-dev.txt >"$stamp"
fi

# A browser, a voice for tests, and pictures for the tabs: by apt, where that may be done without asking.
missing=""
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
command -v espeak-ng >/dev/null || missing="$missing espeak-ng"
[ -n "$(find /usr/share/fonts -name 'NotoColorEmoji*' 2>/dev/null | head -n 1)" ] || missing="$missing fonts-noto-color-emoji"
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    if [ -z "$sudo" ] || sudo -n true 2>/dev/null; then
        echo "Installing$missing"
        { $sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y --no-install-recommends $missing >/dev/null; } ||
            echo "Could not install$missing: the tests that need them will say so."
    else
        echo "Not here, and not installable without a password:$missing. The tests that need them will say so."
    fi
fi

status=0
"$python" -m ruff format --check . || status=1
"$python" -m ruff check . || status=1
"$python" -m mypy || status=1
"$python" -m pytest "$@" || status=1
exit $status
