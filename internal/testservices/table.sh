#!/usr/bin/env bash
# Prints the report that ONCE_SERVICES_REPORT collected: one line a service and outcome, the
# missing ones with the reason and the command that enables them.
set -euo pipefail
report=${1:?usage: table.sh REPORT}

if [ ! -s "$report" ]; then
	exit 0
fi
echo
echo "backends that the tests asked for:"
sort "$report" | uniq -c | awk -F '\t' '{
	split($1, head, " ")
	printf "  %-14s %-8s %3dx  %s\n", head[2], $2, head[1], $3
	if ($2 == "skipped") { printf "  %14s enable it: %s\n", "", $4; missing = 1 }
}
END { if (missing) print "  tests of skipped backends did not run; ONCE_REQUIRE=all turns that into a failure" }'
