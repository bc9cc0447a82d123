#!/usr/bin/env python3
"""Says which lines of the broker's core are reached by its own tests or the simulator.

    scripts/coverage.py                how much of each file, and each line that nobody reached
    scripts/coverage.py --arms         also each part of a line that nobody reached: arms, `?`, `||`
    scripts/coverage.py --seeds 500    fewer runs of the simulator (3000)
    scripts/coverage.py --at-least 99  ends with 1 when less than 99 % of the lines are reached

Needs an llvm-profdata and an llvm-cov that can read what rustc writes: `rustup component add
llvm-tools`, or Debian's llvm-19, which it installs as root; LLVM_PROFDATA and LLVM_COV name others.
Builds in target/coverage.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASURED = ROOT / "broker/core/src"
TARGET = ROOT / "target/coverage"
PROFILES = TARGET / "profiles"
# The oldest LLVM that reads the profiles of the compiler in rust-toolchain.toml.
LLVM_MIN = 19


def output_of(*command, **options):
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options).stdout


def tools(host):
    """llvm-profdata and llvm-cov."""
    names = ["llvm-profdata", "llvm-cov"]
    named = [os.environ.get(name.upper().replace("-", "_")) for name in names]
    if all(named):
        return named
    of_rust = pathlib.Path(output_of("rustc", "--print", "sysroot").strip(), "lib/rustlib", host, "bin")
    if all((of_rust / name).exists() for name in names):
        return [str(of_rust / name) for name in names]
    for version in range(LLVM_MIN + 20, LLVM_MIN - 1, -1):
        numbered = [shutil.which(f"{name}-{version}") for name in names]
        if all(numbered):
            return numbered
    if os.geteuid() == 0 and shutil.which("apt-get"):
        package = f"llvm-{LLVM_MIN}"
        subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=sys.stderr)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        if subprocess.run(install, check=False, stdout=sys.stderr).returncode == 0:
            return [f"{name}-{LLVM_MIN}" for name in names]
    sys.exit(f"nothing here reads profiles: `rustup component add llvm-tools`, or install LLVM {LLVM_MIN} or newer")


def build(environment, host, *arguments):
    """The programs that were built."""
    command = ["cargo", *arguments, "--target", host, "--message-format=json-render-diagnostics"]
    messages = (json.loads(line) for line in output_of(*command, env=environment).splitlines())
    return [message["executable"] for message in messages if message.get("executable")]


def play(host, seeds):
    """Runs everything: the simulator, the tests of the core."""
    flags = os.environ.get("RUSTFLAGS", "") + " -Cinstrument-coverage"
    environment = dict(os.environ, RUSTFLAGS=flags.strip(), CARGO_TARGET_DIR=str(TARGET))
    [sim] = build(environment, host, "build", "--profile", "sim", "-p", "sim", "--bin", "sim")
    tests = build(environment, host, "test", "--no-run", "-p", "flotilla-core", "--lib", "--tests")
    plans = sorted((ROOT / "tests/sim/regressions").glob("*.plan"))
    runs = [[sim, "--plan", str(plan)] for plan in plans] + [[sim, "--seeds", f"0..{seeds}"]]
    shutil.rmtree(PROFILES, ignore_errors=True)
    for run in runs + [[test, "--quiet"] for test in tests]:
        print("---", os.path.relpath(run[0], ROOT), *run[1:], file=sys.stderr)
        environment["LLVM_PROFILE_FILE"] = str(PROFILES / ("sim" if run[0] == sim else "core") / "%p-%m.profraw")
        done = subprocess.run(run, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{done.stdout}\nit failed; coverage is of tests that pass")
    return [sim], tests


def of_tests(path):
    """The lines of items that are compiled for tests only."""
    lines, skipped, begun = path.read_text().splitlines(), set(), None
    for number, line in enumerate(lines, 1):
        indent = line[: len(line) - len(line.lstrip())]
        if begun is None and line.strip() == "#[cfg(test)]":
            begun = indent
        if begun is not None:
            skipped.add(number)
            if line in (begun + "}", begun + "},") or line.endswith(";") and indent == begun:
                begun = None
    return skipped


def measure(profdata, cov, programs, profiles):
    """For each file: how often each line was reached, how often each part of a line was."""
    merged = str(TARGET / "merged.profdata")
    subprocess.run([profdata, "merge", "-sparse", "-o", merged, *map(str, profiles)], check=True)
    objects = [programs[0], *(f"-object={program}" for program in programs[1:])]
    export = [cov, "export", f"-instr-profile={merged}", *objects]
    lines, regions = collections.defaultdict(dict), collections.defaultdict(dict)
    path = None
    for record in output_of(*export, "-format=lcov", str(MEASURED)).splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            path = pathlib.Path(rest)
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            lines[path][number] = count
    [exported] = json.loads(output_of(*export, "-format=text", "-skip-expansions", str(MEASURED)))["data"]
    for function in exported["functions"]:
        for *place, count, file, _, kind in function["regions"]:
            path = pathlib.Path(function["filenames"][file])
            if path in lines and kind == 0:
                place = tuple(place)
                regions[path][place] = max(count, regions[path].get(place, 0))
    for path in lines:
        skipped = of_tests(path)
        lines[path] = {number: count for number, count in lines[path].items() if number not in skipped}
        regions[path] = {place: count for place, count in regions[path].items() if place[0] not in skipped}
    return lines, regions


def share(counts):
    reached = sum(1 for count in counts if count)
    return f"{reached:6} of {len(counts):6}  {100 * reached / max(1, len(counts)):6.2f} %"


def shares(lines, regions):
    return [share([count for them in every.values() for count in them.values()]) for every in (lines, regions)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3000, metavar="N")
    parser.add_argument("--arms", action="store_true")
    parser.add_argument("--at-least", type=float, default=0, metavar="PERCENT")
    arguments = parser.parse_args()
    [host] = [line.split()[1] for line in output_of("rustc", "-vV").splitlines() if line.startswith("host:")]
    profdata, cov = tools(host)
    sim, tests = play(host, arguments.seeds)
    of_sim = shares(*measure(profdata, cov, sim, PROFILES.glob("sim/*")))
    lines, regions = measure(profdata, cov, sim + tests, PROFILES.glob("*/*"))
    print(f"{'lines':>26}{'arms':>26}")
    for path in sorted(lines):
        print(*shares({path: lines[path]}, {path: regions[path]}), path.relative_to(MEASURED), sep="  ")
    print(*of_sim, "by the simulator", sep="  ")
    print(*shares(lines, regions), "by the simulator or tests of the core", sep="  ")
    print("\nNobody reached:")
    for path in sorted(lines):
        text = path.read_text().splitlines()
        missed = {number: "" for number, count in lines[path].items() if not count}
        if arguments.arms:
            for (line, column, end, end_column), count in regions[path].items():
                if not count and line not in missed:
                    part = text[line - 1][column - 1 : end_column - 1 if line == end else None]
                    missed[line] = f"   <- {part}"
        for number, part in sorted(missed.items()):
            print(f"{path.relative_to(ROOT)}:{number}: {text[number - 1].strip()}{part}")
    counts = [count for them in lines.values() for count in them.values()]
    if 100 * sum(map(bool, counts)) < arguments.at_least * len(counts):
        sys.exit(f"less than {arguments.at_least:g} % of the lines are reached")


main()
