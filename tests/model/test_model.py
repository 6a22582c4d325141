"""The protocol's models, searched by SPIN: the good ones to the end, and each planted bug until it is found. See README.md."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("BUILD", "build")).resolve() / "model"
MEMORY_MIB = 3000
DEPTH = 20000
LIMIT_S = 900  # of one search, on a machine that does much else

# name: model, what is defined, least number of states that a search of everything sees
GOOD = {
    "record": ("record", [], 100_000),
    "holder: vault": ("holder", ["VAULT"], 100_000),
    "holder: vault, a sale is lost": ("holder", ["VAULT", "LOSES_THE_SALE"], 100_000),
    "holder: sandbox": ("holder", ["SANDBOX"], 100_000),
    "follower: one history": ("follower", ["HISTORIES=1", "IDS=4"], 100_000),
    "follower: writes are lost": ("follower", ["HISTORIES=2", "IDS=2"], 100_000),
}
ONE, LOSS = ["HISTORIES=1", "IDS=3"], ["HISTORIES=2", "IDS=2"]
# what is planted: model, bounds, what must be noticed
BUGS = {
    "lease counted from arrival": ("follower", ONE, "LEASE_FROM_ARRIVAL"),
    "lease while behind the head": ("follower", ONE, "LEASE_BEHIND_HEAD"),
    "the bell moves the cursor": ("follower", ONE, "BELL_MOVES_CURSOR"),
    "an answer not held against the marks": ("follower", ONE, "ANSWER_NOT_HELD_AGAINST_MARKS"),
    "answers kept over a new history": ("follower", LOSS, "ANSWERS_KEPT_OVER_HISTORY"),
    "no settling": ("follower", LOSS, "NO_SETTLING"),
    "no proof of loss": ("follower", LOSS, "NO_PROOF_OF_LOSS"),
    "an event's history not compared": ("follower", LOSS, "HISTORY_NOT_COMPARED"),
    "a read that is no write": ("follower", LOSS, "READ_IS_NO_WRITE"),
    "only the newest observation kept": ("record", ["SLOTS=3"], "ONLY_NEWEST_KEPT"),
    "a sign-in that bypasses observe": ("record", ["SLOTS=3"], "SIGN_IN_BYPASSES_OBSERVE"),
    "an observation of the newest's slot dropped": ("record", ["SLOTS=3"], "TIE_IS_NOTHING"),
    "a reset that keeps sessions": ("record", ["SLOTS=3"], "RESET_KEEPS_SESSIONS"),
    "a sandbox that compares the owner only": ("holder", ["SANDBOX"], "COMPARES_OWNER_ONLY"),
    "a sandbox that serves before looking": ("holder", ["SANDBOX"], "SERVES_BEFORE_LOOKING"),
    "a sandbox that registers late": ("holder", ["SANDBOX"], "REGISTERS_LATE"),
    "a vault that compares the owner only": ("holder", ["VAULT"], "COMPARES_OWNER_ONLY"),
    "a vault that registers late": ("holder", ["VAULT"], "REGISTERS_LATE"),
    "a vault that destroys on the record's word": ("holder", ["VAULT"], "DESTROYS_ON_RECORD"),
    "a vault that erases before it is final": ("holder", ["VAULT"], "ERASES_BEFORE_FINAL"),
    "a vault that unlocks on the record's word": ("holder", ["VAULT", "LOSES_THE_SALE"], "UNLOCKS_ON_RECORD"),
}


def search(name, model, defines, bug=None):
    """Generates, compiles and runs one search in a folder of its own -> what it printed."""
    folder = BUILD / re.sub(r"[^a-z0-9]+", "-", name.lower())
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.trail"):
        old.unlink()
    macros = [f"-D{define}" for define in defines + ([bug] if bug else [])]
    source = str(HERE / f"{model}.pml")
    (folder / "replay").write_text(
        f"#!/bin/sh\n# shows the counterexample step by step\ncd {folder} && exec spin -t -p -g -k {model}.pml.trail {' '.join(macros)} {source}\n")
    (folder / "replay").chmod(0o755)
    subprocess.run(["spin", "-a", *macros, source], cwd=folder, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    # breadth first finds the shortest way to a bug; depth first sees all in less memory
    how = ["-O1", "-DBFS"] if bug else ["-O2"]
    subprocess.run(["gcc", *how, "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"],
                   cwd=folder, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    run = subprocess.run(["./pan", f"-m{DEPTH}"], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    (folder / "out.txt").write_text(run.stdout + run.stderr)
    return run.stdout + run.stderr


def needed(items):
    """The searches that the selected tests look at; those of everything first, which take longest."""
    names = {name for item in items for name in [item.callspec.params.get("name")] if name}
    models = {item.callspec.params.get("model") for item in items}
    return [n for n in GOOD if n in names or GOOD[n][0] in models] + [n for n in BUGS if n in names]


@pytest.fixture(scope="session")
def searches(request):
    """All of them, on every processor."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {}
        for name in needed(here):
            model, defines, more = GOOD.get(name) or BUGS[name]
            found[name] = pool.submit(search, name, model, defines, None if name in GOOD else more)
        yield found
        for future in found.values():
            future.cancel()


def unreached(out):
    """Statements that the search never came to, by line and text."""
    return set(re.findall(r'\.pml:(\d+), state \d+, "(.*)"', out.partition("\nunreached in")[2]))


@pytest.mark.parametrize("name", GOOD)
def test_holds_and_everything_was_searched(searches, name):
    out = searches[name].result()
    assert re.search(r"errors: 0$", out, re.M), out
    assert "Full statespace search for:" in out and re.search(r"assertion violations\s+\+", out)
    assert "Search not completed" not in out and "max search depth too small" not in out and "out of memory" not in out, out
    stored = int(float(re.search(r"^\s*([\d.e+]+) states, stored", out, re.M).group(1)))
    assert stored >= GOOD[name][2], f"{stored} states: does the model still do anything?"


@pytest.mark.parametrize("model", sorted({model for model, _, _ in GOOD.values()}))
def test_every_statement_is_reached_in_some_search(searches, model):
    left = None
    for name, (of, defines, _) in GOOD.items():
        if of == model:
            these = unreached(searches[name].result())
            both_needed = left is not None and model == "holder"  # two programs in one file
            left = these if left is None else left | these if both_needed else left & these
    # a loop's end; and what there is only to be never reached
    assert [stmt for stmt in left if stmt[1] != "-end-" and "assert(0)" not in stmt[1]] == []


@pytest.mark.parametrize("name", BUGS)
def test_finds_a_planted_bug(searches, name):
    out = searches[name].result()
    assert "assertion violated" in out and re.search(r"errors: [1-9]", out), f"not noticed: {name}\n{out}"
    assert "invalid array index" not in out, out
