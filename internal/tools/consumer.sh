#!/usr/bin/env bash
# Builds a program outside the checkout that imports every public package of the root module, and
# checks what its go.mod and its binary come to hold: the root, its four requirements, no more.
set -euo pipefail
root=$(git rev-parse --show-toplevel)
cd "$root"
export GOWORK=off GOFLAGS=-mod=mod
module=$(go list -m)
packages=$(go list ./... | grep -v /internal/)
want=$(go mod edit -json | sed -n 's/.*"Path": "\(.*\)".*/\1/p' | sort)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
{
	echo "package main"
	echo "import ("
	for p in $packages; do echo "_ \"$p\""; done
	echo ")"
	echo "func main() {}"
} >main.go
go mod init example.net/consumer 2>/dev/null
go mod edit -require "$module@v0.0.0" -replace "$module@v0.0.0=$root"
go mod tidy

have=$(go mod edit -json | sed -n '/"Require"/,/\]/s/.*"Path": "\(.*\)".*/\1/p' | { cat; echo "$module"; } | sort -u)
# want lists the root itself and its requirements; a package may not need each of them.
extra=$(comm -13 <(sort -u <<<"$want") <(printf '%s\n' "$have"))
if [ -n "$extra" ]; then
	printf 'a program that imports %s gets modules that are not its own:\n%s\n' "$module" "$extra" >&2
	exit 1
fi
go build -o consumer .
linked=$(go version -m consumer | awk '$1 == "dep" { print $2 }' | sort)
extra=$(comm -13 <(sort -u <<<"$want") <(printf '%s\n' "$linked"))
if [ -n "$extra" ]; then
	printf 'a program that imports %s links modules that are not its own:\n%s\n' "$module" "$extra" >&2
	exit 1
fi
printf 'a program that imports every package of %s links:\n%s\n' "$module" "$linked"
