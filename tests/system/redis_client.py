"""Fills, reads and saves a redis server over its unix socket, speaking its protocol.

usage: redis_client.py SOCKET wait|fill|check|bgsave|load [KEYS [READS]]
"""
import bisect
import hashlib
import itertools
import random
import socket
import sys
import time

BATCH = 500
LOAD_BATCH = 32


def value_of(i):
    """About 1.6 KB; half of it digits that do not repeat, half a pattern."""
    digits = hashlib.shake_256(b"%d" % i).hexdigest(400).encode()
    return b"%d:" % i + digits + b"value " * 130


class Server:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb", 1 << 20)

    def send(self, *commands):
        out = []
        for command in commands:
            out.append(b"*%d\r\n" % len(command))
            for word in command:
                out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def reply(self):
        line = self.stream.readline()
        if not line:
            sys.exit("the server closed the connection")
        if line[:1] == b"$":
            length = int(line[1:])
            return None if length < 0 else self.stream.read(length + 2)[:-2]
        if line[:1] == b"-":
            sys.exit("the server says " + line.decode())
        return line[1:].rstrip()

    def ask(self, *command):
        self.send([word.encode() for word in command])
        return self.reply()


def wait(path):
    for _ in range(1200):
        try:
            server = Server(path)
            server.send([b"PING"])
            if server.stream.readline().startswith(b"+PONG"):
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("no answer")


def bgsave(server):
    before = server.ask("LASTSAVE")
    time.sleep(1.1)  # LASTSAVE counts seconds
    server.ask("BGSAVE")
    for _ in range(2400):
        if server.ask("LASTSAVE") != before:
            return
        if b"rdb_last_bgsave_status:err" in server.ask("INFO", "persistence"):
            sys.exit("the save failed")
        time.sleep(0.05)
    sys.exit("the save did not end")


def load(server, nr_keys, nr_reads):
    """Reads of single keys as a cache gets them: the k-th most popular key with weight 1/k (zipf), one in ten written."""
    rng = random.Random(11)
    weights = list(itertools.accumulate(1 / (k + 1) for k in range(nr_keys)))
    ranks = list(range(nr_keys))
    rng.shuffle(ranks)
    for first in range(0, nr_reads, LOAD_BATCH):
        keys = [ranks[bisect.bisect(weights, rng.random() * weights[-1])] for _ in range(LOAD_BATCH)]
        writes = {k for k in keys if k % 10 == 3}
        server.send(*([b"SET", b"key:%d" % k, value_of(k)] if k in writes else [b"GET", b"key:%d" % k] for k in keys))
        for k in keys:
            answer = server.reply()
            if k not in writes and len(answer) != len(value_of(k)):
                sys.exit("key %d is wrong: %r" % (k, answer))


def main():
    path, what = sys.argv[1:3]
    if what == "wait":
        return wait(path)
    server = Server(path)
    if what == "bgsave":
        return bgsave(server)
    nr_keys = int(sys.argv[3])
    if what == "load":
        return load(server, nr_keys, int(sys.argv[4]))
    for first in range(0, nr_keys, BATCH):
        batch = range(first, min(first + BATCH, nr_keys))
        if what == "fill":
            server.send(*([b"SET", b"key:%d" % i, value_of(i)] for i in batch))
        else:
            server.send(*([b"GET", b"key:%d" % i] for i in batch))
        for i in batch:
            answer = server.reply()
            if what == "check" and answer != value_of(i):
                sys.exit("key %d is wrong: %r" % (i, answer))
    size = int(server.ask("DBSIZE"))
    if size != nr_keys:
        sys.exit("%d keys, not %d" % (size, nr_keys))
    print("%s: %d keys right" % (what, nr_keys))


main()
