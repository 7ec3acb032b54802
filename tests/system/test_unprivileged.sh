#!/bin/bash
# A user without rights: no root, no access to /dev/userfaultfd, vm.unprivileged_userfaultfd=0. Faults come as signals
# then, and what unmodified programs hand to system calls has to be there all the same.
. "$(dirname "$0")/lib.sh"
. "$here/workloads.sh"
needs_quire
needs python3 setpriv
[ "$(id -u)" -eq 0 ] || skip_all "needs root, to become somebody else"
[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] || skip_all "vm.unprivileged_userfaultfd is not 0"
user=65534

# What the user must read lies where the user can: not in the builder's folders.
mkdir "$work/bin"
cp "$QUIRE" "$build/libquire-preload.so" "$work/bin"
chmod 755 "$work" "$work/bin"
chmod 1777 "$swap"
mkdir -m 1777 "$work/home"
QUIRE=$work/bin/quire
as_user=(setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs env "HOME=$work/home" "TMPDIR=$work/home")
# An interpreter that the user can run: root's own may lie in root's home.
python=$(PATH=/usr/bin:/bin:$PATH "${as_user[@]}" sh -c 'python3 -c "import sys; print(sys.executable)"') ||
	skip_all "no python3 for other users"

# run NAME RAM_MIB COMMAND...: as the user, under quire.
run()
{
	local name=$1 ram=$2 status
	shift 2
	(cd "$work/home" && exec "$sample_rss" --timeout 240 --out "$work/$name.rss" -- \
		"${as_user[@]}" "$QUIRE" run --ram "${ram}M" --swap "$swap" ${QR_RUN_FLAGS:-} -- "$@") \
		>"$work/$name.out" 2>"$work/$name.err" </dev/null
	status=$?
	note "$name: $(grep '^quire: ' "$work/$name.err" | tail -n 1)"
	is $status 0 "$name: exit status" || tail -n 20 "$work/$name.err" | sed 's/^/# /'
	in_budget "$name" "$work/$name.rss" "$ram"
}

"${as_user[@]}" "$QUIRE" doctor >"$work/doctor" 2>&1
ok $? "quire doctor finds nothing that is missing" "$work/doctor"
"${as_user[@]}" "$QUIRE" run --ram 64M --swap "$swap" --delivery thread -- true >"$work/thread" 2>&1
is $? 125 "--delivery thread is refused"

# The code of system calls is rewritten at each start, while no thread of quire's may run it.
for ((i = 0; i < 100; i++)); do
	[ "$("${as_user[@]}" "$QUIRE" run --quiet --ram 64M --swap "$swap" -- echo started 2>"$work/start")" = started ] || break
done
is $i 100 "a program starts a hundred times"

python_objects >"$work/build.py"
chmod 644 "$work/build.py"
n=$(scaled 98000)
export PYTHONHASHSEED=0
native python 120 "$python" "$work/build.py" "$n"
peak=$(peak_mib "$work/python.native.rss")
run python $((peak / 2 < 24 ? 24 : peak / 2)) "$python" "$work/build.py" "$n"
is "$(cat "$work/python.out")" "$(cat "$work/python.native.out")" "python3 prints what it prints without quire"

# System calls on memory that is swapped out: each takes or gives bytes of a block twice as large as the budget.
cat >"$work/calls.py" <<'END'
import ctypes, errno, fcntl, hashlib, mmap, os, select, signal, socket, struct, subprocess, sys, threading
MIB = 1 << 20
size = int(sys.argv[1]) * MIB
libc = ctypes.CDLL(None, use_errno=True)
block = bytearray(size)
view = memoryview(block)
for at in range(0, size, 4096):
    struct.pack_into('<Q', block, at, at * 2654435761 & 0xffffffffffffffff)
base = ctypes.addressof(ctypes.c_char.from_buffer(block))
want = hashlib.sha256(view).hexdigest()
nr = 0

def check(what, good):
    global nr
    nr += 1
    if not good:
        print('wrong:', what, ctypes.get_errno())
        sys.exit(1)

def cold(offset, length=65536):
    """A part of the block that was not touched for as long as possible."""
    check('pageout', libc.madvise(ctypes.c_void_p((base + offset) & ~4095), length, 21) == 0)
    return base + offset

def call(name, *arguments):
    function = getattr(libc, name)
    function.restype = ctypes.c_long
    result = function(*[ctypes.c_void_p(a) if isinstance(a, int) and a > 1 << 32 else a for a in arguments])
    check(name, result >= 0)
    return result

with open('block', 'wb', buffering=0) as out:
    check('write', out.write(view) == size)
with open('block', 'rb', buffering=0) as file:
    other = bytearray(size)
    check('read', file.readinto(other) == size and hashlib.sha256(other).hexdigest() == want)
    check('preadv', os.preadv(file.fileno(), [memoryview(other)[i * MIB:(i + 1) * MIB] for i in range(8)], 0) == 8 * MIB)
    del other

# Every kind of call on a place of its own, put out just before.
spare = size - 4 * MIB
struct.pack_into('<64s', block, spare, b'/proc/self/stat\0')
fd = call('open', cold(spare), os.O_RDONLY)
check('fstat', call('syscall', 5, fd, cold(spare + 8192)) == 0)
check('pread64', call('pread', fd, cold(spare + 16384), 256, 0) > 16)
check('content', bytes(view[spare + 16384:spare + 16390]).split()[0].isdigit())
os.close(fd)
block[spare + 24576:spare + 24582] = b'PATH\0x'
check('access', call('access', cold(spare), 0) == 0)
struct.pack_into('<qq', block, spare + 32768, 0, 1000)
check('nanosleep', call('syscall', 35, cold(spare + 32768), 0) == 0)
check('clock_gettime', call('clock_gettime', 2, cold(spare + 36864)) == 0)
struct.pack_into('<i', block, spare + 40960, 7)
struct.pack_into('<qq', block, spare + 49152, 0, 1000)
libc.syscall.restype = ctypes.c_long
check('futex', libc.syscall(202, ctypes.c_void_p(cold(spare + 40960)), 0, 7, ctypes.c_void_p(cold(spare + 49152)),
                            None, 0) == -1 and ctypes.get_errno() == errno.ETIMEDOUT)
check('getrandom', call('getrandom', cold(spare + 65536), 100000, 0) == 100000)
check('getcwd', call('syscall', 79, cold(spare + 8192), 4096) > 0)
check('uname', call('uname', cold(spare + 8192)) == 0)
check('sysinfo', call('sysinfo', cold(spare + 8192)) == 0)
struct.pack_into('<ihh', block, spare + 8192, 0, select.POLLIN, 0)
call('poll', cold(spare + 8192), 1, 0)
ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
view[spare + 8192:spare + 8192 + 5000] = b'd' * 5000
cold(spare + 8192)
ends[0].send(view[spare + 8192:spare + 13192])
cold(spare + 24576)
check('datagram', ends[1].recv_into(view[spare + 24576:spare + 32768]) == 5000)
check('datagram', bytes(view[spare + 24576:spare + 29576]) == b'd' * 5000)
cold(spare + 8192)
ends[0].sendmsg([view[spare + 8192:spare + 9192], view[spare + 12288:spare + 13192]])
cold(spare + 24576)
check('recvmsg', ends[1].recvmsg_into([view[spare + 24576:spare + 25000], view[spare + 40960:spare + 49152]])[0] == 1904)
left, right = os.pipe()
os.write(right, b'12345')
cold(spare + 8192)
check('ioctl', fcntl.ioctl(left, 0x541b, view[spare + 8192:spare + 8196]) == 0)
check('FIONREAD', struct.unpack_from('<i', block, spare + 8192)[0] == 5)
stream = socket.socketpair()
total = []
def drain():
    got = 0
    while got < 8 * MIB:
        got += stream[1].recv_into(view[16 * MIB + got:24 * MIB])
    total.append(got)
reader = threading.Thread(target=drain)
reader.start()
cold(0, 8 * MIB)
stream[0].sendall(view[:8 * MIB])
reader.join()
check('stream', total == [8 * MIB] and view[16 * MIB:24 * MIB] == view[:8 * MIB])

# Signals: masks that block everything, a handler of its own for SIGBUS, children.
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
check('mask', signal.SIGBUS in signal.pthread_sigmask(signal.SIG_BLOCK, []))
cold(0, 16 * MIB)
check('blocked', sum(view[:16 * MIB:4096]) >= 0)
signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
seen = []
signal.signal(signal.SIGBUS, lambda *_: seen.append(1))
os.kill(os.getpid(), signal.SIGBUS)
cold(0, 16 * MIB)
check('handler', seen == [1] and sum(view[:16 * MIB:4096]) >= 0 and seen == [1])
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
arguments = ['x' * 5000 + str(i) for i in range(20)]
for i in range(10):
    cold(0, size & ~4095)
    output = subprocess.run([sys.executable, '-c', 'import sys; print(sum(map(len, sys.argv)))', *arguments],
                            capture_output=True, check=True).stdout
    check('child', int(output) == 100032)
signal.setitimer(signal.ITIMER_REAL, 0)
child = os.fork()
if not child:
    os._exit(hashlib.sha256(view[:8 * MIB]).hexdigest() != hashlib.sha256(view[16 * MIB:24 * MIB]).hexdigest())
check('fork', os.waitpid(child, 0)[1] == 0)
print(nr, 'checks')
END
chmod 644 "$work/calls.py"
run calls 64 "$python" "$work/calls.py" "$(scaled 128 | awk '{ print ($1 < 64 ? 64 : $1) }')"
is "$(grep -c checks "$work/calls.out")" 1 "system calls on swapped memory get and give the right bytes" "$work/calls.out"
grep wrong "$work/calls.out" | sed 's/^/# /'
# Calls that wait for long, with buffers that are cold by the time the bytes come: reclaim has to leave them alone.
cat >"$work/wait.py" <<'END'
import os, threading, time
MIB = 1 << 20
size, rounds = 96 * MIB, 100
block = bytearray(size)
view = memoryview(block)
for at in range(0, size, 4096):
    block[at:at + 8] = (at * 2654435761 & 0xffffffffffffffff).to_bytes(8, 'little')
bad, done = [], []

def feed(end):
    for i in range(rounds):
        time.sleep(0.004)
        os.write(end, bytes([i]) * 8192)

def wait(number):
    start, end = os.pipe()
    at = (number * 8 + 1) * MIB
    far = at + 4 * MIB
    feeder = threading.Thread(target=feed, args=(end,))
    feeder.start()
    try:
        for i in range(rounds):
            length = os.readv(start, [view[at:at + 4096], view[far:far + 4096]])
            if length != 8192 or block[at] != i or block[far + 4095] != i:
                bad.append((number, i, length))
    except OSError as error:
        bad.append((number, error))
    feeder.join()

def thrash():
    while not done:
        for at in range(64 * MIB, size, 4096):
            block[at + 9] = 1
        sum(view[0:64 * MIB:4096])

waiters = [threading.Thread(target=wait, args=(i,)) for i in range(6)]
thrasher = threading.Thread(target=thrash)
thrasher.start()
for waiter in waiters:
    waiter.start()
for waiter in waiters:
    waiter.join()
done.append(True)
thrasher.join()
print('bad', len(bad), bad[:3])
END
chmod 644 "$work/wait.py"
run wait 48 "$python" "$work/wait.py"
is "$(cat "$work/wait.out")" "bad 0 []" "calls that wait find their buffers in place"
rm -f "$work/home/block"
finish
