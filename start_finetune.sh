#!/usr/bin/env bash
# Makes the environment in .venv if it isn't there yet, then runs finetune.py with the arguments given:
#
#   ./start_finetune.sh [COMMAND] [OPTIONS]      PYTHON=/path/to/python chooses the Python (3.10 to 3.12)
#
# With --install-only it ends after the installation. What this script itself says goes to standard error: standard
# output belongs to finetune.py (`--json`). pipeline/environment.py does the work.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Prints the version of a Python and whether it can make environments: "3.11 yes".
about_python() {
    "$1" -c 'import sys
try:
    import ensurepip, venv
    whole = "yes"
except ImportError:
    whole = "no"
print("%d.%d" % sys.version_info[:2], whole)' 2>/dev/null
}

# Sets `python` to the first Python that fits, or says what is missing.
find_python() {
    local candidate about found="" incomplete=""
    for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.10 python3 python; do
        about=$(about_python "$candidate")
        case "$about" in
            "3.10 yes" | "3.11 yes" | "3.12 yes") python="$candidate"; return ;;
            "3.10 no" | "3.11 no" | "3.12 no") incomplete="${incomplete:-${about% *}}" ;;
            "") ;;
            *) found="$found${found:+, }$candidate is ${about% *}" ;;
        esac
        [ "$candidate" != "${PYTHON:-}" ] || break
    done
    [ -z "$incomplete" ] || fail "Python $incomplete is here, but without the part that makes environments: install it (on Debian and Ubuntu: sudo apt install python$incomplete-venv) and start again."
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON can't be used${found:+ ($found)}: name a Python 3.10, 3.11 or 3.12."
    fail "No Python 3.10, 3.11 or 3.12 was found${found:+ ($found)}: install one from python.org or your system's packages, or name it with PYTHON=/path/to/python."
}

find_python
if [ "${1:-}" = --print-torch-index ]; then
    exec "$python" "$here/pipeline/environment.py" --print-torch-index
fi
"$python" "$here/pipeline/environment.py" || exit
[ "${1:-}" != --install-only ] || exit 0
exec "$here/.venv/bin/python" "$here/finetune.py" ${1+"$@"}
