#!/bin/bash
# Does the log of this key hold this entry, right behind that one? Asks bash, openssl and coreutils, nobody else.
#     verify.sh VKEY entry.tlog-proof entry.json [prev.json]
# The VKEY must come from somebody you trust, not with the files. Formats: c2sp.org/tlog-proof, RFC 6962 §2.1.
set -euo pipefail; export LC_ALL=C; tmp=$(mktemp -d); trap 'rm -r "$tmp"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
hex() { base64 -d <<<"$1" | basenc -w0 --base16; }
raw() { basenc -d --base16 <<<"${1^^}"; }
leaf() { { printf '\0'; cat "$1"; } | sha256sum | cut -c-64; }
node() { { printf '\1'; raw "$1$2"; } | sha256sum | cut -c-64; }
number='^(0|[1-9][0-9]{0,11})$' hash='^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$' path=() signed=
name=${1%%+*} key=${1#*+} id=${key%%+*} key=${key#*+}; exec <"$2"; IFS=
{   read -r form; read -r index; [[ $index != "extra "* ]] || read -r index; index=${index#index }
    while read -r line && [[ $line =~ $hash ]]; do path+=("$line"); done
    read -r origin; read -r size; read -r root; read -r empty; } || fail "the proof is cut off"
[[ $form$line$empty = c2sp.org/tlog-proof@v1 && $index =~ $number && $size =~ $number && $root =~ $hash ]] || fail "no tlog-proof"
raw "302a300506032b6570032100$(hex "$key" | cut -c3-)" >"$tmp/key"; printf '%s\n' "$origin" "$size" "$root" >"$tmp/body"
while read -r line || [[ $line ]]; do blob=$(hex "${line#"— $name "}" 2>&-) || continue     # somebody else's signature
    [[ $origin = "$name" && ${blob:0:8} = "${id^^}" ]] || continue; raw "${blob:8}" >"$tmp/sig"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key" -rawin -in "$tmp/body" -sigfile "$tmp/sig" >&2 || fail "signature"
    signed=yes; done; [[ $signed ]] || fail "the log did not sign this checkpoint"
at=$(leaf "$3"); ((index < size)) || fail "entry $index of $size"
for ((i = index, n = size - 1; n; i /= 2, n /= 2)); do      # from the leaf up, level by level
    ((i % 2 || i < n)) || continue                            # nothing beside the last node: it rises as it is
    beside=$(hex "${path[0]-}"); path=("${path[@]:1}")
    if ((i % 2)); then at=$(node "$beside" "$at"); else at=$(node "$at" "$beside"); fi; done
[[ ${at^^} = "$(hex "$root")" && ${#path[@]} = 0 ]] || fail "inclusion: this is not entry $index of this log"
if ((index)); then before=$(leaf "${4:?prev.json}"); else before=$(printf %064d 0); fi
[[ $(<"$3") = *",\"index\":$index,\"prev\":\"$before\",\"subject\":"* ]] || fail "chain: it does not name that entry before it"
echo "OK entry $index of $size"
