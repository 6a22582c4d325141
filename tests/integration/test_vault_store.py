"""What somebody who can write the vault's files, but has not its key, can do: refuse service, and nothing else. And keys that are none."""

import base64
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess

import pytest

from suite import BIN, Wallet, wait_until
from vault_format import Master, open_record, seal_record
from vault_parts import Refused, Vaults, check_all_chains, key_text, ops, random_key, refusal, write_private
from vault_parts import own  # noqa: F401: fixtures

BAD = {("internal", "secret_undecryptable"), ("internal", "secret_rolled_back")}


@pytest.fixture(scope="module")
def world():
    made = Vaults()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    """Whatever a test did to the files is undone after it."""
    saved = world.state / "saved"
    yield world
    if saved.exists():
        world.stop_vault(sig=signal.SIGKILL)
        go_back(world)
    if world.processes["secret-vault-1"].poll() is not None:
        world.launch_vault()
    world.wait_vault()


FOLDERS = ("vault", "vault-marks")


def save(v, folders=FOLDERS, to="saved"):
    """A copy of the files of a vault that does not run."""
    for folder in folders:
        shutil.rmtree(v.state / to / folder, ignore_errors=True)
        shutil.copytree(v.state / folder, v.state / to / folder)


def go_back(v, folders=FOLDERS, to="saved"):
    for folder in folders:
        shutil.rmtree(v.state / folder)
        shutil.copytree(v.state / to / folder, v.state / folder)
        (v.state / folder).chmod(0o700)
    if to == "saved":
        shutil.rmtree(v.state / to)


def stopped(v):
    """Stops the vault, keeps a copy of everything, for go_back at the test's end."""
    v.stop_vault()
    save(v)


def everything_of(v, token):
    """What each way to a secret answers: its values, or the reason why not."""
    answers = {}
    for name, ask in {"list": lambda: v.listed(token), "resolve": lambda: v.resolved(token), "materialise": lambda: v.files(token)}.items():
        try:
            answers[name] = ask()
        except Refused as e:
            answers[name] = (e.status, e.reason)
    return answers


def is_bad(answer):
    return isinstance(answer, tuple) and answer in BAD


def period_of(db, wallet):
    return db.execute("SELECT * FROM periods WHERE wallet = ?", (wallet.address,)).fetchone()


# ---- the format, by code that is not ours


def test_what_is_kept_opens_with_the_format_as_it_is_written_down(v):
    owner = v.new_owner()
    values = {("llm", "anthropic"): random_key(), ("custom", "word"): "corréct hörse 🔑", ("custom", "x" * 64): "y"}
    for (kind, name), value in values.items():
        v.put(owner.token, kind, name, value)
    v.put(owner.token, "custom", "gone", "to be deleted")
    v.delete(owner.token, "custom", "gone")
    master = Master.read(v.state / "keys/vault.key")
    assert v.vault_state["key_id"] == master.id.hex()
    with v.copy_of_store() as db:
        period = period_of(db, owner)
        data_key = master.unwrap_key(period)
        rows = db.execute("SELECT * FROM records WHERE period_id = ?", (period["id"],)).fetchall()
    found = {(r["kind"], r["name"]): open_record(data_key, period, r) for r in rows}
    assert found.pop(("custom", "gone"), None) is None
    assert found == {key: value.encode() for key, value in values.items()}
    for value in (*values.values(), "to be deleted"):
        assert len(value) < 8 or v.holds_bytes(value.encode(), v.folder, v.state / "vault-marks", v.state / "log", v.state / "redis") == []


def test_what_is_written_in_that_format_is_read(v):
    """A record of a later version than its mark, sealed by Python, is as good as the vault's own."""
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "by the vault")
    stopped(v)
    master = Master.read(v.state / "keys/vault.key")
    with v.opened_store() as db:
        period = period_of(db, owner)
        data_key = master.unwrap_key(period)
        db.execute("UPDATE records SET version = 7, value = ?, preview = ? WHERE period_id = ? AND name = 'word'",
                   (seal_record(data_key, period, "custom", "word", 7, b"by Python"),
                    seal_record(data_key, period, "custom", "word", 7, b"", "preview"), period["id"]))
    v.launch_vault()
    v.wait_vault()
    assert v.listed(owner.token)["custom", "word"]["version"] == 7
    assert v.files(owner.token)["custom/word"][1] == b"by Python"
    assert v.put(owner.token, "custom", "word", "and again") == 8


# ---- ciphertexts in places where they do not belong


def test_no_two_records_can_change_places(v):
    one, two, three = v.new_owner(), v.new_owner(), v.new_owner()
    for owner in (one, two):
        v.put(owner.token, "llm", "anthropic", random_key())
        v.put(owner.token, "llm", "openai", random_key())
        v.put(owner.token, "custom", "anthropic", random_key())
        v.put(owner.token, "custom", "again", random_key())
        v.put(owner.token, "custom", "again", random_key())  # version 2
        v.put(owner.token, "custom", "gone", random_key())
        v.delete(owner.token, "custom", "gone")
    v.operate("global_put", provider="anthropic", value=random_key().encode())
    stopped(v)
    with v.opened_store() as db:
        periods = {p["id"]: p for p in db.execute("SELECT * FROM periods WHERE wallet IN (?, ?, '')", (one.address, two.address)).fetchall()}
        assert len(periods) == 3
        rows = [r for p in periods for r in db.execute("SELECT * FROM records WHERE period_id = ?", (p,)).fetchall()]
    master = Master.read(v.state / "keys/vault.key")
    keys = {p: master.unwrap_key(row) for p, row in periods.items()}
    # by the format: none opens in any other's place, whichever of their names and keys goes with it
    for r in rows:
        for other in rows:
            for what in ({}, {"version": other["version"]}, {"name": other["name"]}, {"kind": other["kind"]}, {"deleted": other["deleted"]}):
                place = {**dict(r), **what}
                is_same = all(place[c] == other[c] for c in ("period_id", "kind", "name", "version", "deleted"))
                with_value = {**place, "value": other["value"]}
                if is_same:
                    open_record(keys[r["period_id"]], periods[r["period_id"]], with_value)
                else:
                    with pytest.raises(Exception):
                        open_record(keys[r["period_id"]], periods[r["period_id"]], with_value)
    # by the daemon: a sample of swaps, each one noticed by the owner it hits and by nobody else
    owned = {periods[p]["id"]: {one.address: one, two.address: two}.get(periods[p]["wallet"]) for p in periods}
    mine = [r for r in rows if owned[r["period_id"]] is one]
    pick = lambda kind, name, owner=one: next(r for r in rows if owned[r["period_id"]] is owner and (r["kind"], r["name"]) == (kind, name))  # noqa: E731
    globals_ = [r for r in rows if owned[r["period_id"]] is None]
    assert len(mine) == 5 and len(globals_) == 1
    swaps = [(pick("llm", "anthropic"), pick("llm", "openai")), (pick("llm", "anthropic"), pick("custom", "anthropic")),
             (pick("llm", "anthropic"), pick("llm", "anthropic", two)), (pick("llm", "anthropic"), globals_[0]),
             (pick("custom", "again"), pick("custom", "anthropic")), (pick("custom", "gone"), pick("custom", "gone", two))]
    save(v, to="good")
    for a, b in swaps:
        with v.opened_store() as db:
            for place, content in ((a, b), (b, a)):
                db.execute("UPDATE records SET value = ?, preview = ? WHERE period_id = ? AND kind = ? AND name = ?",
                           (content["value"], content["preview"], place["period_id"], place["kind"], place["name"]))
        v.launch_vault()
        v.wait_vault()
        hit = {owned[r["period_id"]] for r in (a, b)}
        for owner in (one, two):
            answers = everything_of(v, owner.token)
            assert is_bad(answers["materialise"]) == (owner in hit), answers
            assert owner in hit or not any(is_bad(answer) for answer in answers.values()), answers
        # a global key that does not open is no reason to tell somebody without an own one "none"
        assert is_bad(everything_of(v, three.token)["resolve"]) == (None in hit)
        v.stop_vault()
        go_back(v, to="good")


@pytest.mark.parametrize("column", ["value", "preview", "version", "kind", "name", "deleted", "wrapped", "since", "key_id", "state"])
def test_a_field_that_was_changed_is_noticed(v, column):
    owner = v.new_owner()
    v.put(owner.token, "llm", "anthropic", random_key())
    v.put(owner.token, "custom", "word", "a word of its own")
    stopped(v)
    with v.opened_store() as db:
        period = period_of(db, owner)
        if column in ("value", "preview"):
            row = db.execute("SELECT * FROM records WHERE period_id = ? AND name = 'word'", (period["id"],)).fetchone()
            data = bytearray(row[column])
            data[len(data) // 2] ^= 1
            db.execute(f"UPDATE records SET {column} = ? WHERE period_id = ? AND name = 'word'", (bytes(data), period["id"]))
        elif column in ("version", "kind", "name", "deleted"):
            new = {"version": 9, "kind": "bot", "name": "other", "deleted": 1}[column]
            db.execute(f"UPDATE records SET {column} = ? WHERE period_id = ? AND name = 'word'", (new, period["id"]))
        else:
            new = {"since": period["since"] + 1, "key_id": os.urandom(8), "state": "destroyed"}.get(column)
            if column == "wrapped":
                data = bytearray(period["wrapped"])
                data[30] ^= 1
                new = bytes(data)
            db.execute(f"UPDATE periods SET {column} = ? WHERE id = ?", (new, period["id"]))
    v.launch_vault()
    wait_until("it runs", lambda: "ready" in ops_or_none(v), 10)
    answers = wait_until("an answer", lambda: settled(everything_of(v, owner.token)), 15, 0.1)
    assert all(not isinstance(a, dict) for name, a in answers.items() if name == "materialise"), answers
    assert any(a in BAD or a[0] in ("internal", "unavailable") for a in answers.values() if isinstance(a, tuple)), answers
    assert b"a word of its own" not in repr(answers).encode()


def ops_or_none(v):
    try:
        return "ready " + ops(v, "/readyz")
    except OSError:
        return ""


def settled(answers):
    return None if any(a in (("unavailable", "vault_sealed"), ("timeout", "")) for a in answers.values()) else answers


# ---- old bytes put back


def test_an_older_version_put_back_is_refused(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "the older")
    v.put(owner.token, "custom", "kept", "as it is")
    v.stop_vault()
    with v.opened_store() as db:
        period = period_of(db, owner)
        old = db.execute("SELECT * FROM records WHERE period_id = ? AND name = 'word'", (period["id"],)).fetchone()
    v.launch_vault()
    v.wait_vault()
    v.put(owner.token, "custom", "word", "the newer")
    stopped(v)
    with v.opened_store() as db:
        db.execute("UPDATE records SET version = ?, value = ?, preview = ?, updated_ms = ? WHERE period_id = ? AND name = 'word'",
                   (old["version"], old["value"], old["preview"], old["updated_ms"], period["id"]))
    v.launch_vault()
    v.wait_vault()
    answers = everything_of(v, owner.token)
    assert answers["materialise"] == ("internal", "secret_rolled_back"), answers
    assert answers["list"] == ("internal", "secret_rolled_back")


@pytest.mark.parametrize("which", ["record", "tombstone", "period"])
def test_a_row_that_was_taken_away_is_missed(v, which):
    owner = v.new_owner()
    v.operate("global_put", provider="anthropic", value=random_key("sk-global-").encode())
    v.put(owner.token, "llm", "anthropic", random_key())
    if which == "tombstone":
        v.delete(owner.token, "llm", "anthropic")
    stopped(v)
    with v.opened_store() as db:
        period = period_of(db, owner)
        if which == "period":
            db.execute("DELETE FROM periods WHERE id = ?", (period["id"],))
        changed = db.execute("DELETE FROM records WHERE period_id = ?", (period["id"],)).rowcount
        assert changed == 1
    v.launch_vault()
    v.wait_vault()
    answers = everything_of(v, owner.token)
    assert answers["resolve"] == ("internal", "secret_rolled_back"), "never a fall-through to the global key"
    assert answers["materialise"] == ("internal", "secret_rolled_back")
    if which == "period":
        assert refusal(v.put, owner.token, "custom", "x", "y") == ("internal", "secret_rolled_back")
    v.operate("global_delete", provider="anthropic")


def test_the_whole_store_of_yesterday_is_refused_where_it_matters(v):
    owner, later = v.new_owner(), v.new_owner()
    v.put(owner.token, "custom", "word", "of yesterday")
    v.stop_vault()
    save(v, ["vault"], to="yesterday")
    v.launch_vault()
    v.wait_vault()
    v.put(owner.token, "custom", "word", "of today")
    v.put(later.token, "custom", "word", "of today, too")
    stopped(v)
    go_back(v, ["vault"], to="yesterday")
    v.launch_vault()
    v.wait_vault()
    assert everything_of(v, owner.token)["materialise"] == ("internal", "secret_rolled_back")
    assert everything_of(v, later.token)["materialise"] == ("internal", "secret_rolled_back"), "its period is missing"
    assert b"of yesterday" not in repr(everything_of(v, owner.token)).encode()
    # whoever stored nothing since is not hit
    fresh = v.new_owner()
    v.put(fresh.token, "custom", "word", "new")
    assert v.files(fresh.token)["custom/word"][1] == b"new"


def test_a_destroyed_period_put_back_from_a_backup_stays_destroyed(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "of the seller")
    v.stop_vault()
    save(v, ["vault"], to="backup")
    v.launch_vault()
    v.wait_vault()
    v.transfer(owner.asset, Wallet())
    wait_until("destroyed", lambda: v.operate("state")["locked"] == 0 and gone(v, owner), 20, 0.1)
    stopped(v)
    go_back(v, ["vault"], to="backup")
    v.launch_vault()
    v.wait_vault()
    # the seller buys it back, and an operator helps as far as operators can
    v.transfer(owner.asset, owner)
    token = v.token_of(owner, owner.asset)
    said = wait_until("the chain's word is final", lambda: final_refusal(v, owner), 10, 0.1)
    assert said[0] in ("conflict", "not_found", "internal", "denied"), said
    answers = everything_of(v, token)
    assert b"of the seller" not in repr(answers).encode()


def final_refusal(v, owner):
    said = refusal(v.operate, "reinstate", asset=owner.asset, wallet=owner.address)
    return said if said[0] != "unavailable" else None


def gone(v, owner):
    try:
        with v.copy_of_store() as db:
            return period_of(db, owner)["state"] == "destroyed"
    except sqlite3.Error:
        return False


def test_lost_marks_are_an_operators_decision(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "kept")
    stopped(v)
    shutil.rmtree(v.state / "vault-marks")
    v.launch_vault()
    state = wait_until("it says so", lambda: state_or_none(v, "unmarked"), 10, 0.1)
    assert "adopt" in state["why"] and not v.is_ready("secret-vault-1")
    assert refusal(v.listed, owner.token) == ("unavailable", "vault_sealed")
    assert refusal(v.put, owner.token, "custom", "x", "y") == ("unavailable", "vault_sealed")
    v.operate("unseal", adopt=True)
    v.wait_vault()
    assert v.files(owner.token)["custom/word"][1] == b"kept"
    assert "unseal" in [e["act"] for e in v.export()[0] if e["chain"] == "global"]


def state_or_none(v, name):
    try:
        state = v.vault_state
    except (Refused, AssertionError):
        return None
    return state if state["state"] == name else None


@pytest.mark.parametrize("what", ["flip", "drop", "reorder", "cut", "first"])
def test_an_audit_trail_that_was_changed_is_found(v, what):
    owner = v.new_owner()
    for i in range(5):
        v.put(owner.token, "custom", "word", f"value {i}")
    state = v.vault_state
    head_seq, head = state["head_seq"], state["head"]
    stopped(v)
    with v.opened_store() as db:
        chain = db.execute("SELECT chain FROM audit WHERE chain LIKE ? LIMIT 1", (f"{owner.asset}/%",)).fetchone()[0]
        seqs = [r[0] for r in db.execute("SELECT all_seq FROM audit WHERE chain = ? ORDER BY seq", (chain,)).fetchall()]
        if what == "flip":
            db.execute("UPDATE audit SET name = 'else' WHERE all_seq = ?", (seqs[2],))
        elif what == "drop":
            db.execute("DELETE FROM audit WHERE all_seq = ?", (seqs[2],))
        elif what == "first":
            db.execute("DELETE FROM audit WHERE all_seq = ?", (seqs[0],))
        elif what == "reorder":
            db.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE all_seq = ?", (seqs[1],))
            db.execute("UPDATE audit SET seq = -1 WHERE all_seq = ?", (seqs[2],))
            db.execute("UPDATE audit SET seq = 3 WHERE all_seq = ?", (seqs[3],))
            db.execute("UPDATE audit SET seq = 4 WHERE seq = -1")
        else:
            db.execute("DELETE FROM audit WHERE all_seq >= ?", (seqs[-1],))
    v.launch_vault()
    v.wait_vault()
    entries, seq, its_head = v.export()
    good = False
    try:
        check_all_chains(entries[:head_seq], head_seq, head)
        good = True
    except AssertionError:
        pass
    assert not good
    export = v.state / "copy.jsonl"
    write_private(export, b"".join(line_of(e) for e in entries[:head_seq] if what != "cut" or e["all_seq"] < head_seq))
    done = verify(v, export, head_seq, head)
    assert done.returncode == 1, done.stdout + done.stderr


def line_of(entry):
    shown = {k: x.hex() if isinstance(x, bytes) else x for k, x in entry.items() if x not in ("", 0, b"")}
    return json.dumps(shown, separators=(",", ":")).encode() + b"\n"


def verify(v, path, seq, head):
    return subprocess.run([BIN / "multiclaw", "audit", "verify", path, "--head", f"{seq}:{head.hex()}"], capture_output=True, text=True, timeout=30, env=v.env)


def test_an_untouched_trail_verifies(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "value")
    entries, seq, head = v.export()
    path = write_private(v.state / "good.jsonl", b"".join(line_of(e) for e in entries))
    done = verify(v, path, seq, head)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- keys


@pytest.mark.parametrize("what", ["world-readable", "group-readable", "short", "long", "empty", "zeros", "text", "placeholder", "hex", "link", "missing",
                                  "folder", "two lines", "steps"])
def test_a_key_that_is_none_stops_the_start_with_a_sentence(v, what):
    stopped(v)
    path, key = v.state / f"keys/{what.replace(' ', '-')}.key", secrets.token_bytes(32)
    content = {"short": base64.b64encode(key[:31]), "long": base64.b64encode(key + b"x"), "empty": b"", "zeros": base64.b64encode(bytes(32)),
               "text": base64.b64encode(b"correct horse battery staple 123"), "placeholder": b"CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME-1234",
               "hex": key.hex().encode(), "two lines": base64.b64encode(key) + b"\n" + base64.b64encode(key),
               "steps": base64.b64encode(bytes(range(32)))}.get(what, base64.b64encode(key))
    mode = {"world-readable": 0o644, "group-readable": 0o640}.get(what, 0o600)
    if what == "link":
        write_private(v.state / "keys/behind.key", content)
        path.unlink(missing_ok=True)
        path.symlink_to("behind.key")
    elif what == "folder":
        path.mkdir(exist_ok=True)
    elif what != "missing":
        write_private(path, content + b"\n", mode)
    said = v.fails_to_start(MULTICLAW_VAULT_KEY=path)
    assert path.name in said and len(said.splitlines()) <= 4, said
    assert key.hex() not in said and base64.b64encode(key).decode()[:20] not in said
    v.launch_vault()
    v.wait_vault()


def test_a_wrong_master_key_is_told_and_harms_nothing(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "kept")
    before = v.vault_state["key_id"]
    stopped(v)
    wrong = write_private(v.state / "keys/wrong.key", key_text())
    v.launch_vault(MULTICLAW_VAULT_KEY=wrong)
    state = wait_until("it says so", lambda: state_or_none(v, "foreign"), 10, 0.1)
    assert before in state["why"] and not v.is_ready("secret-vault-1")
    for refused in (refusal(v.listed, owner.token), refusal(v.put, owner.token, "custom", "word", "overwritten"), refusal(v.files, owner.token),
                    refusal(v.operate, "global_put", provider="openai", value=random_key().encode()), refusal(v.operate, "rotate")):
        assert refused[0] in ("unavailable", "conflict"), refused
    v.restart_vault()
    assert v.files(owner.token)["custom/word"][1] == b"kept"


def test_a_second_vault_on_the_same_file_is_refused_by_name(v):
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "kept")
    v.launch_vault(2)
    try:
        wait_until("it says why", lambda: "locked" in v.log("secret-vault-2", 50), 10, 0.1)
        assert not v.is_ready("secret-vault-2")
        v.put(owner.token, "custom", "word", "still served by the first")
    finally:
        v.stop_vault(2)
    assert v.files(owner.token)["custom/word"][1] == b"still served by the first"


@pytest.mark.parametrize("what", ["garbage", "empty", "short", "world-readable"])
def test_a_store_that_is_none_is_told_and_left_alone(v, what):
    stopped(v)
    path = v.store_file
    if what == "garbage":
        path.write_bytes(os.urandom(8192))
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "short":
        with open(path, "r+b") as file:
            file.truncate(5000)
    else:
        path.chmod(0o644)
    before = path.read_bytes()
    v.launch_vault()
    wait_until("it says why", lambda: not v.is_ready("secret-vault-1") and (v.processes["secret-vault-1"].poll() is not None or
                                                                            "storage" in ops_or_none(v)), 10, 0.1)
    if what == "empty":  # a new store, but the marks are another's
        assert wait_until("unmarked", lambda: state_or_none(v, "unmarked"), 10, 0.1)
    else:
        assert path.read_bytes() == before


# ---- a passphrase


PASSPHRASE = "correct horse battery staple, and a comma"


def test_with_a_passphrase_it_starts_sealed_and_an_operator_opens_it(own):
    v = own(MULTICLAW_VAULT_KEY_SOURCE="passphrase")
    v.wait_vault = lambda i=1, seconds=20: wait_until("it is sealed", lambda: state_or_none(v, "sealed"), seconds, 0.1)
    v.start()
    owner = v.new_owner()
    assert v.operate("unseal")["state"] == "sealed"
    for passphrase in ("short", "x" * 1025, "changeme"):
        assert refusal(v.operate, "unseal", passphrase=passphrase)[0] in ("invalid", "unauthenticated"), passphrase
    assert v.operate("unseal", timeout=20, passphrase=PASSPHRASE)["state"] in ("catching_up", "open")
    wait_until("open", lambda: v.is_ready("secret-vault-1"), 10)
    v.put(owner.token, "custom", "word", "kept")
    v.restart_vault()
    assert not v.is_ready("secret-vault-1")
    assert refusal(v.listed, owner.token) == ("unavailable", "vault_sealed")
    assert refusal(v.put, owner.token, "custom", "x", "y") == ("unavailable", "vault_sealed")
    assert refusal(v.operate, "unseal", timeout=20, passphrase=PASSPHRASE + "!") == ("unauthenticated", "passphrase_wrong")
    assert state_or_none(v, "sealed")
    assert v.operate("unseal", timeout=20, passphrase=PASSPHRASE)["state"] in ("catching_up", "open")
    wait_until("open", lambda: v.is_ready("secret-vault-1"), 10)
    assert v.files(owner.token)["custom/word"][1] == b"kept"
    # what the skeleton serves goes on while Argon2id runs
    assert v.holds_bytes(PASSPHRASE.encode(), v.folder, v.state / "vault-marks", v.state / "log", v.state / "run") == []
