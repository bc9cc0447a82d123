#!/usr/bin/env python3
"""Breaks the broker in the ways of tests/sim/mutations.txt and says which test notices each.

    scripts/mutations.py                       all of them
    scripts/mutations.py drop-dup no-will      these
    scripts/mutations.py --black-box ...       what nothing cheaper notices goes to the black-box tests

Works on a copy of what is committed, in a directory of its own (MUTATIONS_DIR, or one under /tmp),
which it leaves for the next time. The cheapest check comes first: the simulator, then the tests of
the package and of the core, then, if asked for, those from outside. Ends with 1 when a break survives.
"""

import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = "0..3000"


def read(path):
    mutations = []
    for part in path.read_text().split("\n== ")[1:]:
        name, sentence, file, *lines = part.rstrip("\n").split("\n")
        old = "\n".join(line[1:] for line in lines if line.startswith("-"))
        new = "\n".join(line[1:] for line in lines if line.startswith("+"))
        mutations.append((name, sentence, file, old, new))
    return mutations


def run(directory, *command):
    environment = dict(os.environ, CARGO_TARGET_DIR=str(directory / "target"))
    done = subprocess.run(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def first_line(output, marks):
    for line in output.splitlines():
        if any(mark in line for mark in marks):
            return line.strip()[:150]
    return "it failed"


def noticed(directory, file, black_box):
    """Who notices, with the first words of it; None: nobody."""
    cargo = "scripts/cargo.sh"
    code, output = run(directory, cargo, "build", "--quiet", "-p", "sim")
    if code:
        raise ValueError(f"it does not compile: {first_line(output, ['error'])}")
    program = str(directory / "target/debug/sim")
    code, output = run(directory, program, "--seeds", SEEDS, "--no-shrink", "--first", "--seconds", "90")
    if code:
        return "simulator", first_line(output, ["FAULT"])
    for plan in sorted((directory / "tests/sim/regressions").glob("*.plan")):
        code, output = run(directory, program, "--plan", str(plan))
        if code:
            return "simulator", first_line(output, ["FAULT"])
    package = file.split("/")[1]
    for room in dict.fromkeys([package, "core"]):
        code, output = run(directory, "timeout", "300", cargo, "test", "--quiet", "-p", f"flotilla-{room}")
        if code:
            return room, first_line(output, ["panicked at", "FAILED", "error"])
    if black_box:
        code, output = run(directory, cargo, "build", "--quiet", "--workspace", "--bins")
        code = code or run(directory, cargo, "test", "--quiet", "-p", "flotilla-tests")[0]
        if code:
            return "black box", "it failed"
    return None


def main():
    black_box = "--black-box" in sys.argv
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    directory = pathlib.Path(os.environ.get("MUTATIONS_DIR", "/tmp/flotilla-mutations"))
    directory.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    survivors = []
    mutations = read(ROOT / "tests/sim/mutations.txt")
    unknown = set(wanted) - {mutation[0] for mutation in mutations}
    if unknown:
        sys.exit(f"tests/sim/mutations.txt has no {', '.join(sorted(unknown))}")
    subprocess.run(["tar", "-x", "-m", "-C", str(directory)], input=archive, check=True)
    for name, sentence, file, old, new in mutations:
        if wanted and name not in wanted:
            continue
        path = directory / file
        text = path.read_text()
        count = text.count(old)
        if count != 1:
            survivors.append(name)
            print(f"{name:30} NOT TRIED: its lines are {count} times in {file}", flush=True)
            continue
        path.write_text(text.replace(old, new))
        start = time.time()
        try:
            found = noticed(directory, file, black_box)
        except ValueError as error:
            survivors.append(name)
            print(f"{name:30} NOT TRIED: {error}", flush=True)
            continue
        finally:
            path.write_text(text)
        seconds = time.time() - start
        if found is None:
            survivors.append(name)
            print(f"{name:30} SURVIVES ({seconds:.0f} s): {sentence}", flush=True)
        else:
            print(f"{name:30} {found[0]} ({seconds:.0f} s): {found[1]}", flush=True)
    print(f"{len(survivors)} survive: {' '.join(survivors)}" if survivors else "each is noticed")
    sys.exit(1 if survivors else 0)


main()
