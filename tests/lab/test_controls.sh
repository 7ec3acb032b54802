#!/bin/bash
# Negative controls: with something left out, a run must fail and say why. And wrong usage.
. "$(dirname "$0")/lib.sh"

# fails STATUS TEXT NAME: the last run ended with the status, and said the text.
fails()
{
	[ "$status" -eq "$1" ] && grep -qE "$2" "$work/err"
	result $? "$3"
}

run --workload threads --machine epyc --cpus 8 --ms 1
result $status "threads: whole"
run --workload threads --machine epyc --cpus 8 --ms 1 --control shootdown
fails 1 "stale translation: CPU [0-9]+ (reads from|writes to) 0x" "threads without the shoot-down: stale translation"

# Without batches, whose pins would keep the frames for a while.
run --workload mmap --machine epyc --cpus 8 --ms 1 --set lru-batch=0 --control late
fails 1 "frame [0-9]+ was freed before the shoot-down" "mmap with a late shoot-down: frames are freed too early"
run --workload threads --machine epyc --cpus 8 --ms 1 --control clearing
fails 1 "wrong content: page" "threads on frames that are not cleared: wrong content"

run --workload lru --machine epyc --cpus 8 --ms 1
result $status "lru: whole"
run --workload lru --machine epyc --cpus 8 --ms 1 --control lock
fails 1 "core found its data broken|invariant" "lru without its lock: broken data"

run --workload churn --machine host --cpus 2 --ms 1 --control loop
fails 1 "watchdog: CPU [01] makes no access" "a loop without an access: the watchdog"

run --workload nothing
fails 2 "no workload 'nothing'; there are: fault" "an unknown workload"
run --workload lru --machine nowhere
fails 2 "no machine 'nowhere'; there are: epyc host numaq" "an unknown machine"
run --workload lru --machine host --cpus 3
fails 2 "'host' has 2" "more CPUs than the machine has"
run --workload lru --param colour=3
fails 2 "no parameter 'colour'; it has: folios" "an unknown parameter"
run --workload fault --param spaces=some
fails 2 "one of separate,same" "a value that a parameter does not have"
run --workload lru --set colour=3
fails 2 "no mechanism 'colour'; there are: lru-batch" "an unknown mechanism"
run --workload lru --set pcp=3
fails 2 "'pcp' cannot be '3'; it is one of: auto" "a value that a mechanism does not have"
run --workload lru --ms never
fails 2 "'never' is no number" "a number that is none"
printf 'title = x\ncpus = two  # measured\n' >"$work/bad.machine"
run --workload lru --machine "$work/bad.machine"
fails 2 "bad.machine:2: 'two' of 'cpus' is not a number" "a machine file with a mistake: file and line"
run --workload lru --machine "$work"
fails 2 "[Ii]s a directory" "a machine file that is a folder"
run --workload churn --param burst=0
fails 1 "a parameter is out of range" "a parameter out of range"
tests_done
