"""Snapshots with an S3-speaking server that checks signatures, in place of a folder."""

import xml.etree.ElementTree as ElementTree

import pytest

from sandbox_parts import Hosts, agent_id
from store_parts import S3Server
from suite import wait_until
from vault_parts import own, owner  # noqa: F401


@pytest.fixture(scope="module")
def s3():
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def world(s3):
    made = Hosts(sandboxes=2, MULTICLAW_SANDBOX_FORMER_KEEP_S=1, MULTICLAW_STORE_S3_TRIES=2, MULTICLAW_STORE_S3_STALL_S=3, **s3.settings())
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


def objects(s3, owner):
    status, body = s3.request("GET", f"/{s3.BUCKET}", {"list-type": "2", "prefix": f"agents/{agent_id(owner.asset)}/"})
    assert status == 200, body
    return [key.text for key in ElementTree.fromstring(body).iter() if key.tag.endswith("}Key")]


def test_a_lost_host_and_a_damaged_object(v, s3, owner):
    v.up(owner)
    for text in ("one", "two"):
        v.remember(owner, text)
        v.save(owner)
    newest = next(key for key in objects(s3, owner) if key.rsplit("/", 1)[1].startswith("00000000000000000002-") and key.endswith(".archive"))
    assert s3.request("PUT", f"/{s3.BUCKET}/{newest}", body=b"something else")[0] == 200
    assert v.place(owner, "sandbox-2") == {"moved": True, "was": "sandbox-1"}
    v.up(owner, replica=2)
    assert v.memory(owner, replica=2) == "one"
    shown = v.saves(owner, replica=2)["snapshots"]
    assert [(s["id"], s.get("damaged", False)) for s in shown] == [(2, True), (1, False)]
    v.remember(owner, "three", replica=2)
    assert v.save(owner, replica=2)["id"] == 3


def test_what_was_a_sellers_is_gone(v, s3, owner):
    v.up(owner).remember(owner, "the seller's")
    v.down(owner)
    assert len(objects(s3, owner)) == 2
    sold = v.sell(owner)
    v.up(sold)
    assert v.memory(sold) == ""
    wait_until("they are swept", lambda: not objects(s3, owner), 30, 0.2)


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
