#!/usr/bin/env python3
"""Stands in for quire-lab-cell in the tests of `quire lab` and `quire claims`: the same command line and JSON, with
figures from a formula. The workload "boom" fails at seed 2, in the way that its parameter says."""
import json
import os
import sys
import time

CATALOG = {
    "workloads": [
        {"name": "fault", "help": "touches of fresh private memory",
         "params": [{"name": "think", "default": "100", "help": "mean time between faults, ns"},
                    {"name": "space", "default": "separate", "help": "a parameter of the tests"},
                    {"name": "spaces", "default": "separate", "help": "separate or same address space"}]},
        {"name": "lru", "help": "additions to and removals from the LRU lists",
         "params": [{"name": "think", "default": "100", "help": "mean time between operations, ns"}]},
        {"name": "boom", "help": "fails in the way that --param how= says",
         "params": [{"name": "how", "default": "exit", "help": "exit, signal, garbage, silent, wrong, sleep"}]},
    ],
    "machines": [
        {"name": "host", "cpus": 2, "nodes": 1, "ram_gib": 16, "help": "two CPUs"},
        {"name": "epyc", "cpus": 384, "nodes": 8, "ram_gib": 2048, "help": "two sockets"},
        {"name": "numaq", "cpus": 16, "nodes": 4, "ram_gib": 16, "help": "four quads"},
    ],
    "choices": [
        {"name": "lru-batch", "values": ["14", "0"], "default": "14"},
        {"name": "mmap-lock", "values": ["vma", "rwsem"], "default": "vma", "help": "what a fault holds"},
    ],
}


def usage(text):
    print("quire-lab-cell: " + text, file=sys.stderr)
    sys.exit(2)


def parse(words):
    options = {"set": {}, "param": {}}
    words = list(words)
    while words:
        name = words.pop(0)
        if not name.startswith("--") or not words:
            usage("what is " + name)
        value = words.pop(0)
        if name in ("--set", "--param"):
            key, _, text = value.partition("=")
            options[name[2:]][key] = text
        else:
            options[name[2:]] = value
    return options


def fail(how):
    if how == "exit":
        print("invariant broken: qr_lru_is_valid", file=sys.stderr)
        sys.exit(1)
    if how == "signal":
        os.kill(os.getpid(), 11)
    if how == "garbage":
        print("{ this is no JSON")
    if how == "wrong":
        print('{"ops": 1}')
    if how == "sleep":
        time.sleep(30)
    sys.exit(0)


def machine_cpus(name):
    for machine in CATALOG["machines"]:
        if machine["name"] == name:
            return machine["cpus"]
    with open(name, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            key, _, value = line.partition("#")[0].partition("=")
            if key.strip() == "cpus":
                return int(value)
            if key.strip():
                usage(f"{name}:{number}: unknown parameter '{key.strip()}'")
    usage(f"{name}:1: no cpus")
    return 0


def lock(name, site, contended, total):
    spin = int(total * contended / 100)
    return {"name": name, "site": site, "use_percent": min(99.0, contended * 0.7), "contended_percent": contended,
            "hold_mean_ns": 850.5, "hold_max_ns": 34100, "wait_mean_ns": contended * 1900, "wait_max_ns": 11e6,
            "cpu_percent": contended * 0.6, "total": total, "nowait": total - spin, "spin": spin}


def run(options):
    cpus, seed = int(options["cpus"]), int(options["seed"])
    if cpus > machine_cpus(options["machine"]):
        usage(f"machine {options['machine']} has {machine_cpus(options['machine'])} CPUs")
    if options["workload"] == "boom" and (seed == 2 or options["param"].get("how") == "sleep"):
        fail(options["param"].get("how", "exit"))
    if os.environ.get("FAKE_CELL_LOG"):
        with open(os.environ["FAKE_CELL_LOG"], "a", encoding="utf-8") as log:
            print(" ".join(sys.argv[1:]), file=log)
    is_slow = options["set"].get("mmap-lock") == "rwsem" or options["set"].get("lru-batch") == "0"
    wait = (cpus - 1) * (0.25 if is_slow else 0.004) * (1 + 0.05 * ((seed * 7919) % 5 - 2))
    rate = 1.37e6 * cpus / (1 + wait) * (1 + 0.01 * ((seed * 104729) % 7 - 3))
    contended = 100 * wait / (1 + wait)
    result = {
        "workload": options["workload"], "machine": options["machine"], "cpus": cpus, "seed": seed,
        "settings": options["set"], "params": options["param"], "ops": int(rate / 100), "virtual_ns": 10000000,
        "ops_per_s": rate, "hash": f"{cpus * 1000003 + seed:016x}", "accesses": int(rate),
        "host_seconds": 0.01 * cpus,
        "locks": [lock("lruvec", "", contended, 510349), lock("lruvec", "qr_lru_add+0x2c", contended, 306534),
                  lock("lruvec", "qr_lru_remove <&> \"x\"", contended * 1.1, 203815),
                  lock("zone", "", contended / 9, 3204), lock("zone", "qr_zone_take+0xc", contended / 9, 3204)],
        "lines": [{"symbol": "qr_lruvec", "field": "lock", "misses": 120345 * cpus, "invalidations": 99123 * cpus,
                   "cpus": cpus, "site": "qr_lru_add+0x2c"},
                  {"symbol": "qr_zone", "field": "nr_free", "misses": 2345, "invalidations": 912, "cpus": cpus,
                   "site": "qr_zone_take+0xc"}],
        "counters": {"faults": int(rate), "lru_lock_takes": int(rate / (1 if is_slow else 14)), "pages_zeroed": 0},
    }
    json.dump(result, sys.stdout)
    print()


def main():
    words = sys.argv[1:]
    if words[:1] == ["list"]:
        json.dump(CATALOG, sys.stdout)
    elif words[:1] == ["run"]:
        run(parse(words[1:]))
    elif words[:1] in (["validate"], ["calibrate"]):
        print(" ".join(words))
        sys.exit(1 if "--fail" in words else 0)
    else:
        usage("what is that")


main()
