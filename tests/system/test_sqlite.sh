#!/bin/bash
# sqlite3 with a database in memory, an index and joins, at half of its native peak.
. "$(dirname "$0")/lib.sh"
. "$here/workloads.sh"
needs_quire
needs sqlite3

sql_events "$(scaled 320000)" >"$work/load.sql"
native sqlite 120 sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql"
peak=$(peak_mib "$work/sqlite.native.rss")
note "native: $peak MiB, $(cut -d' ' -f3 "$work/sqlite.native.rss") ms"
grep -qx ok "$work/sqlite.native.out" || note "$(tail -n 3 "$work/sqlite.native.err")"
ram=$((peak / 2 < 24 ? 24 : peak / 2))
budgeted sqlite 240 "$ram" sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql"
cmp "$work/sqlite.out" "$work/sqlite.native.out" >"$work/log" 2>&1
ok $? "sqlite3 prints what it prints without quire" "$work/log"
finish
