# Sourced by quickstart.sh and test.sh: finds Python, makes .venv in the checkout and installs the project into it.
# Expects $root; takes the pip arguments of the install. Installs only when something that matters has changed.

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found. On Debian 12 or newer: apt-get install -y python3 python3-venv"
}

make_environment() {
    python=$(find_python) || exit 1
    venv="$root/.venv"
    stamp="$venv/.installed-$(printf "%s" "$*" | cksum | cut -d" " -f1)"
    wanted="$("$python" --version) $(cksum <"$root/pyproject.toml") $root $*"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    # Scripts in a virtual environment hold its path, so one that was moved or made by another Python is made anew.
    made="$("$python" --version) $root"
    if [ "$(cat "$venv/.made" 2>/dev/null)" != "$made" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
            fail "This Python cannot make virtual environments. On Debian: apt-get install -y python$version-venv"
        fi
        echo "Making a virtual environment in $venv"
        "$python" -m venv --clear "$venv" || fail "The virtual environment could not be made in $venv."
        printf '%s' "$made" >"$venv/.made"
    fi
    echo "Installing the emulator and what it needs (once; takes a minute or two)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' ||
        fail "pip could not be updated; see the message above. Is the network there?"
    (cd "$root" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@") ||
        fail "The installation failed; see the message above. Run this again once it is mended."
    printf '%s' "$wanted" >"$stamp"
}
