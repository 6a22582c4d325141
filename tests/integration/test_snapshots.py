"""Snapshots, with real containers, packer, store, vault and chain: what an agent wrote is there again, for its owner alone."""

import pytest

from sandbox_parts import Hosts
from vault_parts import own, owner  # noqa: F401


@pytest.fixture(scope="module")
def world():
    made = Hosts(sandboxes=2)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


def test_a_lost_volume_comes_back_from_the_snapshot(v, owner):
    v.up(owner).remember(owner, "remember me")
    made = v.save(owner)
    assert made["id"] == 1 and v.listed(owner) == [1]
    assert v.save(owner, outcome="unchanged")["id"] == 1
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    assert v.memory(owner) == "remember me"
