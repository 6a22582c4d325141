"""Who may no longer have an agent: whatever it was doing, it ends at once, nothing of it goes on, nothing starts before somebody signs in, and the new
owner's is fresh. Who only ended one session loses that one's streams.

EVENTS says how many sales are measured.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from container_suite import ContainerSuite, Stream, at_once
from suite import Wallet, wait_until
from vault_format import Master, volume_key

EVENTS = int(os.environ.get("EVENTS", "12"))
PHASES = ["stopped", "starting 0.0", "starting 0.3", "starting 0.8", "running", "stopping"]


@pytest.fixture(scope="module")
def suite(containers):
    made = ContainerSuite()
    try:
        yield made.start()
    finally:
        made.stop()


def bring(owner, phase):
    """An agent that ran before, in a phase; its open streams."""
    owner.streams = []
    owner.start()
    owner.remember(f"of {owner.wallet.address}")
    owner.old_cookie = owner.cookie
    if phase == "running":
        owner.streams = [Stream(owner, kind) for kind in ("ws", "sse", "upload")]
        return owner
    if phase == "stopping":
        owner.streams = [Stream(owner, "ws")]
        assert owner.say("stop").status == 202
        return owner
    owner.stop()
    if phase.startswith("starting"):
        assert owner.say("start").status == 202
        time.sleep(float(phase.split()[1]))
    return owner


def is_down(suite, owner):
    return not suite.groups().get(owner.agent) and not suite.groups("jobs").get(owner.agent)


def ended(suite, owner, phase, seconds=15):
    """Empty, wiped, cut; and it stays so."""
    try:
        wait_until("no process of it is left", lambda: is_down(suite, owner), seconds)
        for stream in owner.streams:
            wait_until(f"{stream.kind} is cut", stream.is_over, 5)
            stream.close()
    except AssertionError as e:
        raise AssertionError(f"{phase}: {e}\n{suite.listed().get(owner.agent)}\n{suite.log('sandbox-1')[-3000:]}") from None
    wait_until("no secrets are mounted", lambda: {pid for pid, _ in suite.secrets_mounts()} <= set().union(*suite.living().values(), *suite.groups("jobs").values()), 15)
    answer = suite.agent(owner.old_cookie, owner.agent, "/status")
    assert answer.status in (401, 403, 404, 410, 503), (phase, answer.status, answer.body)
    # where nothing ran there was nothing to wait for yet
    wait_until(f"{phase}: the session is over", lambda: suite.http("GET", "/v1/agent", token=owner.token).status in (401, 503), 2)


def stays_down(suite, owners, seconds=1.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for owner in owners:
            assert is_down(suite, owner), (owner.agent, suite.listed().get(owner.agent))
            state = suite.listed().get(owner.agent, {"state": "stopped"})["state"]
            assert state in ("stopped", "sleeping"), (owner.agent, state)
        time.sleep(0.1)


def in_every_phase(suite, act):
    owners = [suite.new_owner(word="the word of this one") for _ in PHASES]
    at_once(list(zip(owners, PHASES)), lambda pair: bring(*pair))
    at_once(owners, act)
    at_once(list(zip(owners, PHASES)), lambda pair: ended(suite, *pair))
    stays_down(suite, owners)
    return owners


# ---- somebody else's


def test_a_sale_in_every_phase_ends_it_and_the_buyer_begins_afresh(suite):
    wallets = {}

    def sell(owner):
        wallets[owner.agent] = Wallet()
        suite.transfer(owner.asset, wallets[owner.agent])

    owners = in_every_phase(suite, sell)
    buyers = at_once(owners, lambda owner: suite.buyer(owner, wallets[owner.agent]))
    stays_down(suite, owners, 0.5)  # signed in is not started

    def begin(buyer):
        buyer.start()
        assert buyer.memory == ""
        buyer.remember("of the buyer")

    at_once(buyers, begin)
    # and back
    at_once(list(zip(owners, buyers)), lambda pair: suite.transfer(pair[0].asset, pair[0].wallet))
    for buyer in buyers:
        buyer.streams, buyer.old_cookie = [], buyer.cookie
    at_once(buyers, lambda buyer: ended(suite, buyer, "bought back"))

    def again(owner):
        owner.sign_in_again().start()
        assert owner.memory == "", "the same wallet, another period"
        owner.stop()

    at_once(owners, again)


def test_a_burned_agent_ends_in_every_phase(suite):
    in_every_phase(suite, lambda owner: suite.devchain("burn", "--asset", owner.asset))


def test_one_that_left_the_collection_ends_in_every_phase(suite):
    in_every_phase(suite, lambda owner: suite.devchain("move", "--asset", owner.asset, "--to", Wallet().address))


def period_of(suite, asset, wallet):
    """Its row in the vault's store, of a copy."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (suite.state / "vault").glob("vault.db*"):
            shutil.copy(path, folder)
        with sqlite3.connect(f"{folder}/vault.db") as store:
            store.row_factory = sqlite3.Row
            row = store.execute("SELECT * FROM periods WHERE asset = ? AND wallet = ? ORDER BY slot DESC", (asset, wallet)).fetchone()
            return dict(row) if row else None


def opens(folder, key):
    """Whether the volume's file system is there under this key. In a namespace of its own, so that nothing stays mounted."""
    script = f"mkdir -p $1 && mount -t tmpfs none $1 && mkdir $1/clear && echo {key.hex()} | gocryptfs -q -nosyslog -plaintextnames -masterkey=stdin {folder} $1/clear " \
             "&& { dd if=$1/clear/data.ext4 bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1; fusermount -u $1/clear; }"
    with tempfile.TemporaryDirectory() as at:
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", at], capture_output=True, text=True, timeout=30)
    return "53 ef" in done.stdout


def test_the_sellers_volume_can_be_read_by_nobody_once_the_sale_is_final(suite):
    owner, wallet = suite.new_owner(), Wallet()
    owner.start()
    owner.remember("the seller's own")
    owner.stop()
    row = period_of(suite, owner.asset, owner.wallet.address)
    key = volume_key(Master.read(suite.state / "keys/vault.key").unwrap_key(row), row)
    folder = suite.state / f"volumes/{owner.agent}/{owner.wallet.address}/{row['slot']}"
    wait_until("it is closed", lambda: owner.agent not in suite.gocryptfs(), 10)
    assert opens(folder, key), "with its key it can be: so the test would notice"
    suite.transfer(owner.asset, wallet)
    buyer = suite.buyer(owner, wallet).start()
    mine = period_of(suite, owner.asset, wallet.address)

    def is_destroyed():
        row = period_of(suite, owner.asset, owner.wallet.address)
        return row is None or not row["wrapped"]

    wait_until("the vault destroyed its key", is_destroyed, 60, 0.2)
    assert folder.exists(), "kept for a day, in case"
    assert not opens(folder, volume_key(Master.read(suite.state / "keys/vault.key").unwrap_key(mine), mine))
    assert not opens(folder, os.urandom(32))
    assert key not in b"".join(p.read_bytes() for p in (suite.state / "vault").glob("*"))
    buyer.stop()


# ---- the same owner's


def revoke_all(suite, owner, status=200):
    answer = suite.http("DELETE", "/v1/sessions", token=owner.token, timeout=15)
    assert answer.status == status, (answer.status, answer.body)


def comes_back(owner):
    """With what it had: it is the same owner, in the same period."""
    owner.sign_in_again().start()
    assert owner.memory == f"of {owner.wallet.address}"
    owner.stop()


@pytest.mark.parametrize("way", ["the owner", "an operator"])
def test_all_sessions_ended_ends_it_in_every_phase_until_the_owner_signs_in(suite, way):
    by = {"the owner": lambda owner: revoke_all(suite, owner), "an operator": lambda owner: suite.cli("revoke", "--asset", owner.asset)}[way]
    owners = in_every_phase(suite, by)
    # nor by an operator's word: nobody vouches that the owner wants it
    for owner in owners[:1]:
        suite.cli("agent", "wake", owner.asset, check=False)
    stays_down(suite, owners[:1], 0.5)
    at_once(owners, comes_back)


def test_a_banned_owners_agent_ends_in_every_phase_until_the_ban_is_lifted(suite):
    owners = in_every_phase(suite, lambda owner: suite.cli("ban", owner.wallet.address))
    assert suite.try_sign_in(owners[0].wallet, owners[0].asset).status != 200
    for owner in owners:
        suite.cli("unban", owner.wallet.address)
    stays_down(suite, owners, 0.5)
    at_once(owners, comes_back)


def test_every_session_ended_while_sandbox_was_down_is_noticed_when_it_is_back(suite):
    owner = suite.new_owner()
    bring(owner, "running")
    stopped = freeze(suite, "sandbox-1")
    revoke_all(suite, owner, 202)  # it is silent, and may hold something
    os.kill(stopped, signal.SIGKILL)
    suite.wait_sandbox()
    ended(suite, owner, "sandbox was down")
    stays_down(suite, [owner])
    comes_back(owner)


def test_one_session_ended_resets_streams_and_the_others_come_back(suite):
    owner = suite.new_owner()
    first, cookie = owner.token, owner.cookie
    owner.sign_in_again().start()
    boot = owner.shown["boot_id"]
    streams = [Stream(owner, kind, c) for c in (cookie, owner.cookie) for kind in ("ws", "sse", "upload")]
    assert suite.http("POST", "/v1/auth/logout", {}, token=first).status == 204
    for stream in streams:
        wait_until(f"{stream.kind} is cut", stream.is_over, 5)
        stream.close()
    wait_until("nothing more for it", lambda: suite.agent(cookie, owner.agent, "/status").status == 401, 2)
    Stream(owner, "ws").close()
    assert owner.ask().status == 200
    assert (owner.state, owner.shown["boot_id"]) == ("running", boot), "it runs on"
    owner.stop()


# ---- when nobody looks


def freeze(suite, name):
    """Down, as for the one that keeps it going: it does nothing, and is not started anew."""
    pid = suite.pid(name)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_ending_all_waits_for_a_kill_and_then_says_that_it_is_not_done(suite):
    owner = suite.new_owner()
    bring(owner, "running")
    stopped, began = freeze(suite, "warden-1"), time.monotonic()
    answer = suite.http("DELETE", "/v1/sessions", token=owner.token, timeout=15)
    os.kill(stopped, signal.SIGCONT)
    assert (answer.status, answer.json["done"]) == (202, False) and time.monotonic() - began > 7
    states = {r["replica"]: r["state"] for r in answer.json["replicas"]}
    assert states.pop("sandbox-1") == "open" and set(states.values()) == {"done"}
    ended(suite, owner, "warden was stopped", 30)
    comes_back(owner)


@pytest.mark.parametrize("down", [["sandbox-1"], ["warden-1"], ["sandbox-1", "warden-1"]])
def test_a_sale_while_it_cannot_be_told_ends_it_as_soon_as_it_can(suite, down):
    owner, wallet = suite.new_owner(word="the word of this one"), Wallet()
    bring(owner, "running")
    pids = [freeze(suite, name) for name in down]
    try:
        suite.transfer(owner.asset, wallet)
        wait_until("the seller is out", lambda: suite.session_status(owner.token) == 401, 15)
        # session knows it at once, router when it has heard of it (I2)
        wait_until("of the agent, too", lambda: suite.agent(owner.old_cookie, owner.agent, "/status").status != 200, 2)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    suite.wait_sandbox()
    ended(suite, owner, f"{down} down", 30)
    stays_down(suite, [owner])
    buyer = suite.buyer(owner, wallet).start()
    assert buyer.memory == ""
    buyer.stop()


def test_a_sale_and_a_buy_back_while_vault_and_sandbox_are_down_leave_neither_key_nor_container(suite):
    owner, wallet = suite.new_owner(word="the word of this one"), Wallet()
    bring(owner, "running")
    pids = [freeze(suite, name) for name in ("sandbox-1", "secret-vault-1")]
    suite.transfer(owner.asset, wallet)
    wait_until("the seller is out", lambda: suite.session_status(owner.token) == 401, 15)
    suite.transfer(owner.asset, owner.wallet)
    token = wait_until("and back in", lambda: suite.try_sign_in(owner.wallet, owner.asset).token, 15, 0.1)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    # from the first answer on
    answer = wait_until("the vault serves", lambda: next((a for a in [suite.http("GET", "/v1/secrets", token=token)] if a.status == 200), None), 30)
    assert answer.json["secrets"] == [], answer.json
    suite.wait_sandbox()
    assert is_down(suite, owner), "ready, and the old one runs"
    ended(suite, owner, "bought back")
    stays_down(suite, [owner])
    owner.sign_in_again().start()
    assert owner.memory == "" and suite.http("GET", "/v1/secrets", token=owner.token).json["secrets"] == []
    owner.stop()


def test_a_restarted_redis_ends_no_agent_and_hides_no_sale(suite):
    kept, sold, wallet = suite.new_owner(), suite.new_owner(), Wallet()
    at_once([kept, sold], lambda owner: bring(owner, "running"))
    boot = kept.shown["boot_id"]
    pid = suite.kill("redis")
    suite.transfer(sold.asset, wallet)
    wait_until("Redis is back", lambda: suite.pid("redis") != pid, 10)
    ended(suite, sold, "Redis restarted", 30)
    suite.wait_sandbox()
    kept.wait("running", 30)
    assert kept.shown["boot_id"] == boot
    assert kept.memory == f"of {kept.wallet.address}"
    for stream in kept.streams:
        stream.close()
    kept.stop()


def test_an_emptied_redis_ends_every_agent(suite):
    owner = suite.new_owner()
    bring(owner, "running")
    suite.redis().flushall()
    ended(suite, owner, "emptied Redis", 30)
    stays_down(suite, [owner])
    suite.wait_ready(30)  # the vault may settle a little later than the others, and a start meanwhile fails
    comes_back(owner)


# ---- how long it takes


def test_measure_from_the_event_to_the_end(suite):
    """From the moment that the node told of the transfer; with a WebSocket open."""
    owners = [suite.new_owner() for _ in range(4)]
    to_cut, to_empty, by_warden = [], [], []

    def once(owner):
        owner.start()
        stream = Stream(owner, "ws")
        cut = [0.0]

        def watch():
            stream.socket.settimeout(20)
            try:
                while stream.socket.recv(65536):
                    pass
            except OSError:
                pass
            cut[0] = time.time()

        watcher = threading.Thread(target=watch)
        watcher.start()
        buyer = Wallet()
        suite.transfer(owner.asset, buyer)
        group = next(f for f in suite.cgroups() if f.endswith("/" + owner.agent) and "/unified/" in f or f.endswith("/" + owner.agent) and os.path.exists(f + "/cgroup.events"))

        def is_empty():
            try:
                with open(f"{group}/cgroup.events") as events:
                    return "populated 0" in events.read()
            except OSError:
                return True

        wait_until("empty", is_empty, 20, 0.001)
        empty = time.time()
        watcher.join(20)
        stream.close()
        pushed = suite.rpc("devchain_pushed", {"account": owner.asset})["unix_us"] / 1e6
        to_cut.append((cut[0] - pushed) * 1000)
        to_empty.append((empty - pushed) * 1000)
        return suite.buyer(owner, buyer)

    for _ in range(max(1, EVENTS // len(owners))):
        owners = [once(owner) for owner in owners]
    for line in suite.log("warden-1").splitlines():
        if "agent ended" in line and "asked=yes" in line:
            by_warden.append(int(line.split("us=")[1].split()[0]) / 1000)

    def shown(name, values):
        values = sorted(values)
        print(f"{name}: n={len(values)} p50 {values[len(values) // 2]:.1f} ms, p99 {values[min(len(values) - 1, int(len(values) * 0.99))]:.1f} ms", file=sys.__stderr__)

    print(file=sys.__stderr__)
    shown("node's notification -> WebSocket cut", to_cut)
    shown("node's notification -> cgroup empty", to_empty)
    shown("KILL or STOP -> ENDED, in warden, of everything before", by_warden)
    assert max(to_empty) < 10000
