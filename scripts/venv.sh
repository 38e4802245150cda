# Sourced by the scripts beside it, in the checkout's top folder: makes $venv (.venv
# unless set) and keeps it in step with the requirements files given as arguments.
# Prints nothing on standard output, so that `scripts/demo --json` prints JSON alone.

venv=.venv python=

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none is on PATH." >&2
    return 1
}

make_venv() {
    python=${python:-$(find_python)} || exit 2
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "Python's venv module is missing. This installs it:" >&2
        echo "    apt-get install -y python3-venv" >&2
        exit 2
    fi
    rm -rf "$venv"
    "$python" -m venv "$venv" >&2 || exit 2
}

ensure_venv() {
    # $1, which names the others, is installed; a change is looked for in all arguments.
    stamp=$venv/installed-$(basename "$1")
    if [ -x "$venv/bin/python" ] && cat "$@" | cmp -s - "$stamp"; then
        return
    fi
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
    echo "Installing $1 into $venv; this takes a minute the first time." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1" >&2 || exit 2
    cat "$@" >"$stamp"
    shift
    for file; do
        cp "$file" "$venv/installed-$(basename "$file")"
    done
}
