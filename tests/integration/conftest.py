import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from suite import Suite  # noqa: E402

# a shell's background job ignores these, and so would every process that is started from here
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


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
