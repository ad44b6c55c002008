#!/usr/bin/env bash
# Install what the tests need of Debian's packages, unless it is there: database servers, strace, and a browser. Nothing is started: the tests do that, in folders of their own.
set -euo pipefail

missing=()
compgen -G "/usr/lib/postgresql/*/bin/postgres" > /dev/null || missing+=(postgresql)
command -v mariadbd > /dev/null || missing+=(mariadb-server)
[ -e /usr/lib/galera/libgalera_smm.so ] || missing+=(galera-4)
command -v rsync > /dev/null || missing+=(rsync)
command -v strace > /dev/null || missing+=(strace)
command -v chromium > /dev/null || missing+=(chromium)
compgen -G "/usr/share/fonts/truetype/*/*" > /dev/null || missing+=(fonts-dejavu-core)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "missing: ${missing[*]}; the tests that need them are left out (as root on Debian, make test would install them)"
    exit 0
fi

echo "installing ${missing[*]} for the tests (about a minute, once)"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy" # no service starts by being installed
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get -q update && apt-get -qy install --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
    cat "$log"
    exit 1
fi
rm -f "$log"
