#!/bin/bash
# sqlite3 with a database in memory, an index and joins, at half of its native peak.
. "$(dirname "$0")/lib.sh"
needs_quire
needs sqlite3

n=$(scaled 320000)
cat >"$work/load.sql" <<EOF
PRAGMA cache_size = -8000;
PRAGMA temp_store = memory;
CREATE TABLE event(id INTEGER PRIMARY KEY, user INTEGER, kind INTEGER, amount INTEGER, note TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)
INSERT INTO event SELECT i, (i * 7919) % 100003, i % 17, (i * 31) % 1009,
	'note ' || (i * 2654435761 % 4294967296) || ' of event ' || i || ' ' ||
	(i * 48271 % 2147483647) || (i * 69621 % 2147483647) || (i * 16807 % 2147483647) || (i * 39373 % 2147483647) ||
	(i * 742938285 % 2147483647) || (i * 950706376 % 2147483647) || (i * 1226874159 % 2147483647) ||
	replace(hex(zeroblob(140)), '0', char(97 + i % 26)) FROM c;
CREATE TABLE user(id INTEGER PRIMARY KEY, name TEXT, region INTEGER);
WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 100002)
INSERT INTO user SELECT i, 'user ' || (i * 48271 % 65537), i % 23 FROM c;
CREATE INDEX event_user ON event(user, kind, amount);
CREATE INDEX event_note ON event(note);
SELECT region, count(*), sum(amount), max(note) FROM event JOIN user ON event.user = user.id GROUP BY region ORDER BY 1;
SELECT kind, avg(amount), min(note) FROM event WHERE user BETWEEN 500 AND 40000 GROUP BY kind ORDER BY kind;
UPDATE event SET amount = amount + 1 WHERE user % 10 = 3;
DELETE FROM event WHERE kind = 5;
SELECT count(*), sum(amount), sum(length(note)) FROM event;
SELECT e.id, u.name FROM event e JOIN user u ON u.id = e.user WHERE e.note > 'note 42' ORDER BY e.note LIMIT 2000;
PRAGMA integrity_check;
EOF
native sqlite 120 sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql"
peak=$(peak_mib "$work/sqlite.native.rss")
note "native: $peak MiB, $(cut -d' ' -f3 "$work/sqlite.native.rss") ms"
grep -qx ok "$work/sqlite.native.out" || note "$(tail -n 3 "$work/sqlite.native.err")"
ram=$((peak / 2 < 24 ? 24 : peak / 2))
budgeted sqlite 240 "$ram" sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql"
cmp "$work/sqlite.out" "$work/sqlite.native.out" >"$work/log" 2>&1
ok $? "sqlite3 prints what it prints without quire" "$work/log"
finish
