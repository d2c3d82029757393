#!/usr/bin/env bash
# Gives the project another module path: in every go.mod, every import and every mention in a
# tracked text file. Usage: rename.sh NEW, from anywhere in the checkout.
set -euo pipefail
new=${1:-}
root=$(git rev-parse --show-toplevel)
cd "$root"
old=$(GOWORK=off go list -m)

# A path that go get can fetch: lower case, a dot in the first element, no scheme, no trailing slash.
if ! [[ $new =~ ^[a-z0-9-]+(\.[a-z0-9-]+)+(/[a-z0-9._~-]+)*$ ]]; then
	echo "rename: MODULE=\"$new\" is no module path; give one such as MODULE=example.org/team/once" >&2
	exit 2
fi
if [ "$new" = "$old" ]; then
	echo "rename: the module path is $old already"
	exit 0
fi

# The path ends before a character that could not be part of it.
pattern="${old//./\\.}"
git grep -lIF -e "$old" | while IFS= read -r file; do
	sed -i.renamed -E "s#$pattern($|[^A-Za-z0-9_-])#$new\1#g" "$file"
	rm -f "$file.renamed"
done
git ls-files -m -- '*.go' | while IFS= read -r file; do gofmt -w "$file"; done

go build work
echo "renamed $old to $new; look at it with git diff, then run make test"
