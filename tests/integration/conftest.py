import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from suite import Suite  # noqa: E402

# a shell's background job ignores these, and so would every process that is started from here
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def why_no_containers():
    """In words, or "" where agents can have containers."""
    if os.geteuid() != 0:
        return "containers need root"
    missing = [name for name in ("runc", "nft", "umoci", "gocryptfs", "catatonit", "mkfs.ext4") if not shutil.which(name)]
    if missing:
        return f"containers need {', '.join(missing)}"
    missing = [path for path in ("/dev/fuse", "/dev/loop-control") if not pathlib.Path(path).exists()]
    if missing:
        return f"containers need {', '.join(missing)}"
    made = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "nft", "list", "ruleset"], capture_output=True, text=True)
    return f"containers need namespaces of their own: {made.stderr.strip()}" if made.returncode else ""


@pytest.fixture(scope="session")
def containers():
    """For a test that starts containers: `def test_x(containers, own): own(containers=True)`. Where there can be none it is skipped, and says why."""
    why = why_no_containers()
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def shared():
    """One suite for every test that leaves it as it found it."""
    with Suite() as suite:
        yield suite


@pytest.fixture
def own():
    """Makes suites that belong to the test: own(replicas=2, MULTICLAW_X=...)."""
    made = []

    def make(**settings):
        made.append(Suite(**settings))
        return made[-1].start()

    yield make
    for suite in made:
        suite.stop()
