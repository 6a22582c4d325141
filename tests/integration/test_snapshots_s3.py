"""Snapshots while their S3 storage is away."""

import pytest

from sandbox_parts import Hosts
from store_parts import S3Server
from suite import wait_until
from vault_parts import own, owner  # noqa: F401


@pytest.fixture(scope="module")
def s3():
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def world(s3):
    made = Hosts(s3=s3, MULTICLAW_STORE_S3_TRIES=2, MULTICLAW_STORE_S3_STALL_S=3)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


def test_a_storage_that_is_away_and_comes_back(v, s3, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    s3.stop()
    assert v.ask("snapshot", timeout=60, token=owner.token, wait_ms=20000).get("outcome") in ("failed", None)
    wait_until("it has given up", lambda: v.saves(owner).get("doing", "") == "", 60, 0.1)
    assert v.listed(owner) == [1] and v.ask("state", token=owner.token)["snapshot_why"]
    s3.start()
    v.save(owner)
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    assert v.memory(owner) == "second"
