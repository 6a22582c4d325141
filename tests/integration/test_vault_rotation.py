"""A change of the master key, killed at 200 moments: of 100,000 records none is lost and none is mixed up; and what goes on meanwhile."""

import base64
import contextlib
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from parts import Peer
from suite import BIN, ROOT, b58encode, wait_until
from vault_format import Master, open_record, period_binding, seal_record
from vault_parts import Refused, Vaults, check_all_chains, key_text, refusal, write_private
from vault_parts import own  # noqa: F401: fixtures

PERIODS, RECORDS = int(os.environ.get("ROTATION_PERIODS", "2000")), 50
KILLS = int(os.environ.get("ROTATION_KILLS", "200"))
SEED = int(os.environ.get("ROTATION_SEED", "1"))


def value_of(period, kind, name):
    """Each record's value follows from where it belongs: one that is mixed up is seen."""
    return b"value " + hashlib.blake2b(period_binding(period) + kind.encode() + b"/" + name.encode(), digest_size=24).hexdigest().encode()


class Rotated(Vaults):
    """A vault alone with a Redis that vouches for every owner: this is not about who owns what."""

    def start(self):
        for folder in ("conf", "keys", "run", "log", "redis", "chain"):
            (self.state / folder).mkdir(mode=0o700)
        subprocess.run([BIN / "multiclaw", "keys", "init", self.state / "keys"], check=True, stdout=subprocess.DEVNULL)
        with open(self.state / "keys/redis/users.acl", "a") as acl:
            acl.write("user tests on nopass ~* &* +@all\n")
        shutil.copy(ROOT / "deploy/redis/redis.conf", self.state / "conf/redis.conf")
        import redis

        self.redis = redis.Redis(unix_socket_path=str(self.state / "run/redis.sock"), username="tests", password="x")
        self.launch_redis()
        self.env["MULTICLAW_COLLECTION"] = b58encode(os.urandom(32))
        self.env["MULTICLAW_CHAIN_GRACE_S"] = "86400"
        self.launch_vault()
        self.wait_state("open", "catching_up")
        self.stop_vault()
        self.fill()
        return self

    def vouch(self, periods):
        pipe = self.redis.pipeline(transaction=False)
        for period in periods:
            pipe.hset(f"mc:owner:{period['asset']}", mapping={"owner": period["wallet"], "seen_slot": f"{period['slot'] + 5:020d}",
                                                              "other_slot": f"{0:020d}", "began": "1"})
            pipe.sadd("mc:assets", period["asset"])
        pipe.hset("mc:chain", mapping={"slot": f"{10**6:020d}", "at": int(time.time() * 1000), "genesis": b58encode(bytes(range(1, 33)))})
        pipe.execute()

    def fill(self):
        """PERIODS x RECORDS, written as the format says."""
        master = Master.read(self.state / "keys/vault.key")
        now = int(time.time() * 1000)
        periods = [{"id": 1000 + i, "asset": b58encode(os.urandom(32)), "wallet": b58encode(os.urandom(32)), "slot": 1000 + i, "since": 1000 + i}
                   for i in range(PERIODS)]
        with self.opened_store() as db:
            for period in periods:
                data_key = os.urandom(32)
                db.execute("INSERT INTO periods VALUES (?, ?, ?, ?, ?, 'live', ?, ?, ?, ?)",
                           (period["id"], period["asset"], period["wallet"], period["slot"], period["since"], master.id,
                            master.wrap_key(period, data_key), now, now))
                rows = []
                for i in range(RECORDS):
                    kind, name, version, deleted = "custom", f"name{i}", i + 1, i % 10 == 9
                    rows.append((period["id"], kind, name, version, deleted, now,
                                 seal_record(data_key, period, kind, name, version, b"", "tombstone") if deleted else
                                 seal_record(data_key, period, kind, name, version, value_of(period, kind, name)),
                                 seal_record(data_key, period, kind, name, version, b"value of"[: 0 if deleted else 8], "preview")))
                db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.vouch(periods)

    def ask_state(self, timeout=1.0):
        """Over a connection of its own: the other end dies all the time."""
        peer = Peer(self, "operator", "secret-vault")
        try:
            return peer.call("vault.state", timeout)
        finally:
            peer.close()

    def wait_state(self, *names, seconds=20):
        def reached():
            if not (self.state / "run/secret-vault-1.bus").exists():
                return None
            try:
                state = self.ask_state()
            except (Refused, AssertionError):
                return None
            return state if state["state"] in names else None

        try:
            return wait_until(f"{names}", reached, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log('secret-vault-1', 40)}") from None

    def under(self, *masters):
        """How many periods are under each of these keys, and nothing under any other."""
        with self.copy_of_store() as db:
            found = dict((bytes(key), n) for key, n in db.execute("SELECT key_id, COUNT(*) FROM periods WHERE wrapped IS NOT NULL GROUP BY key_id"))
        assert set(found) <= {m.id for m in masters}, found
        assert sum(found.values()) == PERIODS
        return [found.get(m.id, 0) for m in masters]


def rotate_once(v):
    """The operator's command; refused only by a vault that is not there yet."""
    peer = Peer(v, "operator", "secret-vault")
    try:
        return peer.call("vault.rotate", 2.0)
    except (Refused, AssertionError):
        return None
    finally:
        peer.close()


def test_a_rotation_that_is_killed_200_times_loses_and_mixes_nothing(own, capsys):
    v, dice = own(Rotated).start(), random.Random(SEED)
    key, next_key = v.state / "keys/vault.key", v.state / "keys/vault.key.next"
    first = Master.read(key)
    kills = rotations = halfway = 0
    reach = 0.2  # seconds from a start until the latest kill, so that each run gets a little further
    began = time.monotonic()

    def tell(what):
        with capsys.disabled():
            print(f"\n    {what}: {kills} kills, {halfway} of them halfway, {rotations} rotations, {time.monotonic() - began:.0f} s", flush=True)

    while kills < KILLS:
        write_private(next_key, key_text())
        rotations += 1
        old, new = Master.read(key), Master.read(next_key)
        v.launch_vault()
        v.wait_state("open")
        assert wait_until("it begins", lambda: rotate_once(v), 10)
        v.stop_vault(sig=signal.SIGKILL)
        kills += 1
        left, done = v.under(old, new)
        halfway += 0 < done < PERIODS
        while kills < KILLS and left:
            # it goes on by itself, as the store says, wherever it was stopped; mostly while it wraps, sometimes while it starts
            v.launch_vault()
            time.sleep(dice.random() * reach)
            v.stop_vault(sig=signal.SIGKILL)
            kills += 1
            before = done
            left, done = v.under(old, new)
            assert done >= before, "what was wrapped anew stays so"
            halfway += 0 < done < PERIODS
            reach *= 1.1 if done == before else 0.9 if done - before > PERIODS // 4 else 1
            if kills % 50 == 0:
                tell("under way")
        v.launch_vault()
        wait_until("it ends", lambda: is_ended(v, new), 30, 0.02)
        how = dice.choice([signal.SIGKILL, signal.SIGTERM])
        if how == signal.SIGTERM:
            v.wait_state("open")  # one that has hardly begun does not end well yet
        v.stop_vault(sig=how)
        assert v.under(old, new) == [0, PERIODS]
        # the next key takes the key's place: from here on the old one is nowhere
        next_key.rename(key)
    v.launch_vault()
    state = v.wait_state("open")
    last = Master.read(key)
    assert state["key_id"] == last.id.hex() != first.id.hex() and not state.get("next_key_id") and state["periods"] == PERIODS
    assert halfway >= KILLS // 2, f"only {halfway} kills came in the middle"
    v.stop_vault()
    # every record, under the new key alone
    seen = 0
    with v.copy_of_store() as db:
        for period in db.execute("SELECT * FROM periods").fetchall():
            data_key = last.unwrap_key(period)
            rows = db.execute("SELECT * FROM records WHERE period_id = ?", (period["id"],)).fetchall()
            assert len(rows) == RECORDS
            for row in rows:
                value = open_record(data_key, period, row)
                assert value == (None if row["deleted"] else value_of(period, row["kind"], row["name"]))
                seen += 1
    assert seen == PERIODS * RECORDS
    tell(f"{seen} records good")


def is_ended(v, new):
    """Does the store itself say that it belongs to the new key alone?"""
    try:
        with v.copy_of_store() as db:
            values = dict(db.execute("SELECT name, value FROM settings").fetchall())
    except sqlite3.Error:
        return False  # copied in the middle of a write
    return bytes(values["key_check"])[:8] == new.id and "key_check_next" not in values


# ---- while it serves


def test_owners_are_served_while_the_key_changes(own):
    v = own().start()
    owners = [v.new_owner() for _ in range(4)]
    for owner in owners:
        v.put(owner.token, "custom", "before", f"of {owner.address}")
    old = Master.read(v.state / "keys/vault.key")
    new = Master.read(write_private(v.state / "keys/vault.key.next", key_text()))
    stop, written = threading.Event(), {owner.address: 0 for owner in owners}
    problems = []

    def write(owner):
        peer = Peer(v, "router", "secret-vault")
        try:
            while not stop.is_set():
                n = written[owner.address] + 1
                peer.call("vault.put", token=owner.token, kind="custom", name="counter", value=b"%d" % n)
                written[owner.address] = n
        except (Refused, AssertionError) as e:
            problems.append(e)
        finally:
            peer.close()

    writers = [threading.Thread(target=write, args=(owner,)) for owner in owners]
    [w.start() for w in writers]
    try:
        grants = [(owner, v.grant(owner.token)) for owner in owners]
        v.operate("rotate")
        for _ in range(3):  # to say it again goes on, or finds it done
            with contextlib.suppress(Refused):
                v.operate("rotate")
        wait_until("it ends", lambda: v.vault_state["key_id"] == new.id.hex() and not v.vault_state.get("next_key_id"), 20, 0.05)
    finally:
        stop.set()
        [w.join() for w in writers]
    assert not problems, problems
    for owner, (grant, boot) in grants:  # given before, used after
        assert v.materialise(grant, boot)[0]["custom/before"][1] == f"of {owner.address}".encode()
    (v.state / "keys/vault.key.next").rename(v.state / "keys/vault.key")
    v.restart_vault()
    assert v.vault_state["key_id"] == new.id.hex() != old.id.hex()
    for owner in owners:
        files = v.files(owner.token)
        assert files["custom/before"][1] == f"of {owner.address}".encode()
        assert int(files["custom/counter"][1]) == written[owner.address] > 0
    check_all_chains(*v.export())
    assert "rotate" in " ".join(e["act"] for e in v.export()[0] if e["chain"] == "global")


def test_a_rotation_needs_another_key_that_is_good(own):
    v = own().start()
    next_key = v.state / "keys/vault.key.next"
    before = v.vault_state["key_id"]
    assert refusal(v.operate, "rotate")[0] in ("not_found", "conflict", "invalid", "unavailable"), "there is no next key"
    for content, mode in ((b"changeme\n", 0o600), (b"", 0o600), (base64.b64encode(bytes(32)), 0o600), (key_text(), 0o644)):
        write_private(next_key, content, mode)
        assert refusal(v.operate, "rotate")[0] in ("invalid", "denied", "conflict"), (content, mode)
    shutil.copy(v.state / "keys/vault.key", next_key)
    assert refusal(v.operate, "rotate") == ("conflict", "key_unchanged")
    assert v.vault_state["key_id"] == before and v.vault_state["state"] == "open" and not v.vault_state.get("next_key_id")
    owner = v.new_owner()
    v.put(owner.token, "custom", "x", "y")
    assert v.files(owner.token)["custom/x"][1] == b"y"


def test_a_vault_that_misses_one_of_two_keys_says_which(own):
    """Killed in the middle of a rotation, started with one key: it waits, and harms nothing."""
    v = own(Rotated).start()
    key, next_key = v.state / "keys/vault.key", v.state / "keys/vault.key.next"
    old, new = Master.read(key), Master.read(write_private(next_key, key_text()))
    v.launch_vault()
    v.wait_state("open")
    assert rotate_once(v)
    v.stop_vault(sig=signal.SIGKILL)
    assert not is_ended(v, new), "it was too fast to be killed in the middle"
    spare = v.state / "keys/spare"
    for path, master in ((next_key, new), (key, old)):
        path.rename(spare)
        if path == key:
            shutil.copy(next_key, key)
        v.launch_vault()
        state = v.wait_state("foreign", "sealed")
        assert master.id.hex() in state["why"], state
        v.stop_vault()
        if path == key:
            key.unlink()
        spare.rename(path)
    v.launch_vault()
    v.wait_state("open")
    wait_until("it ends", lambda: is_ended(v, new), 20, 0.05)


def test_a_passphrase_is_changed_like_a_key(own):
    first, second = "the first passphrase of all", "and a second one, longer"
    v = own(MULTICLAW_VAULT_KEY_SOURCE="passphrase")
    v.wait_vault = lambda i=1, seconds=20: wait_until("it waits", lambda: sealed(v), seconds, 0.1)
    v.start()
    v.operate("unseal", timeout=20, passphrase=first)
    wait_until("open", lambda: v.is_ready("secret-vault-1"), 10)
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "kept")
    before = v.vault_state["key_id"]
    assert refusal(v.operate, "rotate", passphrase="short")[0] == "invalid"
    v.operate("rotate", timeout=20, passphrase=second)
    wait_until("it ends", lambda: v.vault_state["key_id"] != before and not v.vault_state.get("next_key_id"), 20, 0.1)
    v.restart_vault()
    assert refusal(v.operate, "unseal", timeout=20, passphrase=first) == ("unauthenticated", "passphrase_wrong")
    v.operate("unseal", timeout=20, passphrase=second)
    wait_until("open", lambda: v.is_ready("secret-vault-1"), 10)
    assert v.files(owner.token)["custom/word"][1] == b"kept"


def sealed(v):
    try:
        return v.vault_state["state"] == "sealed"
    except (Refused, AssertionError):
        return False
