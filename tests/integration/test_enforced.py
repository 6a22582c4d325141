"""An event is done when every replica that lives has enforced it, what goes on after the reading included (architecture, rule 15). The test is router, operator and
warden; everything else is real."""

import signal
import sqlite3
import time

import pytest

from sandbox_parts import Sandboxes, agent_id
from suite import Wallet, wait_until
from test_vault_sale import states_of
from vault_parts import own, refusal  # noqa: F401: own is a fixture

ALL = {"auth-1": "auth", "session-1": "session", "chain-oracle-1": "chain-oracle", "secret-vault-1": "secret-vault", "sandbox-1": "sandbox"}


@pytest.fixture(scope="module")
def world():
    made = Sandboxes()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def s(world):
    yield world
    world.warden.holds.clear()
    world.warden.answers.clear()
    for name in ALL:
        assert world.processes[name].poll() is None, world.log(name, 60)


@pytest.fixture
def owner(s):
    made = s.new_owner()
    made.agent = agent_id(made.asset)
    return made


def done(s, ended, wait_ms=5000):
    answer = s.enforced(ended, wait_ms)
    assert answer["done"] and set(answer["states"].values()) == {"done"}, answer
    return answer


def open_ones(s, ended, wait_ms=600):
    """Who has not, after a time in which all others have."""
    answer = s.enforced(ended, wait_ms)
    assert not answer["done"] and not answer["lost"]
    return {name for name, state in answer["states"].items() if state != "done"}


def read_states(s, owner):
    def read():
        try:
            return states_of(s, owner)
        except sqlite3.Error:
            return None  # a copy made in the middle of a write

    return wait_until("a copy", read, 5, 0.01)


def revoke(s, owner):
    return s.operator.call("session.revoke", asset=owner.asset)


def sell(s, owner):
    """The event by which everybody learns of it."""
    before = s.redis.xrevrange("mc:events", count=1)[0][0]
    s.transfer(owner.asset, Wallet())

    def event():
        for number, entry in s.redis.xrange("mc:events", min=b"(" + before):
            if entry[b"a"] == owner.asset.encode() and entry[b"k"] == b"transfer":
                return {"event": number.decode(), "history": entry[b"h"].decode()}
        return None

    return wait_until("the oracle sees it", event, 10, 0.02)


def release(s, name, owner):
    """What the warden was asked and did not answer, it does now."""
    with s.warden.lock:
        s.warden.holds.discard(name)
        for _, _, _, packet in s.warden.asked(name, agent=owner.agent):
            getattr(s.warden, f"do_{name.lower()}")(packet, [])


def test_everybody_has_and_says_after_what_time(s, owner):
    answer = done(s, revoke(s, owner))
    assert {r["replica"]: r["role"] for r in answer["replicas"]} == ALL
    assert max(answer["ms"].values()) < 3000 and not answer["settling"]


@pytest.mark.parametrize("end", [revoke, sell], ids=lambda end: end.__name__)
def test_an_event_is_open_until_the_container_is_gone(s, owner, end):
    s.run(owner)
    s.warden.holds.add("KILL")
    ended = end(s, owner)
    assert open_ones(s, ended) == {"sandbox-1"}
    release(s, "KILL", owner)
    assert done(s, ended)["ms"]["sandbox-1"] > 400


def test_an_event_is_open_until_the_connections_are_reset(s, owner):
    s.run(owner)
    s.warden.holds.add("RESET")
    ended = s.session.call("session.end", token=owner.token)
    assert open_ones(s, ended) == {"sandbox-1"}
    release(s, "RESET", owner)
    assert done(s, ended)["ms"]["sandbox-1"] > 400


def test_connections_that_could_not_be_reset_are_reset_again(s, owner):
    s.run(owner)

    def fail(packet, fds):
        answer = s.warden.packet("RESETTED", packet)
        answer.u.text = b"no memory"
        s.warden.send(answer)

    s.warden.answers["RESET"] = fail
    ended = s.session.call("session.end", token=owner.token)
    assert open_ones(s, ended) == {"sandbox-1"}
    s.warden.answers.clear()
    done(s, ended)
    assert len(s.warden.asked("RESET", agent=owner.agent)) > 1


def test_connections_are_reset_by_a_warden_that_was_away(s, owner):
    s.run(owner)
    s.warden.stop()
    ended = s.session.call("session.end", token=owner.token)
    assert open_ones(s, ended) == {"sandbox-1"}
    before = time.monotonic()
    s.warden.start()
    done(s, ended)
    assert s.warden.asked("RESET", agent=owner.agent, since=before)


def test_what_a_late_warden_names_to_a_new_sandbox_is_reset_and_killed_as_well(own):  # noqa: F811
    """Sandbox was down, and has looked at all it holds before it knows what runs."""
    s = own(cls=Sandboxes).start()
    owner, other = s.new_owner(), s.new_owner()
    owner.agent, other.agent = agent_id(owner.asset), agent_id(other.asset)
    s.run(owner)
    s.run(other)
    looks = s.log("sandbox-1", 10**6).count("looked at everything")
    s.stop_sandbox(sig=signal.SIGKILL)
    s.warden.stop()
    ended, revoked = s.session.call("session.end", token=owner.token), revoke(s, other)
    s.launch_sandbox()
    wait_until("it has looked", lambda: s.log("sandbox-1", 10**6).count("looked at everything") > looks, 10)
    s.warden.holds |= {"RESET", "KILL"}
    s.warden.start()
    for name, one in ("RESET", owner), ("KILL", other):
        wait_until(name, lambda: s.warden.asked(name, agent=one.agent), 5)
        assert open_ones(s, revoked) == {"sandbox-1"}
        release(s, name, one)
    done(s, ended)
    done(s, revoked)


def test_without_a_warden_a_sale_is_open_until_it_is_back_and_has_killed(s, owner):
    s.run(owner)
    s.warden.stop()
    ended = sell(s, owner)
    assert open_ones(s, ended) == {"sandbox-1"}
    s.warden.start()
    done(s, ended)
    assert not s.warden.agents.get(owner.agent)


def test_a_start_in_progress_is_dropped_before_it_is_done(s, owner):
    s.put(owner.token, "custom", "word", "the word")
    s.signal("secret-vault-1", signal.SIGSTOP)
    try:
        s.ask("start", token=owner.token)
        wait_until("it begins", lambda: s.redis.sismember(f"mc:held:{owner.asset}", "sandbox:sandbox-1"), 5)
        ended = sell(s, owner)
        assert open_ones(s, ended) == {"secret-vault-1"}, "the sandbox has nothing any more"
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    done(s, ended)
    assert s.warden.asked("START", agent=owner.agent) == []


def test_what_a_sandbox_finds_at_its_start_is_open_until_it_is_gone(s, owner):
    s.run(owner)
    s.stop_sandbox(1, signal.SIGKILL)
    ended = sell(s, owner)
    s.warden.holds.add("KILL")
    s.launch_sandbox()
    wait_until("a KILL", lambda: s.warden.asked("KILL", agent=owner.agent), 10)
    assert open_ones(s, ended) == {"sandbox-1"}
    release(s, "KILL", owner)
    done(s, ended)
    s.wait_sandbox()


def test_a_container_that_a_sandbox_cannot_see_yet_keeps_events_open(s, owner):
    s.run(owner)
    s.stop_sandbox(1, signal.SIGKILL)
    s.warden.stop()
    ended = sell(s, owner)
    s.launch_sandbox()
    wait_until("it reads", lambda: open_ones(s, ended, 0) == {"sandbox-1"}, 10, 0.1)
    assert open_ones(s, ended, 2500) == {"sandbox-1"}, "it looked, and has no warden to say what runs"
    s.warden.start()
    done(s, ended)
    s.wait_sandbox()


def test_the_former_owners_period_is_locked_when_it_is_done(s, owner):
    s.put(owner.token, "custom", "word", "the word")
    assert read_states(s, owner) == ["live"]
    done(s, sell(s, owner))
    assert read_states(s, owner) in (["locked"], ["destroyed"])


def test_a_sandbox_that_is_silent_is_named_and_waited_for_until_an_operator_says_that_it_is_no_more(s, owner):
    s.stop_sandbox(1, signal.SIGKILL)
    ended = revoke(s, owner)
    began = time.monotonic()
    answer = s.enforced(ended, 9000)
    assert 3 < time.monotonic() - began < 7, "no longer than it takes to know that it is silent"
    assert (answer["done"], answer["states"].pop("sandbox-1")) == (False, "silent") and set(answer["states"].values()) == {"done"}
    assert refusal(s.session.call, "session.unlist", replica="sandbox-1")[0] == "denied", "not a router's word"
    assert s.operator.call("session.unlist", replica="sandbox-1")["was_listed"]
    assert "sandbox-1" not in done(s, ended)["states"]
    s.launch_sandbox()
    s.wait_sandbox()
    assert done(s, ended)["states"]["sandbox-1"] == "done"


def test_one_that_holds_nothing_is_named_and_not_waited_for(s, owner):
    s.processes["auth-1"].kill()
    s.processes["auth-1"].wait()
    ended = revoke(s, owner)
    answer = s.enforced(ended, 9000)
    assert answer["done"] and answer["states"].pop("auth-1") == "silent" and set(answer["states"].values()) == {"done"}
    s.launch_daemon("auth-1")
    wait_until("it is back", lambda: s.enforced(ended)["states"]["auth-1"] == "done", 10, 0.1)


def test_one_that_is_paused_is_open_until_it_goes_on(s, owner):
    s.signal("secret-vault-1", signal.SIGSTOP)
    try:
        ended = revoke(s, owner)
        assert open_ones(s, ended) == {"secret-vault-1"}
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    done(s, ended)


def test_nothing_is_done_while_a_history_settles(own):  # noqa: F811
    s = own(cls=Sandboxes).start()
    owner = s.new_owner()
    ended = revoke(s, owner)
    done(s, ended)
    s.processes["redis"].kill()
    s.processes["redis"].wait()
    s.launch_redis()

    def settling():
        try:
            return s.enforced(ended)["settling"]
        except Exception:  # noqa: BLE001: it is not connected yet
            return False

    wait_until("a new history", settling, 5, 0.01)
    answer = s.enforced(ended)
    assert answer["settling"] is False or not answer["done"]
    done(s, ended)


def test_an_event_that_redis_lost_is_said_to_be_lost(s, owner):
    ended = revoke(s, owner)
    s.redis.xdel("mc:events", ended["event"])
    answer = s.enforced(ended, 5000)
    assert answer["lost"] and not answer["done"]


@pytest.mark.parametrize("named", ["asset", "session", "wallet"])
def test_an_operator_names_an_asset_a_session_or_a_wallet(s, owner, named):
    other = s.sign_in(owner, owner.asset)["token"]
    second = s.mint(owner)
    elsewhere = s.sign_in(owner, second)["token"]
    what = {"asset": owner.asset, "session": s.check(owner.token)["jti"], "wallet": owner.address}[named]
    ended = s.operator.call("session.revoke", what=what)
    done(s, ended)
    good = []
    for token in (owner.token, other, elsewhere):
        try:
            good.append(bool(s.check(token)))
        except Exception as e:  # noqa: BLE001
            assert e.reason == "session_revoked"
            good.append(False)
    assert good == {"asset": [False, False, True], "session": [False, True, True], "wallet": [False, False, False]}[named]


def test_what_names_nothing_ends_nothing(s):
    for what in ("0" * 32, Wallet().address):
        assert not s.operator.call("session.revoke", what=what).get("event")
    assert refusal(s.operator.call, "session.revoke", what="no address")[0] == "invalid"
    assert refusal(s.operator.call, "session.revoke", what=Wallet().address, everything=True)[0] == "invalid"
    assert refusal(s.session.call, "session.enforced", event="x-y", history="h")[0] == "invalid"


def test_not_more_than_so_many_wait(s, owner):
    s.run(owner)
    s.warden.holds.add("KILL")
    ended = revoke(s, owner)
    peer = s.peer("router", "session")
    sent = [peer.send("session.enforced", 5.0, event=ended["event"], history=ended["history"], wait_ms=1500) for _ in range(70)]
    answers = [peer.receive(6)[0]["status"] for _ in sent]
    assert (answers.count("ok"), answers.count("busy")) == (64, 6) and answers[:6] == ["busy"] * 6
    release(s, "KILL", owner)
    done(s, ended)
