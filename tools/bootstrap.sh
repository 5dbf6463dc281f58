#!/bin/sh
# Makes .venv ready: finds a Python, makes the virtual environment, installs the locks. The Makefile calls it.
#
#   tools/bootstrap.sh requirements.txt [requirements-test.txt]
#
# Costs nothing when there is nothing to do. Each lock that is installed leaves a copy of itself in .venv, so a changed
# lock is installed again. PYTHON names the interpreter; without it the newest that will do is taken.
set -u

OLDEST="3.11"
IS_NEW_ENOUGH="import sys; sys.exit(sys.version_info < (3, 11))"
PYTHONS="python3.14 python3.13 python3.12 python3.11 python3 python"
UNFINISHED=.venv/unfinished # there while something is being installed, and so after an interruption

# What the shell may hold for another environment.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_NO_COMPILE
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

cd "$(dirname "$0")/.." || exit 2

refuse() {
    echo "Error: $1" >&2
    exit 2
}

version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

# Prints the interpreter to use, or refuses with what is wrong with the best one found.
find_python() {
    too_old="" incomplete=""
    # A list of ours holds no spaces; the one name that is given may.
    # shellcheck disable=SC2086
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- $PYTHONS; fi
    for candidate in "$@"; do
        # A name on the PATH may be a shim that leads nowhere, so it is run and not only looked for.
        version=$(version_of "$candidate") || continue
        if ! "$candidate" -c "$IS_NEW_ENOUGH"; then
            too_old="${too_old:-$candidate is $version}"
        elif ! "$candidate" -c "import ensurepip, venv" 2>/dev/null; then
            incomplete="${incomplete:-$candidate ($version)}"
        else
            echo "$candidate"
            return
        fi
    done
    if [ -n "$incomplete" ]; then
        refuse "$incomplete cannot make virtual environments: it lacks venv or ensurepip. Install them (on Debian and Ubuntu: apt-get install python3-venv), or name another Python: make demo PYTHON=/path/to/python3."
    elif [ -n "$too_old" ]; then
        refuse "Python $OLDEST or newer is needed; $too_old. Install a newer one, or name it: make demo PYTHON=/path/to/python3."
    elif [ -n "${PYTHON:-}" ]; then
        refuse "PYTHON must name a Python of version $OLDEST or newer; $PYTHON does not run. Correct it or leave it out."
    fi
    refuse "Python $OLDEST or newer is needed; none is on the PATH. Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), or name it: make demo PYTHON=/path/to/python3."
}

# Whether .venv is whole: a Python that runs and is new enough, with pip, and nothing interrupted.
is_whole() {
    [ ! -e "$UNFINISHED" ] && .venv/bin/python -c "import pip; $IS_NEW_ENOUGH" 2>/dev/null
}

make_venv() {
    python=$(find_python) || exit 2
    if [ -e "$UNFINISHED" ]; then echo "The last installation was interrupted."; fi
    echo "Making .venv with $python ($(version_of "$python")) ..."
    # What an interrupted installation left looks installed to pip, so it is not mended but made anew.
    { rm -rf .venv && mkdir .venv && : >"$UNFINISHED"; } ||
        refuse "The folder of the program must be writable; $(pwd) is not. Give this user the right to write there."
    if ! "$python" -m venv .venv >.venv/install.log 2>&1; then
        tail -n 3 .venv/install.log >&2
        refuse "$python could not make .venv; the lines above say why. Install what they name, or name another Python: make demo PYTHON=/path/to/python3."
    fi
}

# The installation in short: packages counted while pip talks. All that it says is in .venv/install.log.
show_progress() {
    awk -v wanted="$1" -v terminal="$([ -t 1 ] && echo 1)" '
        /^(Collecting|Requirement already satisfied)/ {
            count += 1
            if (terminal) { printf "\r  %d of about %d packages found", count, wanted; fflush() }
            else if (count % 25 == 0) { printf "  %d of about %d packages found\n", count, wanted; fflush() }
        }
        /^Installing collected packages/ { printf "%s  unpacking them ...", terminal ? "," : ""; fflush() }
        /^ERROR/ { printf "\n%s", $0; fflush() }
        END { print "" }'
}

install() {
    wanted=$(grep -h '^[a-zA-Z0-9]' "$@" | sed 's/==.*//' | sort -u | wc -l)
    for lock in "$@"; do
        shift
        set -- "$@" -r "$lock"
    done
    : >"$UNFINISHED"
    # --compile: .pyc files even where PYTHONDONTWRITEBYTECODE is set; without them every start takes 3 s longer.
    {
        .venv/bin/python -m pip install --require-hashes --compile --progress-bar off "$@" 2>&1
        echo $? >.venv/pip-code
    } | tee .venv/install.log | show_progress $((wanted))
    code=$(cat .venv/pip-code)
    # Until pip unpacks it has changed nothing: what was there still serves, with the network gone for instance.
    if [ "$code" = 0 ] || ! grep -q '^Installing collected packages' .venv/install.log; then rm -f "$UNFINISHED"; fi
    [ "$code" = 0 ] || refuse "The packages must be installed; pip could not (the lines above, more in $(pwd)/.venv/install.log). Mend what they name, often the network, and call make again."
}

begun=$(date +%s)
is_whole || make_venv

for lock in "$@"; do
    if ! cmp -s "$lock" ".venv/$lock"; then
        echo "Installing $(echo "$@" | sed 's/ / and /') into .venv ..."
        install "$@"
        for installed in "$@"; do cp "$installed" ".venv/$installed"; done
        echo "Packages ready in $(($(date +%s) - begun)) s."
        break
    fi
done
