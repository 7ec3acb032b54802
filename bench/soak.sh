#!/bin/bash
# The checking program at four times its budget for a long time, with forks, advice, signals, stops, and a budget that
# changes all the while. No wrong byte, no hang, no growth.
#
#   bench/soak.sh [--minutes N] [--seconds N] [--mib N] [--seed N] [BUILD]      (default: 30 minutes, 512 MiB, ./build)
#
# QR_RUN_FLAGS has more options for quire run.
#
# A line of figures every ten seconds; exit status 0 if all went well, 1 with the reason otherwise.
set -u
seconds=1800
mib=512
seed=1
build=build
while [ $# -gt 0 ]; do
	case $1 in
	--minutes) seconds=$(($2 * 60)) && shift ;;
	--seconds) seconds=$2 && shift ;;
	--mib) mib=$2 && shift ;;
	--seed) seed=$2 && shift ;;
	-*)
		echo "soak: unknown option '$1'" >&2
		exit 2
		;;
	*) build=$1 ;;
	esac
	shift || exit 2
done
work=$(mktemp -d /var/tmp/quire-soak.XXXXXX)
run=
clean_up()
{
	[ -n "$run" ] && kill -TERM "$run" 2>/dev/null && wait "$run"
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$build/quire" run --ram "$((mib / 4))M" --swap "$work" ${QR_RUN_FLAGS:-} -- \
	"$build/tests/system/checker" --mib "$mib" --threads 8 --mmap --advice --seconds "$seconds" --seed "$seed" \
	>"$work/out" 2>&1 </dev/null &
run=$!
python3 - "$build/quire" "$run" "$mib" "$seconds" "$seed" "$work" <<'PYTHON'
import json, os, random, signal, subprocess, sys, time

quire, run, mib, seconds, seed, work = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
base = mib // 4
random.seed(seed)
print("soak: %d MiB in %d MiB, %d s, seed %d" % (mib, base, seconds, seed), flush=True)
started = time.monotonic()
# What is counted; the largest values of the first and of the last part of the time are compared.
NAMES = ("rss_mib", "fds", "threads", "processes", "file_mib")
samples = []
counts = {"signals": 0, "stops": 0, "budgets": 0}
last_faults, last_progress = 0, started
# A run that handles no fault for so long hangs; the checks of a child at its slowest take a few seconds.
HANG_SECONDS = 60

def fail(reason):
    sys.stdout.write("soak: %s\n" % reason)
    subprocess.run([quire, "stat", str(run)])
    sys.exit(1)

def is_running():
    try:
        return open("/proc/%d/stat" % run).read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

def stat():
    done = subprocess.run([quire, "stat", "--json", str(run)], capture_output=True)
    return json.loads(done.stdout) if done.returncode == 0 else None

def of_process(pid):
    folder = "/proc/%d/" % pid
    try:
        pages = int(open(folder + "statm").read().split()[1])
        return pages / 256, len(os.listdir(folder + "fd")), len(os.listdir(folder + "task"))
    except (OSError, ValueError):
        return 0, 0, 0

def look():
    """One sample, and whether the run goes on at all."""
    global last_faults, last_progress
    now = stat()
    if not now:
        return None
    found = [of_process(process["pid"]) for process in now["processes"]]
    found.append(of_process(run))
    sums = [sum(column) for column in zip(*found)]
    sums[0] -= found[-1][0]
    totals = now["totals"]
    samples.append((time.monotonic() - started, *sums, len(found), totals["file_bytes"] / 2**20))
    faults = totals["counters"]["faults"]
    if faults != last_faults:
        last_faults, last_progress = faults, time.monotonic()
    if time.monotonic() - last_progress > HANG_SECONDS:
        fail("no fault for %d s: it hangs" % HANG_SECONDS)
    return [process["pid"] for process in now["processes"]]

def send(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False

def act(pids):
    if not pids:
        return
    what = random.random()
    pid = random.choice(pids)
    if what < 0.7:
        for i in range(random.randrange(1, 20)):
            counts["signals"] += send(pid, signal.SIGUSR1)
            time.sleep(random.random() / 100)
    elif what < 0.85:
        counts["stops"] += send(pid, signal.SIGSTOP)
        time.sleep(random.random() / 2)
        send(pid, signal.SIGCONT)
    else:
        ram = random.randrange(base * 3 // 4, base * 3 // 2)
        done = subprocess.run([quire, "ctl", str(run), "--ram", "%dM" % ram, "--wait=40", "-q"], capture_output=True,
                              text=True)
        counts["budgets"] += 1
        if done.returncode and is_running():
            fail(done.stderr.strip())

def largest(column, begin, end):
    return max([sample[column + 1] for sample in samples if begin <= sample[0] <= end] or [0])

next_line = 10
while "filled" not in open(work + "/out").read():
    if not is_running() or time.monotonic() - started > HANG_SECONDS:
        fail("it did not begin")
    time.sleep(0.05)
while is_running():
    spent = time.monotonic() - started
    if spent > seconds + 120:
        fail("it does not end")
    pids = look()
    if spent >= next_line:
        next_line += 10
        print("%5d s  " % spent + "  ".join("%s %d" % pair for pair in zip(NAMES, samples[-1][1:])) +
              "  faults %d" % last_faults, flush=True)
    act(pids)
    time.sleep(random.random() / 10)

spent = samples[-1][0] if samples else 0
print("soak: %d samples; %s" % (len(samples), ", ".join("%d %s" % (n, name) for name, n in counts.items())))
# The first tenth is the start; the rest is halved.
middle = spent * 0.55
status = 0
for column, (name, more, share) in enumerate((("rss_mib", 8, 0.1), ("fds", 8, 0), ("threads", 8, 0.25), ("processes", 1, 0),
                                              ("file_mib", mib / 2, 0.25))):
    before, after = largest(column, spent * 0.1, middle), largest(column, middle, spent)
    grows = after > before * (1 + share) + more
    print("soak: %-10s at most %6.0f in the first half, %6.0f in the second%s" %
          (name, before, after, ": it GROWS" if grows else ""))
    status |= grows
if largest(0, 0, spent) > base * 1.5 * 1.02 + 16:
    print("soak: the processes had %.0f MiB, and the largest budget was %.0f" % (largest(0, 0, spent), base * 1.5))
    status = 1
sys.exit(status)
PYTHON
status=$?
# After a hang it would not end by itself.
[ $status -eq 0 ] || kill -TERM "$run" 2>/dev/null
wait "$run"
ended=$?
run=
cat "$work/out"
[ $ended -eq 0 ] || echo "soak: the program ended with status $ended"
[ $status -eq 0 ] && [ $ended -eq 0 ] && grep -q 'all pages right' "$work/out" &&
	[ "$(find "$work" -mindepth 1 ! -name out | wc -l)" -eq 0 ] || exit 1
