#!/bin/bash
# What quire says and how it exits when it is called wrongly, or for a program that it cannot serve. No page fault is
# handled here, so the preload library is not needed.
. "$(dirname "$0")/lib.sh"
[ -x "$QUIRE" ] || skip_all "no $QUIRE"

# says STATUS PATTERN NAME COMMAND...: the exit status, a message that matches, and nothing on standard output
says()
{
	local wanted=$1 pattern=$2 name=$3 status
	shift 3
	timeout 20 "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	is $status "$wanted" "$name: exit status $wanted"
	[ ! -s "$work/out" ] && grep -qE -- "^quire: .*$pattern" "$work/err"
	ok $? "$name: says why" "$work/err"
}

# shows PATTERN COMMAND...: exit status 0, text on standard output only
shows()
{
	local pattern=$1 status
	shift
	timeout 20 "$QUIRE" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq 0 ] && [ ! -s "$work/err" ] && grep -qE -- "$pattern" "$work/out"
	ok $? "quire $*: prints its text" "$work/err"
}

skip()
{
	nr_checks=$((nr_checks + 1))
	echo "ok $nr_checks - $1 # SKIP $2"
}

shows "^Usage: quire COMMAND" help
shows "^Usage: quire COMMAND" --help
shows "^quire [0-9]+\.[0-9]+" version
shows "^quire [0-9]+\.[0-9]+" --version
for command in run stat ctl doctor lab claims replay record version help; do
	shows "^Usage: quire $command" help "$command"
	shows "^Usage: quire $command" "$command" --help
done
for command in run stat ctl doctor lab claims replay record; do
	"$QUIRE" help $command | sed -nE 's/^ +(-[a-z], )?(--[a-z][a-z-]*).*/\2/p' | sort >"$work/helped"
	grep '^\.It Fl' "$root/packaging/man/quire-$command.1" | grep -oE 'Fl -[a-z][a-z-]*' | sed 's/Fl /-/' |
		sort >"$work/paged"
	[ -s "$work/helped" ] && diff "$work/helped" "$work/paged" >"$work/why"
	ok $? "$command: the help text and the manual page have the same options" "$work/why"
done
says 125 "no command" "no command" "$QUIRE"
says 125 "unknown command 'frob'" "unknown command" "$QUIRE" frob
says 125 "unknown command 'frob'" "help of an unknown command" "$QUIRE" help frob

says 125 "no program" "run without a program" "$QUIRE" run --ram 64M
says 125 "unknown option '--frob'" "unknown option" "$QUIRE" run --frob -- true
says 125 "unknown option '-x'" "unknown letter" "$QUIRE" run -x -- true
says 125 "'--ram' needs a value" "option without its value" "$QUIRE" run --ram
says 125 "takes no value" "value for a flag" "$QUIRE" run --quiet=1 -- true
says 125 "did you mean '--ram'" "misspelt option" "$QUIRE" run --rma=2G -- true
says 125 "unknown option '-S'" "letter of a long option" "$QUIRE" run -S 2G -- true
says 125 "unknown option '-x'" "unknown letter among others" "$QUIRE" ctl -xq 1
says 125 "'--quiet=3' takes no value" "value for a flag of ctl" "$QUIRE" ctl --quiet=3 1
says 125 "'--output' needs a value" "record without the value of an option" "$QUIRE" record --output
for size in 64x 12Q -5M 1e3M 0x10M nan inf "" M .5G 64MiBs "6 4M" %; do
	says 125 "--ram $size is not a size" "--ram '$size'" "$QUIRE" run --ram "$size" -- true
done
says 125 "did you mean 512M" "--ram without a unit" "$QUIRE" run --ram 512 -- true
says 125 "the least is 8 MiB" "--ram below the least" "$QUIRE" run --ram 7.9M -- true
says 125 "below the least" "--ram percentage below the least" "$QUIRE" run --ram 0.0001% -- true
says 125 "not a size" "--ram that does not fit" "$QUIRE" run --ram 99999999999T -- true
says 125 "--swap-size 3x is not a size" "--swap-size that does not parse" "$QUIRE" run --swap-size 3x -- true
says 125 "lz4, zstd and none" "unknown --compress" "$QUIRE" run --compress gzip -- true
says 125 "auto, thread and signal" "unknown --delivery" "$QUIRE" run --delivery pigeon -- true

says 125 "does not exist" "swap directory that is missing" "$QUIRE" run --swap "$work/missing" -- true
touch "$work/file"
says 125 "is not a directory" "swap directory that is a file" "$QUIRE" run --swap "$work/file" -- true
says 125 "has .* free, and --swap-size asks for 900.0 TiB" "swap directory that is too small" \
	"$QUIRE" run --swap "$swap" --swap-size 900T -- true
says 125 "contradict" "--swap none with a size" "$QUIRE" run --swap none --swap-size 1G -- true

says 127 "no such program in PATH" "program that is nowhere" "$QUIRE" run -- no-such-program-anywhere
says 127 "No such file" "path that is nowhere" "$QUIRE" run -- "$work/missing"
says 126 "not an executable file" "program without the x bit" "$QUIRE" run -- "$work/file"
says 126 "not an executable file" "program that is a directory" "$QUIRE" run -- "$work"
printf '#!%s/missing\n' "$work" >"$work/script"
chmod +x "$work/script"
says 126 "interpreter" "script whose interpreter is missing" "$QUIRE" run -- "$work/script"

echo 'int main(void) { return 0; }' >"$work/empty.c"
if ${CC:-cc} -static "$work/empty.c" -o "$work/static" 2>/dev/null; then
	says 126 "statically linked" "static program" "$QUIRE" run -- "$work/static"
	printf '#!%s\n' "$work/static" >"$work/script"
	says 126 "statically linked" "script of a static interpreter" "$QUIRE" run -- "$work/script"
	printf '#!/usr/bin/env -S static -u\n' >"$work/script"
	says 126 "statically linked" "script of env and a static interpreter" \
		env PATH="$work:$PATH" "$QUIRE" run -- "$work/script"
else
	skip "static program" "no static C library"
fi
if ${CC:-cc} -m32 "$work/empty.c" -o "$work/narrow" 2>/dev/null; then
	says 126 "is a 32-bit program" "program of 32 bits" "$QUIRE" run -- "$work/narrow"
else
	skip "program of 32 bits" "no C library of 32 bits"
fi

if [ "$(id -u)" -eq 0 ]; then
	cp "$(command -v sleep)" "$work/privileged"
	chown 65534 "$work/privileged"
	chmod 4755 "$work/privileged"
	privileged=$work/privileged
else
	privileged=$(command -v su)
fi
if [ -u "$privileged" ] && ! findmnt -no OPTIONS -T "$privileged" 2>/dev/null | grep -qw nosuid; then
	says 126 "set-user-ID" "set-user-ID program" "$QUIRE" run -- "$privileged" 0
else
	skip "set-user-ID program" "none here"
fi

drop="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(id -u)" -eq 0 ] && $drop "$QUIRE" version >/dev/null 2>&1 &&
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] && ! $drop test -r /dev/userfaultfd; then
	says 125 "no permission for userfaultfd.*sysctl" "no permission for userfaultfd" \
		$drop "$QUIRE" run --delivery thread --swap none -- true
	$drop "$QUIRE" run --swap none -- true >"$work/out" 2>&1
	is $? 0 "without that permission faults come as signals" "$work/out"
	$drop "$QUIRE" doctor >"$work/out" 2>&1
	is $? 0 "doctor: exit status 0 where quire run works with signals only"
	grep -q '^limited *userfaultfd ' "$work/out" && grep -q 'chgrp' "$work/out"
	ok $? "doctor: names what is limited and the remedy" "$work/out"
	mkdir -m 700 "$work/closed"
	says 125 "Permission denied" "swap directory of another user" $drop "$QUIRE" run --swap "$work/closed" -- true
else
	skip "no permission for userfaultfd" "everybody here has it, or nobody can be asked"
fi

says 125 "not a process number" "stat of a word" "$QUIRE" stat abc
says 125 "which process" "stat of nothing" "$QUIRE" stat
says 125 "too much" "stat of two" "$QUIRE" stat 1 2
says 125 "unknown option" "stat with an unknown option" "$QUIRE" stat --frob 1
says 1 "no process 4194304" "stat of a process that is nowhere" "$QUIRE" stat 4194304
says 1 "does not run under quire" "stat of a process outside" "$QUIRE" stat $$
says 125 "too much" "doctor of something" "$QUIRE" doctor now

timeout 20 "$QUIRE" doctor --json >"$work/doctor.json" 2>"$work/err"
status=$?
python3 - "$work/doctor.json" $status >"$work/err" 2>&1 <<'END'
import json, sys
found = json.load(open(sys.argv[1]))
assert found["can_run"] == (sys.argv[2] == "0"), "can_run"
assert len(found["checks"]) >= 10
for check in found["checks"]:
    assert set(check) == {"name", "status", "needed", "found", "effect", "remedy"}, check
    assert check["status"] in ("ok", "limited", "missing") and check["found"], check
END
ok $? "doctor --json: can_run agrees with the exit status" "$work/err"
finish
