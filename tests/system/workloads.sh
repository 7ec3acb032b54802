# Programs that the system tests and bench/programs.sh run; sourced. Each function writes one to standard output.

# python_objects: arguments of the program: the number of objects. Objects of 4 KiB: with many small ones every step of
# the sort touches other pages, and any way of paging needs minutes.
python_objects()
{
	cat <<'EOF'
import hashlib, random, sys

n = int(sys.argv[1])
rng = random.Random(5)
rows = []
for i in range(n):
    text = "%x" % rng.getrandbits(8000) + " row %d" % i * 180
    rows.append((rng.getrandbits(60), text, [i, i + 1.5]))
index = {row[1]: row[0] for row in rows}
rows.sort()
text = hashlib.sha256()
for key, name, pair in rows:
    assert index[name] == key
    text.update(b"%d %s %r" % (key, name.encode(), pair[1]))
words = {}
for key, name, pair in rows[:: max(1, n // 10000)]:
    words.setdefault(key % 97, []).append(name)
for k in sorted(words):
    text.update(("%d %d %s" % (k, len(words[k]), words[k][0])).encode())
del rows[::2]
copy = [(b, a) for a, b, c in rows]
copy.sort()
text.update(repr(copy[:1000] + copy[-1000:]).encode())
print(text.hexdigest(), len(copy))
EOF
}

# sql_events ROWS: a table, two indexes, joins, an update and a delete.
sql_events()
{
	local n=$1
	cat <<EOF
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
}
