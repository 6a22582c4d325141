"""Two vaults on one PostgreSQL: what one wrote the other reads, and a server that loses power in the middle of everything."""

import os
import signal
import threading
import time

import pytest

from leak_scanner import LeakScanner
from parts import Peer
from postgres_server import PostgresServer
from suite import Wallet, wait_until
from vault_format import Master, open_record
from vault_parts import Refused, Vaults, act, check_all_chains, check_chain, key_text, random_key, refusal, write_private
from vault_parts import owner  # noqa: F401: fixtures


@pytest.fixture(scope="module")
def server():
    with PostgresServer() as made:
        yield made


@pytest.fixture(scope="module")
def world(server):
    made = Vaults(vaults=2, store=server.store)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    yield world
    for i in (1, 2):
        assert world.processes[f"secret-vault-{i}"].poll() is None, world.log(f"secret-vault-{i}", 60)
        world.wait_vault(i)


def test_what_one_vault_stores_the_other_serves(v, owner):
    key = random_key()
    assert v.vault_state["store"] == "postgres"
    assert v.put(owner.token, "llm", "anthropic", key) == 1
    assert v.listed(owner.token, replica=2)["llm", "anthropic"]["preview"] == key[:8]
    assert v.put(owner.token, "llm", "anthropic", key + "2", replica=2, delivery="file") == 2
    grant, boot = v.grant(owner.token)
    assert v.materialise(grant, boot, replica=2)[0]["llm/ANTHROPIC_API_KEY"] == (0o400, (key + "2").encode())
    assert v.delete(owner.token, "llm", "anthropic", replica=2) is True
    assert v.listed(owner.token) == {} and v.resolved(owner.token)["anthropic"]["own"] == "deleted"
    v.operate("global_put", provider="groq", value=random_key().encode(), replica=2)
    assert v.resolved(owner.token)["groq"]["source"] == "global"
    v.operate("global_delete", provider="groq")
    check_chain(*v.trail(owner.token, replica=2))
    check_all_chains(*v.export())


def test_what_one_vault_keeps_the_other_knows(v, owner):
    """Snapshots and hand-overs, to and fro."""
    digest, word, buyer = os.urandom(32), (os.urandom(32), os.urandom(32)), Wallet()
    first = v.materialise(*v.grant(owner.token))[1]
    at = {"role": "sandbox", "placement": first["placement"]}
    for base in range(6):
        assert v.ask("keep", base=base, digest=digest, replica=1 + base % 2, **at)["snapshot"] == base + 1
    assert v.ask("keep", base=5, digest=digest, **at)["snapshot"] == 6
    assert refusal(v.ask, "keep", base=4, digest=digest, **at) == ("conflict", "snapshot_overtaken")
    for replica in (1, 2):
        again = v.materialise(*v.grant(owner.token, replica=replica), replica=replica)[1]
        assert (again["snapshot"], again["snapshot_digest"], again["snapshot_key"]) == (6, digest, first["snapshot_key"])
    for replica in (1, 2, 1):
        v.ask("hand_over", key=bytes(32), digest=bytes(32), replica=replica, **at)
        v.ask("hand_over", replica=3 - replica, **at)
    v.ask("hand_over", key=word[0], digest=word[1], replica=2, **at)
    token = v.sell(owner, buyer)
    # not before the sale is final, and the seller's key gone
    bought = wait_until("it is released", lambda: (lambda page: page if page.get("handed_key") else None)(v.materialise(*v.grant(token))[1]), 30, 0.5)
    assert (bought["handed_key"], bought["handed_digest"], bought["handed_wallet"]) == (*word, owner.address)
    v.ask("hand_over", role="sandbox", placement=bought["placement"], replica=2)
    assert not v.materialise(*v.grant(token))[1].get("handed_key")
    check_chain(*v.trail(token, replica=2))


def test_two_vaults_that_write_one_name_never_give_a_version_twice(v, owner):
    got, problems = {}, []

    def write(turn):
        peer = Peer(v, "router", "secret-vault", 1 + turn % 2)
        try:
            for i in range(10):
                value = f"written by {turn}, {i}".encode()
                got.setdefault(peer.call("vault.put", 15.0, token=owner.token, kind="custom", name="contended", value=value)["version"], []).append(value)
        except (Refused, AssertionError) as e:
            problems.append(e)
        finally:
            peer.close()

    writers = [threading.Thread(target=write, args=(turn,)) for turn in range(6)]
    [w.start() for w in writers]
    [w.join() for w in writers]
    assert not problems, problems
    assert sorted(got) == list(range(1, 61)) and all(len(values) == 1 for values in got.values())
    for replica in (1, 2):
        assert v.files(owner.token, replica=replica)["custom/contended"][1] == got[60][0]
    check_chain(*v.trail(owner.token))


def test_two_vaults_make_one_period_and_one_hot_wallet(v, owner):
    bodies = []
    for _ in range(6):
        issued = act(v, owner, owner.asset)
        bodies.append({"token": owner.token, "nonce": issued["nonce"], "signature": owner.sign(issued["message"].encode()), "ip": "203.0.113.7"})
    peers = [v.peer_of("router", replica=i) for i in (1, 2)]
    for i, body in enumerate(bodies):
        peers[i % 2].send("vault.generate", 10.0, **body)
    outcomes = [peers[i % 2].receive(10.0) for i in range(len(bodies))]
    good = [body for envelope, body in outcomes if envelope["status"] == "ok"]
    assert len(good) == 1 and all(e["status"] == "ok" or e.get("reason") == "already_revealed" for e, _ in outcomes), outcomes
    assert {v.ask("hot", token=owner.token, replica=i)["address"] for i in (1, 2)} == {good[0]["address"]}
    assert [e["act"] for e in v.trail(owner.token)[0]].count("period") == 1


def test_a_sale_locks_at_both_and_destroys_once(v, owner, server):
    buyer, key = Wallet(), random_key()
    v.put(owner.token, "llm", "anthropic", key)
    v.transfer(owner.asset, buyer)
    for replica in (1, 2):
        wait_until("the seller is out", lambda: out(v, owner.token, replica), 5)
    token = v.token_of(buyer, owner.asset)
    for replica in (1, 2):
        assert v.listed(token, replica=replica) == {}
    state = lambda: server.sql(f"SELECT state, wrapped IS NULL FROM periods WHERE wallet = '{owner.address}'")  # noqa: E731
    wait_until("destroyed", lambda: state() == [("destroyed", "t")], 30, 0.1)
    assert server.sql(f"SELECT COUNT(*) FROM records r JOIN periods p ON p.id = r.period_id WHERE p.wallet = '{owner.address}'") == [("0",)]
    acts = [e["act"] for e in v.export()[0] if owner.address in e["chain"]]
    assert acts.count("erase") == 1 and acts.count("lock") == 1, acts
    # neither comes back from the other's memory
    v.put(token, "custom", "x", "y", replica=2)
    assert set(v.listed(token)) == {("custom", "x")}


def out(v, token, replica):
    try:
        v.listed(token, replica=replica)
        return False
    except Refused as e:
        assert e.status in ("unauthenticated", "denied"), e
        return True


def test_a_server_that_loses_power_loses_nothing_that_was_acknowledged(v, owner, server):
    stop, kept, refused = threading.Event(), {}, set()

    def write(turn):
        peer = Peer(v, "router", "secret-vault", 1 + turn % 2)
        n = 0
        try:
            while not stop.is_set():
                n += 1
                try:
                    version = peer.call("vault.put", 5.0, token=owner.token, kind="custom", name=f"w{turn}", value=b"%d" % n)["version"]
                    kept[turn] = (version, n)
                except Refused as e:
                    refused.add((e.status, e.reason))
                    time.sleep(0.02)
                except AssertionError:
                    refused.add(("timeout", ""))
        finally:
            peer.close()

    writers = [threading.Thread(target=write, args=(turn,)) for turn in range(4)]
    [w.start() for w in writers]
    try:
        for _ in range(3):
            wait_until("writes", lambda: len(kept) == 4, 20)
            time.sleep(0.2)
            server.kill()
            wait_until("it is told", lambda: ("unavailable", "storage_unavailable") in refused, 10)
            assert not v.is_ready("secret-vault-1")
            refused.discard(("unavailable", "storage_unavailable"))
            server.restart()
            for i in (1, 2):
                v.wait_vault(i)
            kept.clear()
        wait_until("writes", lambda: len(kept) == 4, 20)
    finally:
        stop.set()
        [w.join() for w in writers]
    assert refused <= {("unavailable", "storage_unavailable"), ("unavailable", "vault_sealed"), ("timeout", "")}, refused
    listed = v.listed(owner.token)
    for turn, (version, n) in kept.items():
        assert listed["custom", f"w{turn}"]["version"] >= version
    files = v.files(owner.token)
    assert all(int(files[f"custom/w{turn}"][1]) >= n for turn, (version, n) in kept.items())
    # nothing half-written: every entry has its record and the chains are whole
    check_chain(*v.trail(owner.token))
    check_all_chains(*v.export())
    puts = {}
    for e in v.trail(owner.token)[0]:
        if e["act"] == "put":
            assert puts.get(e["name"], 0) + 1 == e["version"], "a version without its entry, or an entry without its version"
            puts[e["name"]] = e["version"]
    assert puts == {name: item["version"] for (_, name), item in v.listed(owner.token).items()}


def test_connections_that_are_cut_are_made_again(v, owner, server):
    v.put(owner.token, "custom", "x", "y")
    for _ in range(5):
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")

        def put():
            try:
                return v.put(owner.token, "custom", "x", "z")
            except Refused as e:
                assert (e.status, e.reason) in (("unavailable", "storage_unavailable"), ("unavailable", "vault_sealed")), e

        wait_until("it writes again", put, 10, 0.05)
    check_chain(*v.trail(owner.token))


def test_a_vault_that_dies_and_one_that_stays(v, owner):
    v.put(owner.token, "custom", "x", "y")
    v.stop_vault(1, signal.SIGKILL)
    assert v.put(owner.token, "custom", "x", "z", replica=2) == 2
    v.launch_vault(1)
    v.wait_vault(1)
    assert v.listed(owner.token)["custom", "x"]["version"] == 2
    assert v.files(owner.token)["custom/x"][1] == b"z"


def test_both_change_the_master_key_together(v, owner):
    v.put(owner.token, "custom", "x", "kept")
    new = Master.read(write_private(v.state / "keys/vault.key.next", key_text()))
    v.operate("rotate", replica=2)
    for replica in (1, 2):
        wait_until(f"{replica} knows the new key", lambda: v.operate("state", replica=replica).get("key_id") == new.id.hex(), 30, 0.1)
    for replica in (1, 2):
        assert v.files(owner.token, replica=replica)["custom/x"][1] == b"kept"
        v.put(owner.token, "custom", f"after{replica}", "z", replica=replica)
    (v.state / "keys/vault.key.next").rename(v.state / "keys/vault.key")
    for i in (1, 2):
        v.restart_vault(i)
    assert set(v.listed(owner.token)) == {("custom", "x"), ("custom", "after1"), ("custom", "after2")}


def test_what_is_kept_opens_with_the_format_and_no_value_is_in_any_file_of_the_server(v, owner, server):
    key = random_key()
    v.put(owner.token, "llm", "anthropic", key)
    server.sql("CHECKPOINT")
    master = Master.read(v.state / "keys/vault.key")
    (row,) = server.sql("SELECT asset, wallet, slot, since, encode(key_id, 'hex'), encode(wrapped, 'hex'), id FROM periods "
                        f"WHERE wallet = '{owner.address}'")
    period = {"asset": row[0], "wallet": row[1], "slot": int(row[2]), "since": int(row[3]), "key_id": bytes.fromhex(row[4]),
              "wrapped": bytes.fromhex(row[5])}
    (record,) = server.sql(f"SELECT version, deleted, encode(value, 'hex') FROM records WHERE period_id = {row[6]}")
    value = open_record(master.unwrap_key(period), period, {"kind": "llm", "name": "anthropic", "version": int(record[0]), "deleted": int(record[1]),
                                                            "value": bytes.fromhex(record[2])})
    assert value == key.encode()
    scanner = LeakScanner({"value": key, "master key": master.key, "data key": master.unwrap_key(period)})
    scanner.add_folder(server.folder)
    assert scanner.findings() == []
    assert refusal(v.put, owner.token, "custom", "bad\0name", "x")[0] == "invalid"
