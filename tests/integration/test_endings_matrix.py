"""Every way to end a session, and what it ends: the table of ARCHITECTURE.md ("What each end ends"), read from there and held against a running suite in which nothing
is a stand-in but the chain and the LLM provider."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest

from container_suite import Stream
from redis_server import Ledger
from suite import ROOT, Wallet, wait_until
from test_gateway_containers import STREAM, LlmSuite

CELLS = {"event", "session", "ticket", "session of the agent's origin", "open stream to the agent", "LLM stream", "start in progress, without its secrets yet",
         "running container", "snapshot under way", "unsent transaction"}


def read_table():
    """column -> row -> word"""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    lines = text[text.index("**What each end ends.**"):].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    first = next(i for i, row in enumerate(rows) if row[0] == "event")
    head = rows[first - 2]
    body = rows[first:first + len(CELLS)]
    assert {row[0] for row in body} == CELLS
    return {way: {row[0]: row[i] for row in body} for i, way in enumerate(head) if i > 0}


TABLE = read_table()


class MatrixSuite(LlmSuite):
    def __init__(self):
        super().__init__(MULTICLAW_VAULT_ERASE_EVERY_S=3600, MULTICLAW_SANDBOX_SNAPSHOT_INTERVAL_S=3600)
        self.env["MULTICLAW_SANDBOX_IMAGE"] = "demo"

    def told_of(self, owner):
        with open(f"/proc/{self.first_pid(owner)}/root/run/secrets/llm.env") as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file)


@pytest.fixture(scope="module")
def s(containers):
    suite = MatrixSuite()
    try:
        yield suite.start()
    finally:
        suite.stop()


# ---- the ways


def retire_key(s, owner):
    keys = s.state / "keys"
    path = keys / "jwt.keys"
    old = [line.split()[0] for line in path.read_text().splitlines() if line.split() and not line.startswith("#")]
    s.cli("keys", "rotate", keys)
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.split() and not line.startswith("#") and line.split()[0] not in old)
    words = lines[at].split()
    lines[at] = " ".join([words[0], str(int(time.time())), *words[2:]])  # it begins a minute later, for the replicas' sake; not in a test
    path.write_text("\n".join(lines) + "\n")

    def signs():
        fresh = s.sign_in(s.wallet("alice"), s.asset_of("alice"))
        return json.loads(base64.urlsafe_b64decode(fresh.split(".")[0] + "=="))["kid"] == words[0]

    wait_until("the new key signs", signs, 20, 0.1)
    for kid in old:
        s.cli("keys", "retire", keys, kid)


WAYS = {
    "logout": lambda s, owner: s.http("POST", "/v1/auth/logout", {}, token=owner.token),
    "all ended": lambda s, owner: s.http("DELETE", "/v1/sessions", token=owner.token, timeout=20),
    "revoked": lambda s, owner: s.cli("revoke", "--asset", owner.asset),
    "banned": lambda s, owner: s.cli("ban", owner.wallet.address),
    "transferred": lambda s, owner: s.transfer(owner.asset, Wallet()),
    "burned": lambda s, owner: s.devchain("burn", "--asset", owner.asset),
    "moved out": lambda s, owner: s.devchain("move", "--asset", owner.asset, "--to", Wallet().address),
    "key retired": retire_key,
}
ONCE = {"key retired"}  # for all at once


# ---- what there is


def furnish(s):
    """An owner whose agent runs and does everything at once, and another whose agent is about to start."""
    owner = s.with_key().start()
    owner.remember("of the owner")
    # more than a pipe holds: a snapshot is read for as long as the store takes nothing
    memory = next(pathlib.Path(f"/proc/{s.first_pid(owner)}/root/data").rglob("memory*"))
    folder = os.open(memory.parent, os.O_RDONLY | os.O_DIRECTORY)
    subprocess.run(["/bin/sh", "-c", f"cat > /proc/self/fd/{folder}/more"], input=os.urandom(1 << 20), pass_fds=[folder], check=True,
                   user=memory.stat().st_uid, group=memory.stat().st_gid, extra_groups=[])
    os.close(folder)
    at = s.told_of(owner)["OPENAI_BASE_URL"].split("/")[2]
    owner.streams = [Stream(owner, kind) for kind in ("ws", "sse")]
    owner.llm = s.in_network(owner, STREAM, at, s.told_of(owner)["OPENAI_API_KEY"])
    assert owner.llm.stdout.readline().strip() == "200"
    owner.host_of_entry, opening = s.opening(owner.token)
    page = s.http("GET", "/.multiclaw/enter", host=owner.host_of_entry)
    owner.browser = page.cookie("__Host-multiclaw-state")
    owner.ticket = s.entry(owner.host_of_entry, "ticket", {"opening": opening}, owner.browser).json["ticket"]
    s.devchain("airdrop", "--to", owner.wallet.address, "--sol", "1", "--wait", "confirmed")
    pda = s.http("GET", "/v1/wallet", token=owner.token, timeout=20).json["address"]
    s.devchain("airdrop", "--to", pda, "--sol", "1", "--wait", "confirmed")
    built = s.http("POST", "/v1/wallet/transactions", {"operation": "transfer_sol", "to": Wallet().address, "lamports": "1000000"}, token=owner.token, timeout=20)
    assert built.status == 200, built.body
    owner.built = built.json
    owner.old, owner.old_cookie = owner.token, owner.cookie
    owner.number = newest_snapshot(s, owner)
    owner.stuck = begin_snapshot(s, owner)
    return owner


def begin_snapshot(s, owner):
    """One that the store takes nothing of: it stays under way."""
    os.kill(s.pid("snapshot-store-1"), signal.SIGSTOP)
    thread = threading.Thread(target=lambda: s.http("POST", "/v1/agent/snapshots", {}, token=owner.old, timeout=60), daemon=True)
    thread.start()
    wait_until("it is under way", lambda: s.http("GET", "/v1/agent/snapshots", token=owner.token, timeout=20).json["under_way"], 20, 0.05)
    return thread


def cut_or_not(condition, seconds):
    with contextlib.suppress(AssertionError):
        wait_until("cut", condition, seconds, 0.02)
        return True
    return False


def last_event(s, assets):
    for _, entry in s.redis().xrevrange("mc:events", count=100):
        if entry["a"] in (*assets, "*") and entry["k"] not in ("session", "agent", "snapshot"):
            return entry["k"]
    return None


def is_enforced(s):
    """Everything so far, by everybody."""
    (event, entry), = s.redis().xrevrange("mc:events", count=1)
    _, settling, known, _, replicas, _ = Ledger(s.redis()).call("enforced", event, entry["h"])
    return settling == "0" and known == "1" and {r[2] for r in replicas} == {"done"}


def newest_snapshot(s, owner):
    """What the vault knows of, in a copy of its store."""
    def read():
        with tempfile.TemporaryDirectory(prefix="mc-copy-") as folder:
            for path in (s.state / "vault").glob("vault.db*"):
                if not path.name.endswith("-shm"):
                    shutil.copy(path, folder)
            with contextlib.closing(sqlite3.connect(f"{folder}/vault.db")) as db, contextlib.suppress(sqlite3.DatabaseError):
                return db.execute("SELECT max(number) FROM snapshots JOIN periods ON id = period_id WHERE asset = ? AND wallet = ?", (owner.asset, owner.wallet.address)).fetchall()[0]
        return None

    return wait_until("a copy", read, 5, 0.01)[0] or 0


@pytest.mark.parametrize("way", WAYS)
def test_what_each_end_ends(s, way):
    expected, seen = TABLE[way], {}
    owner = furnish(s)
    starting = s.new_owner()
    starting.old = starting.token
    os.kill(s.pid("secret-vault-1"), signal.SIGSTOP)
    try:
        assert starting.say("start").status == 202
        for one in [owner] if way in ONCE else [owner, starting]:
            WAYS[way](s, one)
        wait_until("the event", lambda: last_event(s, [owner.asset]) == expected["event"], 20, 0.02)
        seen["event"] = expected["event"]
        seen["session"] = "ends" if cut_or_not(lambda: s.session_status(owner.old) == 401, 2) else "goes on"
        entered = s.entry(owner.host_of_entry, "session", {"ticket": owner.ticket}, owner.browser)
        seen["ticket"] = "void" if entered.status in (401, 410, 422) else entered.status
        inside = lambda: s.agent(owner.old_cookie, owner.agent, "/status").status
        seen["session of the agent's origin"] = "ends" if cut_or_not(lambda: inside() == 401, 2) else inside()
        seen["open stream to the agent"] = "cut" if all(cut_or_not(stream.is_over, 5) for stream in owner.streams) else "goes on"
        goes_on = expected["LLM stream"] == "goes on"
        seen["LLM stream"] = "cut" if cut_or_not(lambda: owner.llm.poll() is not None, 1 if goes_on else 5) else "goes on"
        goes_on = expected["running container"] == "goes on"
        seen["running container"] = "gone" if cut_or_not(lambda: owner.agent not in s.living(), 1 if goes_on else 10) else "goes on"
    finally:
        os.kill(s.pid("secret-vault-1"), signal.SIGCONT)
        os.kill(s.pid("snapshot-store-1"), signal.SIGCONT)
        owner.llm.kill()
        for stream in owner.streams:
            stream.close()
    if way == "banned":
        for one in (owner, starting):
            s.cli("unban", one.wallet.address)
    # everybody has it, the start included, which had waited for its secrets
    wait_until("everybody has enforced it", lambda: is_enforced(s), 20, 0.1)
    seen["start in progress, without its secrets yet"] = "dropped" if starting.agent not in s.living() and not s.groups().get(starting.agent) else "goes on"
    seen["snapshot under way"] = "kept" if is_kept(s, owner, way) else "given up"
    seen["unsent transaction"] = whose_transaction(s, owner, way)
    assert seen == expected, f"{way}: {[(k, seen.get(k), v) for k, v in expected.items() if seen.get(k) != v]}"


def is_kept(s, owner, way):
    owner.stuck.join(60)
    return cut_or_not(lambda: newest_snapshot(s, owner) > owner.number, 10 if TABLE[way]["snapshot under way"] == "kept" else 1)


def whose_transaction(s, owner, way):
    """Asked for with a new session of the wallet that had it composed; after a sale that is one that has bought back."""
    if way in ("burned", "moved out"):
        assert s.try_sign_in(owner.wallet, owner.asset).status == 403
        return "nobody's"
    if way == "transferred":
        s.transfer(owner.asset, owner.wallet)
    token = wait_until("signed in", lambda: s.try_sign_in(owner.wallet, owner.asset).token, 20, 0.2)
    answer = s.http("GET", f"/v1/wallet/transactions/{owner.built['id']}", token=token, timeout=20)
    assert answer.status in (200, 404), answer.body
    if answer.status == 404:
        return "nobody's"
    return "the owner's, once it is lifted" if way == "banned" else "the owner's"
