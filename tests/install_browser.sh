#!/usr/bin/env bash
# Finds a browser for the browser tests, or installs Debian's Chromium where that needs no password.
# Takes the Python of the virtual environment. Ends with 0 also where there is no browser: the tests say
# how many of them were skipped.
set -euo pipefail

python=${1:?usage: install_browser.sh PYTHON}

has_browser() {
    "$python" -c 'from devices.browser.chromium import find_chromium; find_chromium()' 2>/dev/null
}

if has_browser; then
    exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
fi
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "installing Chromium with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq </dev/null >/dev/null || true
    # The headless shell alone is enough and much smaller; older releases have only the whole browser.
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium-headless-shell </dev/null >/dev/null ||
        "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium </dev/null >/dev/null || true
fi

if ! has_browser; then
    echo "no Chromium, Chrome or Edge was found and none could be installed: browser tests will be skipped"
fi
