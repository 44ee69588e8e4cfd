#!/bin/sh
# Does the log of this key hold this entry, right behind that one? Asks sh, openssl and coreutils, nobody else.
#     verify.sh VKEY entry.tlog-proof entry.json [prev.json]
# The VKEY must come from somebody you trust, not with the files. Formats: c2sp.org/tlog-proof, RFC 6962 §2.1.
set -eu; export LC_ALL=C; tmp=$(mktemp -d); trap 'rm -r "$tmp"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
raw() { printf %s "$1" | base64 -d 2>/dev/null; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
leaf() { { printf '\000'; cat "$1"; } | openssl dgst -sha256 -binary | base64; }
node() { { printf '\001'; raw "$1"; raw "$2"; } | openssl dgst -sha256 -binary | base64; }
is_hash() { [ "$(raw "$1" | wc -c)" -eq 32 ] && [ "$(raw "$1" | base64)" = "$1" ]; }
is_number() { case $1 in '' | 0?* | *[!0-9]* | ?????????????*) return 1; esac; }
name=${1%%+*} key=${1#*+} entry=$(cat "$3") at=$(leaf "$3") prev=$(printf %064d 0) signed=; id=${key%%+*} key=${key#*+}
[ $# = 3 ] || prev=$(raw "$(leaf "$4")" | hex); exec <"$2"; cd "$tmp"; set --; IFS=
{   read -r form; read -r index; case $index in "extra "*) read -r index; esac
    while read -r line && is_hash "$line"; do set -- "$@" "$line"; done         # the path: $1, $2 …
    read -r origin; read -r size; read -r root; read -r empty; } || fail "the proof is cut off"
[ "$form$line$empty" = c2sp.org/tlog-proof@v1 ] && [ "$index" = "index ${index#index }" ] || fail "no tlog-proof"
index=${index#index }; is_number "$index" && is_number "$size" && is_hash "$root" || fail "no tlog-proof"
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; raw "$key" | tail -c +2; } >key    # Ed25519, in DER
printf '%s\n' "$origin" "$size" "$root" >text
while read -r line || [ "$line" ]; do raw "${line#"— $name "}" >note || continue        # somebody else's signature
    [ "$origin $(head -c 4 note | hex)" = "$name $id" ] || continue; tail -c +5 note >signature
    openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature >&2 || fail "signature"
    signed=yes; done; [ "$signed" ] && [ "$index" -lt "$size" ] || fail "this log signed no entry $index with this key"
i=$index n=$((size - 1)); while [ "$n" -gt 0 ]; do case $((i % 2)),$((i < n)) in        # from the leaf up
    1,*) at=$(node "${1-}" "$at");; 0,1) at=$(node "$at" "${1-}");; *) set -- - "$@"; esac     # alone: it rises
    shift $(($# > 0)); i=$((i / 2)) n=$((n / 2)); done; [ "$at,$#" = "$root,0" ] || fail "inclusion: not entry $index"
case $entry in *",\"index\":$index,\"prev\":\"$prev\",\"subject\":"*) echo "OK entry $index of $size";;
    *) fail "chain: it does not name that entry before it"; esac
