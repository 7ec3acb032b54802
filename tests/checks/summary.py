#!/usr/bin/env python3
"""Adds up the results that meson left: a line for each job, what the failed tests said, and the counts.

usage: summary.py JOB=LOGBASE...    LOGBASE.json and LOGBASE.junit.xml; a job without them counts as one failure.

The JUnit file has the single cases; the JSON file tells how each program ended, which finds those that died or hung
before they reported a failure.
"""
import json
import sys
import xml.etree.ElementTree as xml

MAX_LINES = 25
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def cases_of(path):
    """Test name -> [(case, state)]."""
    cases = {}
    for suite in xml.parse(path).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            kinds = {child.tag for child in case}
            state = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            owner = case.get("classname") or suite.get("name")
            cases.setdefault(owner.split(" / ")[-1].split(".")[-1], []).append((case.get("name"), state))
    return cases


def show(job, log):
    """The failed cases of a program with the comments before them, and the end of what it wrote to stderr."""
    print(f"---- {job}: {log['name']}: {log['result']} after {log['duration']:.1f} s")
    said = []
    for line in (log.get("stdout") or "").splitlines():
        said.append(line)
        if line.startswith("not ok"):
            print("\n".join(said[-MAX_LINES:]))
        if line.startswith(("ok", "not ok")):
            said = []
    print("\n".join(said[-MAX_LINES:] + (log.get("stderr") or "").splitlines()[-MAX_LINES:]))


def add_job(job, base, total, failures):
    here = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        cases = cases_of(base + ".junit.xml")
        with open(base + ".json", encoding="utf-8", errors="replace") as file:
            logs = [json.loads(line) for line in file]
    except (OSError, xml.ParseError, ValueError) as error:
        cases, logs = {}, []
        here["failed"] += 1
        failures.append(f"{job}: no results: {error}")
    for log in logs:
        name = log["name"].split(" / ")[-1]
        own = cases.get(name, [])
        for case, state in own:
            here[state] += 1
            if state == "failed":
                failures.append(f"{job}: {name}: {case}")
        if log["result"] not in GOOD:
            show(job, log)
            if not any(state == "failed" for case, state in own):
                here["failed"] += 1
                failures.append(f"{job}: {name}: {log['result']}")
        elif not own:
            here["skipped" if log["result"] == "SKIP" else "passed"] += 1
    print("{:<12} {passed:5} passed, {failed:3} failed, {skipped:3} skipped".format(job, **here))
    for state, number in here.items():
        total[state] += number


def main():
    total = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    for argument in sys.argv[1:]:
        job, _, base = argument.partition("=")
        add_job(job, base, total, failures)
    for line in failures:
        print("FAILED", line)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
