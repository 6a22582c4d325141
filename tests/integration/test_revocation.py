"""Nobody is let in on old knowledge, whatever is lost, cut, stopped or shifted: the bars that stand beside the protocol in ARCHITECTURE.md.

What each router says is asked at its own socket."""

import copy
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from cut_parts import Network, Relay, WallClocks
from storm import Line
from suite import BIN, SANITIZED, Wallet, wait_until
from test_bad_input import new_owner
from test_edge import Edge

FAST = {"MULTICLAW_EDGE_RATE": 100000, "MULTICLAW_EDGE_CONNECTIONS": 10000}
ROUTERS = ("router-1", "router-2")
DAY_S = 86400
SALES = int(os.environ.get("UNANNOUNCED_SALES", "8"))


@pytest.fixture(scope="module")
def running():
    made = Edge(replicas=2, **FAST)
    yield made.suite
    made.stop()


@pytest.fixture
def made():
    """made(prepare, **settings): a suite of the test's own; prepare(suite) is called before it starts."""
    edges = []

    def make(prepare=None, **settings):
        edges.append(Edge(prepare, **{**FAST, **settings}))
        return edges[-1].suite

    yield make
    for edge in edges:
        edge.stop()


def at(suite, replica, owner, timeout_s=5):
    """What this router says of a request of the owner to the own agent: 200, 401, or 503 if it does not know."""
    line = Line(suite, suite.state / f"run/{replica}.authz", timeout_s)
    try:
        return line.decided(owner.agent, owner.inside)
    finally:
        line.close()


def sign_in(suite, owner):
    answer = suite.try_sign_in(owner, owner.asset)
    if answer.token:
        owner.token, owner.agent = answer.token, answer.json["agent_id"]
        owner.inside = suite.enter(owner.token)
    return answer.status


def signed_in(suite, routers=ROUTERS):
    """A wallet with an asset and a session that these routers have in their cache."""
    owner = new_owner(suite)
    assert sign_in(suite, owner) == 200
    for replica in routers * 3:
        assert at(suite, replica, owner) == 200
    return owner


def log_out(suite, owner, replica="router-2"):
    line = Line(suite, suite.state / f"run/{replica}.api")
    assert line.ask("POST", "/v1/auth/logout", {}, owner.token)[0] == 204
    line.close()


def metric(suite, replica, name):
    told = suite.ops(replica, "/metrics")
    assert told, f"{replica} does not answer"
    return sum(float(n) for n in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", told, re.M))


def skew_s(suite, replica):
    """Of its clock and those of whom it asks, as it measured it."""
    return int(re.search(r"(\d+) ms apart", suite.ops(replica, "/readyz"))[1]) / 1000


def denied_within(suite, owner, seconds, routers=ROUTERS, since=None):
    """Each of them; none allows it any more afterwards."""
    since = since or time.monotonic()
    last = {replica: 0.0 for replica in routers}
    while time.monotonic() < since + seconds + 0.5:
        for replica in routers:
            asked = time.monotonic()
            if at(suite, replica, owner) == 200:
                last[replica] = asked - since
    assert max(last.values()) < seconds, last
    for replica in routers:
        wait_until(f"{replica} says that it is over", lambda: at(suite, replica, owner) == 401, 3)


# ---- what the bus loses


def test_with_every_message_of_the_bus_lost_a_session_ends_within_a_second(made):
    names = [f"{service}-{i}" for service in ("session", "chain-oracle") for i in (1, 2)] + ["secret-vault-1"]
    relays = []

    def prepare(suite):
        (suite.state / "cut").mkdir(mode=0o755)
        relays.extend(Relay(suite.state / f"cut/{name}.bell", suite.state / f"run/{name}.bell") for name in names)

    suite = made(prepare, replicas=2, MULTICLAW_BELLS=",".join(f"ipc://cut/{name}.bell" for name in names))

    def heard():
        return [metric(suite, replica, "multiclaw_bell_heard_total") for replica in ROUTERS]

    def rung():
        return sum(metric(suite, name, "multiclaw_bell_rung_total") for name in names)

    before = heard()
    log_out(suite, signed_in(suite))
    wait_until("each router hears the bell as long as it is whole", lambda: all(now > then for now, then in zip(heard(), before)), 2)
    for relay in relays:
        relay.lose()
    before, rung_before = heard(), rung()
    for way in ("logout", "operator", "ban", "transfer", "burn"):
        owner = signed_in(suite)
        if way == "logout":
            log_out(suite, owner)
        elif way == "operator":
            suite.cli("revoke", "--asset", owner.asset)
        elif way == "ban":
            suite.cli("ban", owner.address)
        else:
            to = {"to": Wallet().address} if way == "transfer" else {}
            suite.rpc(f"devchain_{way}", {"asset": owner.asset, "wait": "confirmed", **to})
        denied_within(suite, owner, 1)
    assert heard() == before and rung() >= rung_before + 5, "bells were rung, and none was heard"
    for relay in relays:
        relay.stop()


# ---- what is cut off


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
def test_a_router_cut_off_by_its_network_denies_within_2_s_and_serves_again_by_itself(made):
    with Network() as network:
        suite = made(replicas=2)
        tcp = lambda name: Relay((network.here, 0), suite.state / "run" / name)
        every = {setting: [f"{service}-{i}.{kind}" for service in services for i in (1, 2) if (service, i) != ("secret-vault", 2)] for setting, kind, services in (
            ("SESSIONS", "bus", ["session"]), ("AUTHS", "bus", ["auth"]), ("ORACLES", "bus", ["chain-oracle"]), ("VAULTS", "bus", ["secret-vault"]),
            ("WALLETS", "bus", ["agent-wallet"]), ("BELLS", "bell", ["session", "chain-oracle", "secret-vault"]))}
        relays = {name: tcp(name) for names in [*every.values(), ["redis.sock"]] for name in names}
        settings = {f"MULTICLAW_{setting}": ",".join(f"tcp://{network.here}:{relays[name].port}" for name in names) for setting, names in every.items()}
        env = suite.env_of("router", MULTICLAW_REPLICA="router-9", MULTICLAW_REDIS=f"{network.here}:{relays['redis.sock'].port}", **settings)
        with open(suite.state / "log/router-9.log", "wb") as log:
            process = subprocess.Popen([*network.inside, BIN / "multiclaw-router", "-c", "conf/suite.conf"], cwd=suite.state, env=env, stderr=log)
        stays, goes = signed_in(suite), signed_in(suite)
        try:
            wait_until("it is there", lambda: (suite.state / "run/router-9.authz").exists() and at(suite, "router-9", goes) == 200, 10, 0.05)
            for lasting_s in (3, 6):
                network.cut()
                since = time.monotonic()
                try:
                    log_out(suite, goes)
                    last = 0.0
                    while time.monotonic() < since + lasting_s:
                        for one in (goes, stays):
                            asked = time.monotonic()
                            status = at(suite, "router-9", one)
                            last = asked - since if status == 200 else last
                            assert status in (200, 503), status
                    assert 0 < last < 2, last
                finally:
                    network.heal()
                wait_until("serves again by itself", lambda: at(suite, "router-9", stays) == 200, 15)
                assert at(suite, "router-9", goes) == 401
                assert process.poll() is None
                goes = signed_in(suite, ("router-9",))
        finally:
            process.terminate()
            process.wait(10)
            for relay in relays.values():
                relay.stop()


# ---- what the chain says


def test_a_sale_and_a_buy_back_within_a_second_leave_the_old_session_dead(made):
    suite = made(replicas=2, slot_ms=400)  # Solana's own
    for _ in range(3):
        owner, buyer = signed_in(suite), Wallet()
        began = time.monotonic()
        sold = suite.rpc("devchain_transfer", {"asset": owner.asset, "to": buyer.address, "wait": "processed"})["slot"]
        back = suite.rpc("devchain_transfer", {"asset": owner.asset, "to": owner.address})["slot"]
        assert back > sold and time.monotonic() - began < 1
        suite.rpc("devchain_transfer", {"asset": new_owner(suite).asset, "to": buyer.address, "wait": "confirmed"})  # as late, and confirmed
        old = copy.copy(owner)
        wait_until("the owner comes in", lambda: sign_in(suite, owner) == 200, 3)
        denied_within(suite, old, 1)
        assert suite.try_sign_in(buyer, owner.asset).status == 403
        assert all(at(suite, replica, owner) == 200 and at(suite, replica, old) == 401 for replica in ROUTERS * 10)


@pytest.mark.parametrize("lagging", "ab")
def test_a_lagging_node_revives_no_former_owner(running, lagging):
    suite, owner, buyer = running, signed_in(running), Wallet()
    suite.devchain("fault", "--node", lagging, "--lag", "40")
    try:
        suite.rpc("devchain_transfer", {"asset": owner.asset, "to": buyer.address, "wait": "confirmed"}, node="ba"["ab".index(lagging)])
        wait_until("the seller is out", lambda: all(at(suite, r, owner) == 401 for r in ROUTERS), 3)
        # the one that lags names the seller for 2 s, then tells of the sale as if it were news
        until, tries = time.monotonic() + 4, 0
        while time.monotonic() < until:
            assert suite.try_sign_in(owner, owner.asset).status != 200
            assert all(at(suite, r, owner) == 401 for r in ROUTERS)
            tries += 1
        assert tries > 5 and suite.redis().hget(f"mc:owner:{owner.asset}", "owner") == buyer.address
        wait_until("the buyer comes in", lambda: suite.try_sign_in(buyer, owner.asset).token, 5)
    finally:
        suite.devchain("ok", "--node", lagging)


def test_what_push_never_said_is_found_within_15_s(running):
    """At any phase of the sweep, which begins each 15 s and takes some time itself."""
    suite, owners = running, [signed_in(running, ROUTERS[:1]) for _ in range(SALES)]
    for node in "ab":
        suite.devchain("mute-push", "--node", node)
    try:
        left, took = {}, []
        began = time.monotonic()
        while owners or left:
            if owners and time.monotonic() >= began + (SALES - len(owners)) * 15 / 8:
                owner = owners.pop()
                suite.rpc("devchain_transfer", {"asset": owner.asset, "to": Wallet().address, "wait": "confirmed"})
                left[owner] = time.monotonic()
            for owner, since in list(left.items()):
                if at(suite, "router-1", owner) == 401:
                    took.append(time.monotonic() - since)
                    del left[owner]
                assert time.monotonic() < since + 20, "not found"
            time.sleep(0.02)
        assert len(took) == SALES and max(took) < 16, took
    finally:
        for node in "ab":
            suite.devchain("ok", "--node", node)


def test_an_oracle_killed_between_its_write_and_its_bell_hides_no_sale(made):
    suite = made(lambda suite: (suite.state / "cut").mkdir(mode=0o755), MULTICLAW_BELLS="ipc://run/session-1.bell,ipc://run/chain-oracle-1.bell,ipc://run/chain-oracle-9.bell")
    relay = Relay(suite.state / "cut/redis.sock", suite.state / "run/redis.sock")
    env = suite.env_of("chain-oracle", MULTICLAW_REPLICA="chain-oracle-9", MULTICLAW_REDIS="unix:cut/redis.sock")
    pid, redis = suite.pid("chain-oracle-1"), suite.redis()
    shown, hidden = signed_in(suite, ROUTERS[:1]), signed_in(suite, ROUTERS[:1])
    os.kill(pid, signal.SIGSTOP)  # what happens now is the other's alone to see
    with open(suite.state / "log/chain-oracle-9.log", "wb") as log:
        process = subprocess.Popen([BIN / "multiclaw-chain-oracle", "-c", "conf/suite.conf", "-c", "conf/chain-oracle.conf"], cwd=suite.state, env=env, stderr=log)
    try:
        wait_until("push", lambda: suite.ops("chain-oracle-9", "/healthz") and metric(suite, "chain-oracle-9", "multiclaw_oracle_push_live") == 2, 20, 0.05)
        heard = lambda: metric(suite, "router-1", "multiclaw_bell_heard_total")
        tell = lambda owner: suite.rpc("devchain_transfer", {"asset": owner.asset, "to": Wallet().address, "wait": "confirmed"})
        before = heard()

        def rings():
            """Who listens connects to a bell that is new within some seconds; what it rang before is not heard."""
            tell(shown)
            return heard() > before

        def is_quiet():
            last = heard()
            time.sleep(0.3)
            return heard() == last

        wait_until("this one's bell is heard", rings, 15, 0.1)
        denied_within(suite, shown, 1, ROUTERS[:1])
        wait_until("no more of it", is_quiet, 5)
        relay.hold()
        before, newest = heard(), redis.xrevrange("mc:events", count=1)[0][0]
        tell(hidden)
        wait_until("it is in the stream", lambda: any(e["a"] == hidden.asset for _, e in redis.xrange("mc:events", f"({newest}", "+")), 3, 0.001)
        process.kill()
        denied_within(suite, hidden, 1, ROUTERS[:1])
        assert heard() == before, "the bell was rung after all"
    finally:
        os.kill(pid, signal.SIGCONT)
        process.kill()
        process.wait()
        relay.stop()


# ---- what stands still, and what time it is


def test_a_router_stopped_for_10_s_among_questions_and_answers_allows_nothing_that_ended(made):
    suite = made(replicas=2)
    asked_before, asked_at_last = [signed_in(suite) for _ in range(4)], [new_owner(suite) for _ in range(8)]
    for owner in asked_at_last:
        assert sign_in(suite, owner) == 200
    sessions, router = [suite.pid(f"session-{i}") for i in (1, 2)], suite.pid("router-1")
    answers, threads = {}, []

    def ask(owner):
        def run():
            answers[owner] = at(suite, "router-1", owner, timeout_s=30)
        threads.append(threading.Thread(target=run))
        threads[-1].start()

    checks = lambda: sum(metric(suite, f"session-{i}", "multiclaw_session_checks_total") for i in (1, 2))
    before = checks()
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    for owner in asked_at_last:
        ask(owner)
    time.sleep(0.2)
    os.kill(router, signal.SIGSTOP)
    since = time.monotonic()
    try:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
        # they are asked, so what they say waits for a process that does not run
        wait_until("session has answered", lambda: checks() >= before + len(asked_at_last), 2)
        for owner in asked_before:
            ask(owner)
        ended = asked_before[:2] + asked_at_last[:4]
        for owner in ended[::2]:
            log_out(suite, owner)
        for owner in ended[1::2]:
            suite.rpc("devchain_transfer", {"asset": owner.asset, "to": Wallet().address, "wait": "confirmed"})
        time.sleep(since + 10 - time.monotonic())
        assert not answers
    finally:
        os.kill(router, signal.SIGCONT)
    for thread in threads:
        thread.join(15)
    assert len(answers) == 12 and {answers[owner] for owner in ended} <= {401, 503}, answers
    assert set(answers.values()) <= {200, 401, 503}, answers
    for owner in asked_before + asked_at_last:
        right = 401 if owner in ended else 200
        wait_until("it knows again", lambda: at(suite, "router-1", owner) == right, 5)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own library has to be loaded first")
def test_wall_clocks_a_day_off_change_nothing_about_a_lease(made):
    hosts = ("router-1", "session-1", "auth-1", "chain-oracle-1", "redis-server")

    def prepare(suite):
        nonlocal clocks
        clocks = WallClocks(suite.state / "clocks")
        for name in hosts:
            clocks.add(name)
        suite.env.update(clocks.env)

    clocks = None
    suite = made(prepare, MULTICLAW_SWEEP_S=2)
    routers, redis, owner = ROUTERS[:1], suite.pid("redis"), signed_in(suite, ROUTERS[:1])
    has_lease = lambda name: metric(suite, name, "multiclaw_follow_lease") > 0

    def goes_on(*names):
        """Longer than any lease of before. (A machine that is busy elsewhere may lose one, and gets it back.)"""
        time.sleep(2.1)
        wait_until("leases and what they allow", lambda: all(has_lease(name) for name in names) and at(suite, "router-1", owner) == 200, 3)

    def lease_ends_in_time(while_stopped):
        """Redis stops and says nothing; the clock jumps meanwhile."""
        os.kill(redis, signal.SIGSTOP)
        try:
            since, last = time.monotonic(), 0.0
            while_stopped()
            while time.monotonic() < since + 3:
                asked = time.monotonic()
                status = at(suite, "router-1", owner)
                last = asked - since if status == 200 else last
                assert status in (200, 503)
            assert 1 < last < 2, last
        finally:
            os.kill(redis, signal.SIGCONT)
        wait_until("serves again", lambda: at(suite, "router-1", owner) == 200, 10)

    for days in (1, -1):
        # the router's own host: no lease is lost, none lasts longer
        clocks.shift("router-1", days * DAY_S)
        wait_until("it was noticed", lambda: skew_s(suite, "router-1") > DAY_S - 60, 5)
        goes_on("router-1")
        lease_ends_in_time(lambda: clocks.shift("router-1", -days * DAY_S))
        clocks.shift("router-1", 0)
        # any other host but that of Redis
        for name in hosts[1:4]:
            clocks.shift(name, days * DAY_S)
        goes_on(*hosts[:4])
        lease_ends_in_time(lambda: [clocks.shift(name, 0) for name in hosts[1:4]])
        # Redis' host: what is known of the chain looks old, or the history settles anew; then it goes on
        clocks.shift("redis-server", days * DAY_S)
        assert abs(suite.redis().time()[0] - time.time() - days * DAY_S) < 60
        wait_until("serves again", lambda: at(suite, "router-1", owner) == 200, 20)
        lease_ends_in_time(lambda: None)
        out = signed_in(suite, routers)
        log_out(suite, out, "router-1")
        denied_within(suite, out, 1, routers)
        clocks.shift("redis-server", 0)
        wait_until("serves again", lambda: at(suite, "router-1", owner) == 200 and suite.try_sign_in(out, out.asset).status == 200, 20)


# ---- what is gone


def test_an_emptied_redis_allows_nobody(made):
    suite = made(replicas=2)
    owners = [signed_in(suite) for _ in range(10)]
    suite.redis().flushall()
    since, last = time.monotonic(), 0.0
    while time.monotonic() < since + 5:
        for owner in owners:
            for replica in ROUTERS:
                asked = time.monotonic()
                last = asked - since if at(suite, replica, owner) == 200 else last
    assert last < 2, last
    for owner in owners[:3]:
        fresh = copy.copy(owner)
        wait_until("who still owns it comes in anew", lambda: sign_in(suite, fresh) == 200, 20)
        assert at(suite, "router-1", fresh) == 200
    assert all(at(suite, replica, owner) == 401 for owner in owners for replica in ROUTERS)
