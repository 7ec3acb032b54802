"""What bench/policies.sh shows: misses of a policy over those of the better of LRU and CLOCK, from replay's JSON.

usage: policies.py POLICY JSON_FILE|- REPLAY_JSON...
"""
import json
import os
import sys

WORST_BAR = 1.02
MEAN_BAR = 0.95
RIVALS = ("lru", "clock")


def cells_of(path, policy):
    """(whether it is sampled, trace, size, misses of the policy, of the better rival) for each cell."""
    with open(path) as file:
        document = json.load(file)
    for trace in document["traces"]:
        misses = {(result["policy"], result["size"]): result["misses"] for result in trace["results"]}
        for (name, size), own in misses.items():
            if name == policy:
                rival = min(misses[other, size] for other in RIVALS)
                yield bool(document["sampling_share"]), os.path.basename(trace["path"]), size, own, rival


def mean_of(rows):
    """Of the traces' means; traces that differ by their seed alone count as one."""
    means = {}
    for trace, row in rows.items():
        means.setdefault(trace.split(".")[0], []).append(sum(row.values()) / len(row))
    return sum(sum(part) / len(part) for part in means.values()) / len(means)


def show(title, cells):
    """Prints a table for one way of reporting touches; returns its summary."""
    sizes = {}
    rows = {}
    for _, trace, size, own, rival in cells:
        rows.setdefault(trace, {})[size] = own / rival if rival else 1.0
    for row in rows.values():
        sizes.update(dict.fromkeys(row))
    sizes = sorted(sizes, key=lambda size: float(size.rstrip("%")))
    print(f"\n{title}\n")
    print(f"{'trace':14}" + "".join(f"{size:>8}" for size in sizes) + f"{'mean':>9}")
    for trace, row in rows.items():
        mean = sum(row.values()) / len(row)
        print(f"{trace:14}" + "".join(f"{row[s]:8.3f}" if s in row else " " * 8 for s in sizes) + f"{mean:9.3f}")
    worst = max(value for row in rows.values() for value in row.values())
    mean = mean_of(rows)
    holds = {"worst": worst <= WORST_BAR, "mean": mean <= MEAN_BAR}
    for name, value, bar in (("worst", worst, WORST_BAR), ("mean", mean, MEAN_BAR)):
        print(f"{name} {value:.3f}, bar {bar}: {'holds' if holds[name] else 'DOES NOT HOLD'}")
    return {"worst": worst, "mean": mean, "holds": all(holds.values()), "ratios": rows}


def main():
    policy, out = sys.argv[1:3]
    cells = [cell for path in sys.argv[3:] for cell in cells_of(path, policy)]
    better = f"misses of {policy}, divided by those of the better of LRU and CLOCK"
    result = {
        "policy": policy,
        "sampled": show(f"Touches sampled, as in a process: {better}", [c for c in cells if c[0]]),
        "every_touch": show(f"Every touch reported: {better}", [c for c in cells if not c[0]]),
    }
    if out != "-":
        with open(out, "w") as file:
            json.dump(result, file, indent=1)
    return 0 if result["sampled"]["holds"] else 1


sys.exit(main())
