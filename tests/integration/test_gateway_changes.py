"""Keys that are changed while they are used: by their owner, by an operator, with Redis and without."""

import signal
import time

import pytest

from gateway_parts import Container, Gateways
from parts import Refused
from suite import Wallet, wait_until
from vault_parts import Vaults, owner, own, random_key  # noqa: F401

PATH = "/openai/v1/plain/models"  # with a global key, too
NO_ASSET = "1" * 32  # of events of the operators' keys


@pytest.fixture(scope="module")
def world():
    made = Gateways()
    try:
        made.start()
        made.second = made.launch_second()
        yield made
    finally:
        made.stop()


@pytest.fixture
def v(world):
    yield world
    world.provider.seen.clear()


@pytest.fixture
def both(v, owner):  # noqa: F811
    """One agent as two gateways know it, with a key that both have used."""
    made = v.container(owner)
    made.owner, made.key = owner, random_key("sk-proj-")
    v.peer_of("sandbox", "llm-gateway", 2).call("gateway.admit", **made.admission)
    made.everywhere = [made, Container(v, made.address, made.token, v.second)]
    v.put(owner.token, "llm", "openai", made.key)
    assert used(v, made) == [(200, made.key)] * 2
    return made


def used(v, both):
    """[(status, the key that went upstream, or the code of the refusal)] of each gateway."""
    found = []
    for container in both.everywhere:
        status, headers, _ = container.ask("GET", PATH)
        found.append((status, headers["X-Multiclaw-Error"] or v.provider.seen[-1]["headers"]["Authorization"].removeprefix("Bearer ")))
    return found


def events_of(v, asset):
    return [e[b"k"].decode() for _, e in v.redis.xrange("mc:events") if e[b"a"] == asset.encode()]


def serves(container):
    try:
        return container.ask("GET", PATH)[0] == 200
    except OSError:
        return False


def test_a_changed_key_is_the_next_calls(v, both):
    for _ in range(20):
        key = random_key("sk-proj-")
        v.put(both.owner.token, "llm", "openai", key)
        assert used(v, both) == [(200, key)] * 2


def test_a_gateway_that_hears_no_bell_knows_before_it_sends(own):  # noqa: F811
    """It reads events each 250 ms; each call reads them once more if there are newer ones, and that is what these calls meet."""
    v = own(Gateways)
    v.of_gateway["MULTICLAW_BELLS"] = "ipc://run/nobody.bell"
    v.start()
    owner = v.new_owner()
    container, buyer = v.container(owner), Wallet()
    container.everywhere = [container]
    for _ in range(20):
        key = random_key()
        v.put(owner.token, "llm", "openai", key)
        assert used(v, container) == [(200, key)]
    sent = len(v.provider.seen)
    last = v.redis.xrevrange("mc:events", count=1)[0][0]
    v.transfer(owner.asset, buyer)
    while not any(e[b"k"] == b"transfer" for _, e in v.redis.xrange("mc:events", min=b"(" + last)):
        pass
    assert not serves(container) and len(v.provider.seen) == sent, "the seller's key is not sent any more"


def test_a_deleted_key_is_not_the_next_calls(v, both):
    everybodys = random_key()
    assert v.delete(both.owner.token, "llm", "openai")
    assert used(v, both) == [(403, "key_not_available")] * 2
    v.put(both.owner.token, "llm", "openai", both.key)
    assert used(v, both) == [(200, both.key)] * 2
    v.operate("global_put", provider="openai", value=everybodys.encode())
    try:
        assert v.delete(both.owner.token, "llm", "openai")
        assert used(v, both) == [(200, everybodys)] * 2, "the rule: the owner's, then everybody's"
    finally:
        v.operate("global_delete", provider="openai")


def test_a_changed_global_key_is_every_agents_next_calls(v, both):
    v.delete(both.owner.token, "llm", "openai")
    other, first, rotated = v.container(v.new_owner()), random_key(), random_key()
    both.everywhere.append(other)
    try:
        for key in (first, rotated):
            v.operate("global_put", provider="openai", value=key.encode())
            assert used(v, both) == [(200, key)] * 3
    finally:
        v.operate("global_delete", provider="openai")
    assert used(v, both) == [(403, "key_not_available")] * 3


def test_what_an_operator_destroys_is_not_the_next_calls(v, both):
    v.operate("destroy_owner", asset=both.owner.asset, wallet=both.owner.address)
    assert [status for status, _ in used(v, both)] == [403] * 2


def test_a_change_is_told_once_and_only_if_there_was_one(v, both):
    """A name, never a value; secrets that no gateway has are nobody's news."""
    before, of_operators = events_of(v, both.owner.asset).count("secret"), events_of(v, NO_ASSET)
    key = random_key()
    v.put(both.owner.token, "custom", "note", key)
    assert v.delete(both.owner.token, "custom", "note") and not v.delete(both.owner.token, "llm", "gemini")
    v.operate("global_delete", provider="gemini")
    assert events_of(v, both.owner.asset).count("secret") == before and events_of(v, NO_ASSET) == of_operators
    v.put(both.owner.token, "llm", "openai", key)
    assert events_of(v, both.owner.asset).count("secret") == before + 1 and events_of(v, NO_ASSET) == of_operators
    v.operate("global_put", provider="gemini", value=key.encode())
    assert v.operate("global_delete", provider="gemini")["existed"]
    assert events_of(v, NO_ASSET) == of_operators + ["secret"] * 2
    assert key not in str(v.redis.xrange("mc:events"))


def test_a_change_ends_no_call_that_is_under_way_and_no_session(v, both):
    streams = [container.begin("GET", "/openai/v1/endless") for container in both.everywhere]
    for _, response in streams:
        assert response.readline()
    session = v.session.call("session.check", token=both.owner.token)["jti"]
    key = random_key("sk-proj-")
    v.put(both.owner.token, "llm", "openai", key)
    v.operate("global_put", provider="openai", value=random_key().encode())
    v.operate("global_delete", provider="openai")
    v.passed("llm-gateway-1", "llm-gateway-2")
    assert used(v, both) == [(200, key)] * 2
    for _ in range(200):  # more than was under way
        for _, response in streams:
            assert response.readline(), "it goes on"
    assert v.session.call("session.check", token=both.owner.token)["jti"] == session
    for connection, _ in streams:
        connection.close()


def test_what_is_said_of_the_operators_keys_cuts_nobody_whatever_it_is(v, both):
    """All sessions of an asset that is none can be ended by an operator; that is no word about any agent."""
    connection, response = both.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.operator.call("session.revoke", asset=NO_ASSET)
    assert events_of(v, NO_ASSET)[-1] == "revoked"
    v.passed("llm-gateway-1")
    for _ in range(200):
        assert response.readline(), "it goes on"
    connection.close()


def test_a_change_that_cannot_be_told_is_stored_and_followed_in_time(own):  # noqa: F811
    v = own(Gateways, MULTICLAW_GATEWAY_KEY_S=2)
    v.start()
    owner = v.new_owner()
    container, key, changed = v.container(owner), random_key(), random_key()
    container.everywhere = [container]
    v.put(owner.token, "llm", "openai", key)
    v.passed("llm-gateway-1")
    assert used(v, container) == [(200, key)]
    v.redis.execute_command("ACL", "SETUSER", "secret-vault", "-xadd")
    begin = time.monotonic()
    v.put(owner.token, "llm", "openai", changed)
    v.operate("global_put", provider="gemini", value=random_key().encode())
    assert used(v, container) == [(200, key)] or time.monotonic() - begin > 1.5
    wait_until("it follows", lambda: used(v, container) == [(200, changed)], 5, 0.1)
    assert time.monotonic() - begin < 3.5
    assert v.log("secret-vault-1", 400).count("an event is told to nobody") == 2


def test_without_redis_an_operators_key_is_stored_and_no_gateway_keeps_the_former(own):  # noqa: F811
    v = own(Gateways, MULTICLAW_GATEWAY_KEY_S=60)
    v.start()
    container, former, changed = v.container(v.new_owner()), random_key(), random_key()
    container.everywhere = [container]
    v.operate("global_put", provider="openai", value=former.encode())
    assert used(v, container) == [(200, former)]
    v.signal("redis", signal.SIGSTOP)
    try:
        v.operate("global_put", provider="openai", value=changed.encode())
        wait_until("it serves nothing", lambda: container.ask("GET", PATH)[0] == 503, 5)
    finally:
        v.signal("redis", signal.SIGCONT)
    wait_until("it serves again", lambda: serves(container), 10)
    assert used(v, container) == [(200, changed)]


def test_an_owner_who_changes_keys_without_end_is_held_back(own):  # noqa: F811
    v = own(Vaults, MULTICLAW_VAULT_PUTS_PER_MINUTE=5)
    v.start()
    owner, outcomes = v.new_owner(), []
    for i in range(10):
        try:
            v.put(owner.token, "llm", "openai", random_key())
            outcomes.append("stored")
        except Refused as e:
            outcomes.append(e.reason)
    assert outcomes == ["stored"] * 5 + ["rate_limited"] * 5
    assert events_of(v, owner.asset).count("secret") == 5
