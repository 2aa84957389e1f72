#!/usr/bin/env bash
# Makes the environment in .venv if it isn't there yet, then runs finetune.py with the arguments given.
#
#   ./start_finetune.sh [COMMAND] [OPTIONS]      PYTHON=/path/to/python chooses the Python (3.10 to 3.12)
#
# TORCH_INDEX says where PyTorch comes from instead of the choice below: `plain` for the usual package index, or a URL.
# For tests: --install-only ends after the installation, --print-torch-index only prints the choice.
# What this script says goes to standard error: standard output belongs to finetune.py (`--json`).
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 1
venv="$here/.venv"
stamp="$venv/installed"     # written last: what was installed, so its presence means whole
mark="$venv/installing"     # there while an installation runs, or after one was interrupted
pytorch="${PYTORCH_WHEELS:-https://download.pytorch.org/whl}"
oldest_cuda=12.0            # of the driver: what PyTorch's CUDA 12.6 build can still work with
plain_cuda=12.8             # of the driver: what the build of the plain index is made for
plain_capability=7.0        # of the GPU: CUDA 12.8 builds have no code for older ones, CUDA 12.6 builds do

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { split(a, x, "."); split(b, y, "."); exit !(x[1] + 0 > y[1] + 0 || (x[1] + 0 == y[1] + 0 && x[2] + 0 >= y[2] + 0)) }'; }

# ---- Python ----------------------------------------------------------------------------------------------------

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
        about=$(about_python "$candidate") || {
            [ "$candidate" != "${PYTHON:-}" ] || fail "PYTHON=$PYTHON can't be run: name a Python 3.10, 3.11 or 3.12."
            continue
        }
        case "$about" in
            "3.10 yes" | "3.11 yes" | "3.12 yes") python="$candidate"; return ;;
            "3.10 no" | "3.11 no" | "3.12 no") incomplete="${incomplete:-${about% *}}" ;;
            *) found="$found${found:+, }$candidate is ${about% *}" ;;
        esac
        [ "$candidate" != "${PYTHON:-}" ] || fail "PYTHON=$PYTHON can't be used (it is ${about% *}${incomplete:+ without venv}): name a Python 3.10, 3.11 or 3.12 with venv."
    done
    [ -z "$incomplete" ] || fail "Python $incomplete is here, but without the part that makes environments: install it (on Debian and Ubuntu: sudo apt install python$incomplete-venv) and start again."
    fail "No Python 3.10, 3.11 or 3.12 was found${found:+ ($found)}: install one from python.org or your system's packages, or name it with PYTHON=/path/to/python."
}

# ---- Which PyTorch ---------------------------------------------------------------------------------------------

# Prints what the NVIDIA driver and GPU ask for: none, old (no build works with that driver), cu126, cu128.
nvidia_build() {
    local smi cuda capability
    smi=$(command -v nvidia-smi || echo /usr/lib/wsl/lib/nvidia-smi)
    cuda=$("$smi" 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9][0-9.]*\).*/\1/p' | head -n 1)
    if [ -z "$cuda" ]; then echo none; return; fi
    # Of several GPUs the newest counts; an empty answer (very old drivers) is no reason against the usual build.
    capability=$("$smi" --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep '^[0-9]' | sort -rn | head -n 1)
    if ! at_least "$cuda" "$oldest_cuda"; then
        echo old
    elif ! at_least "$cuda" "$plain_cuda" || ! at_least "${capability:-$plain_capability}" "$plain_capability"; then
        echo cu126
    else
        echo cu128
    fi
}

# Whether an index of PyTorch answers within five seconds. Asked with Python, which knows proxies and is there.
answers() {
    "$python" - "$1/torch/" <<'PY' >/dev/null 2>&1
import sys, threading, os, urllib.request
threading.Timer(5.5, os._exit, [1]).start()  # a name that isn't found may take longer than any socket's timeout
urllib.request.urlopen(sys.argv[1], timeout=5).close()
os._exit(0)
PY
}

# Prints where PyTorch should come from: `plain`, or the URL of one of PyTorch's own indexes.
torch_index() {
    if [ -n "${TORCH_INDEX:-}" ]; then echo "$TORCH_INDEX"; return; fi
    if [ "$(uname -s)" != Linux ]; then echo plain; return; fi
    local build
    build=$(nvidia_build)
    case "$build/$(uname -m)" in
        cu126/*) echo "$pytorch/cu126" ;;
        cu128/x86_64) echo plain ;;
        cu128/*) echo "$pytorch/cu128" ;;  # the plain index has no CUDA build for other processors
        *)
            [ "$build" != old ] || say "The NVIDIA driver is too old for every build of this PyTorch: update it to one for CUDA $plain_cuda and start again; until then the CPU is used."
            if answers "$pytorch/cpu"; then echo "$pytorch/cpu"; else echo plain; fi ;;
    esac
}

# ---- The installation ------------------------------------------------------------------------------------------

wanted() { cksum <"$here/requirements.txt"; }

# Whether .venv is whole, made from these requirements, and still fits the machine.
is_installed() {
    [ -f "$stamp" ] && [ ! -f "$mark" ] || return 1
    [ "$(sed -n 1p "$stamp")" = "$(wanted)" ] || return 1
    "$venv/bin/python" -c '' 2>/dev/null || return 1
    case "$(sed -n 2p "$stamp")" in
        */cpu) [ -n "${TORCH_INDEX:-}" ] || case "$(nvidia_build)" in none | old) ;; *) say "An NVIDIA GPU is here now: PyTorch is installed anew."; return 1 ;; esac ;;
    esac
}

check_disk() {
    local needed=12 free
    case "$(uname -s)/$1" in Darwin/* | */cpu) needed=4 ;; esac
    free=$(df -Pk "$here" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ -z "$free" ] || [ "$free" -ge "$needed" ] || fail "There is not enough disk space: the installation needs $needed GB, and $here has $free GB free."
}

pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --log "$venv/install.log" "$@" >&2 || explain_failure
}

# Says in one sentence why pip failed, as far as its log tells.
explain_failure() {
    local log="$venv/install.log"
    if grep -q "No space left on device" "$log"; then
        fail "The disk became full during the installation: free some space (12 GB are needed; pip's cache counts) and start again."
    elif grep -qE "Temporary failure in name resolution|nodename nor servname|Network is unreachable|Connection refused|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError" "$log"; then
        fail "The packages could not be downloaded, because the package index can't be reached: check the network (and the proxy, if there is one) and start again."
    fi
    fail "The installation failed; the last lines above say why, and all of it is in $log. Start again to repeat it."
}

# PyTorch from its own index first, then everything else without what belongs to the plain index's PyTorch.
install_packages() {
    local index="$1" rest="$venv/requirements.txt"
    if [ "$index" = plain ]; then
        pip_install --no-deps -r "$here/requirements.txt"
    else
        local torch torchaudio
        torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' "$here/requirements.txt")
        torchaudio=$(sed -n 's/^\(torchaudio==[^ ;]*\).*/\1/p' "$here/requirements.txt")
        [ -z "$torch" ] || pip_install --force-reinstall $torch $torchaudio --index-url "$index"
        grep -vE '^(torch|torchaudio|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==' "$here/requirements.txt" >"$rest"
        pip_install --no-deps -r "$rest"
    fi
}

install() {
    find_python
    local index other
    if [ -f "$mark" ]; then
        other=$(cat "$mark")
        [ -z "$other" ] || ! kill -0 "$other" 2>/dev/null || fail "Another start is installing just now (process $other): wait until it has finished. If that isn't so, delete the folder .venv and start again."
        say "The last installation did not finish: it is made anew."
        rm -rf "$venv"
    fi
    [ "$(uname -s)/$(uname -m)" != Darwin/x86_64 ] || fail "PyTorch is no longer built for Macs with Intel processors, so the program can't run on this one."
    index=$(torch_index)
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || { rm -rf "$venv"; check_disk "$index"; }
    mkdir -p "$venv" && echo $$ >"$mark" || fail "$venv can't be written: put the program into a folder of your own."
    rm -f "$stamp"
    trap 'say "The installation was interrupted; the next start repeats it."; exit 130' INT TERM
    say "Installing what the program needs into .venv (once; some minutes and up to 9 GB). PyTorch: $index."
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" >&2 || fail "The environment could not be made with $python: the lines above say why."
    # pip unpacks gigabytes: not in a /tmp that may lie in memory.
    export TMPDIR="$venv/tmp"
    mkdir -p "$TMPDIR"
    install_packages "$index"
    rm -rf "$TMPDIR"
    unset TMPDIR
    printf '%s\n%s\n' "$(wanted)" "$index" >"$stamp"
    rm -f "$mark"
    trap - INT TERM
    say "Everything is installed."
}

if [ "${1:-}" = --print-torch-index ]; then
    find_python
    torch_index
    exit
fi
is_installed || install
[ "${1:-}" != --install-only ] || exit 0
exec "$venv/bin/python" "$here/finetune.py" ${1+"$@"}
