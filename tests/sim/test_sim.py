"""The simulation: no seed fails, each planted bug makes one fail, and a failing seed replays. See README.md."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SIM = Path(os.environ.get("BUILD", "build")).resolve() / "sim" / "sim"
SEEDS = int(os.environ.get("SEEDS", "25000"))
BUG_SEEDS = 30000  # each is found in a tenth of them
LIMIT_S = 7200


def sim(*arguments):
    return subprocess.run([str(SIM), *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_S, errors="replace")


def bugs():
    if not SIM.exists():
        return ["the simulation is not built"]
    return [line.split()[0] for line in sim("--bugs").stdout.splitlines()]


def failure(run):
    """-> seed and what was wrong, of a run that found something."""
    found = re.search(r"^seed (\d+) FAILED (.*)$", run.stdout, re.M)
    assert found, f"exit {run.returncode}: {run.stdout[-2000:]}{run.stderr[-2000:]}"
    return int(found.group(1)), found.group(2)


def test_no_seed_fails():
    run = sim("--seeds", SEEDS, "--jobs", os.cpu_count() or 1)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    told = run.stdout.splitlines()[0]
    print(told)
    assert f"{SEEDS} seeds in" in told
    # it went as far as what it claims to try
    for what in ("allows", "within the 2 s", "denials", "sessions ended", "ends lost", "of them proven", "receipts", "new histories"):
        assert int(re.search(rf"(\d+) {what}", told).group(1)) > 0, told


@pytest.mark.parametrize("bug", bugs())
def test_finds_a_planted_bug(bug):
    found = sim("--seeds", BUG_SEEDS, "--bug", bug, "--jobs", os.cpu_count() or 1)
    assert found.returncode == 1, f"not noticed: {bug}\n{found.stdout[-2000:]}{found.stderr[-2000:]}"
    seed, why = failure(found)
    assert "liveness" not in why, why  # all of them allow what must not be allowed
    assert failure(sim("--seed", seed, "--bug", bug)) == (seed, why), "does not replay"
    assert sim("--seed", seed).returncode == 0, "fails without the bug, too"


def test_a_seed_is_the_same_each_time():
    first, second = sim("--seed", 7), sim("--seed", 7)
    assert first.returncode == 0 and first.stdout == second.stdout and "judge: " in first.stdout


def test_refuses_what_it_does_not_know():
    assert sim("--bug", "nonsense").returncode == 2
    assert sim("--seeds", "many").returncode == 1
