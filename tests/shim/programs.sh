#!/bin/bash
# Ordinary programs give the same output with the preload library as without it. $1: the library, built on the stand-in
# for the manager (tests/shim/fake_manager.c). Between the two halves of a fork managed memory has no access at all
# there, so a library call that touches it in that window is a crash.
library=$(realpath "$1")
nr=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# same NAME COMMAND...: runs it both ways; skips programs that are not installed.
same() {
	local name=$1
	shift
	nr=$((nr + 1))
	if ! command -v "$1" >/dev/null; then
		echo "ok $nr - $name # SKIP $1 is not installed"
		return
	fi
	timeout 60 "$@" <"$work/in" >"$work/want" 2>&1
	QUIRE_DOMAIN=test QR_FAKE_STRICT_FORK=1 LD_PRELOAD=$library timeout 60 "$@" <"$work/in" >"$work/got" 2>&1
	local status=$?
	if [ $status -eq 0 ] && cmp -s "$work/want" "$work/got"; then
		echo "ok $nr - $name"
	else
		echo "not ok $nr - $name"
		echo "# exit status $status"
		diff "$work/want" "$work/got" | head -5 | sed 's/^/# /'
		failed=1
	fi
}

seq 1 100000 >"$work/in"
same "ls lists" ls /
same "sort sorts with two threads" sort --parallel=2 -S 20M -r
same "awk keeps arrays" awk '{ a[$1] = $1 * 2 } END { for (i in a) s += a[i]; print s }'
same "bash forks pipelines" bash -c 'exec 3>&1; for i in 1 2 3; do echo $i | cat | (read x; echo $((x * 2)) >&3); done
	x=$(ls / | wc -l); echo $x'
same "perl forks and reads pipes" perl -e 'my %h; $h{$_} = $_ for 1 .. 100000; print scalar(keys %h), "\n";
	open(my $f, "-|", "echo x"); print <$f>; if (!fork) { exit 0 } wait; print `echo y`;'
same "sqlite3 sorts in memory" sqlite3 :memory: 'create table t(a, b); with recursive c(x) as
	(select 1 union all select x + 1 from c where x < 50000) insert into t select x, hex(x * 7919 % 50021) from c;
	create index i on t(b); select count(*), sum(a), min(b), max(b) from t where b > "0";'
same "python3 forks with open files and threads" python3 -c '
import os, subprocess, tempfile, threading
f = tempfile.TemporaryFile("w+"); f.write("a" * 100000); f.flush()
print(subprocess.run(["echo", "hi"], capture_output=True).stdout)
ts = [threading.Thread(target=lambda: [bytearray(1000) for _ in range(1000)]) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
for i in range(10):
    p = os.fork()
    if p == 0:
        y = [str(k) for k in range(10000)]
        os._exit(y[777] != "777")
    assert os.waitpid(p, 0)[1] == 0
'

nr=$((nr + 1))
QUIRE_DOMAIN=bad LD_PRELOAD=$library ls >"$work/got" 2>&1
if [ $? -eq 125 ] && grep -q '^quire: cannot open the memory manager: the domain is bad' "$work/got"; then
	echo "ok $nr - a program without its budget does not run"
else
	echo "not ok $nr - a program without its budget does not run"
	failed=1
fi
echo "1..$nr"
exit $failed
