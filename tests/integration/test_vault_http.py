"""An owner's secrets over HTTP, through nginx and the real suite; operators' parts by the command line."""

import base64
import json
import os
import secrets
import signal
import threading
import time

import nacl.bindings
import nacl.signing
import pytest

from suite import Wallet, b58decode, b58encode, wait_until
from vault_parts import PROVIDERS, VALUE_MAX, check_chain, preview_of, random_key
from vault_suite import VaultSuite, new_owner, token_of

NAMES = [p["name"] for p in json.loads(PROVIDERS.read_text())["providers"]]


@pytest.fixture(scope="module")
def suite():
    with VaultSuite() as made:
        yield made


@pytest.fixture
def own_suite():
    made = []

    def make(**settings):
        made.append(VaultSuite(**settings))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def owner(suite):
    """A wallet with an asset of its own, signed in."""
    return new_owner(suite)


# ---- the journey


def test_the_whole_journey_of_an_owners_secrets(suite, owner):
    key, bot = random_key(), "12345678:" + secrets.token_urlsafe(30)
    assert suite.listed(owner.token) == {}
    answer = suite.put(owner.token, "llm", "anthropic", key)
    assert (answer.status, answer.body) == (204, b"") and answer.headers["Cache-Control"] == "no-store"
    assert suite.put(owner.token, "bot", "telegram", bot).status == 204
    assert suite.put(owner.token, "custom", "short", "1234567890123456789").status == 204
    answer = suite.http("GET", "/v1/secrets", token=owner.token)
    assert answer.headers["Cache-Control"] == "no-store" and key not in answer.body.decode() and key[:12] not in answer.body.decode()
    listed = suite.listed(owner.token)
    assert list(listed) == [("bot", "telegram"), ("custom", "short"), ("llm", "anthropic")]
    for item in listed.values():
        assert set(item) == {"kind", "name", "preview", "delivery", "version", "updated_at"}
        assert abs(time.time() - time.mktime(time.strptime(item["updated_at"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 10
    assert listed["llm", "anthropic"]["preview"] == preview_of(key) and listed["bot", "telegram"]["preview"] == preview_of(bot)
    assert not listed["custom", "short"]["preview"]
    assert suite.put(owner.token, "llm", "anthropic", key + "2").status == 204
    assert suite.listed(owner.token)["llm", "anthropic"]["version"] == 2
    suite.restart_vault()
    assert suite.listed(owner.token)["llm", "anthropic"]["version"] == 2
    assert suite.delete(owner.token, "llm", "anthropic").status == 204
    assert suite.delete(owner.token, "llm", "anthropic").status == 404
    assert set(suite.listed(owner.token)) == {("bot", "telegram"), ("custom", "short")}
    entries, head = suite.trail(owner.token)
    assert [e["act"] for e in entries] == ["period", "put", "put", "put", "put", "delete"]
    assert bot not in json.dumps(entries)


def test_llm_keys_come_from_the_owner_then_from_operators_then_from_nowhere(suite, owner):
    assert {p["source"] for p in suite.keys(owner.token).values()} == {"none"} and list(suite.keys(owner.token)) == NAMES
    theirs, own = random_key("sk-global-"), random_key()
    suite.cli("vault", "global", "set", "openai", input=theirs + "\n")
    try:
        assert suite.keys(owner.token)["openai"] == {"provider": "openai", "source": "global", "preview": None, "delivery": "gateway"}
        suite.put(owner.token, "llm", "openai", own)
        assert suite.keys(owner.token)["openai"] == {"provider": "openai", "source": "user", "preview": own[:8], "delivery": "gateway"}
        shown = suite.cli("vault", "global", "list").stdout
        assert "openai" in shown and theirs[:8] in shown and theirs[:12] not in shown
        suite.delete(owner.token, "llm", "openai")
        assert suite.keys(owner.token)["openai"]["source"] == "global"
    finally:
        suite.cli("vault", "global", "rm", "openai")
    assert suite.keys(owner.token)["openai"]["source"] == "none"


def test_an_owner_checks_the_trail_with_a_head_that_was_kept(suite, owner, tmp_path):
    for i in range(4):
        suite.put(owner.token, "custom", "x", f"value {i}")
    session = suite.state / "trail-session.json"
    suite.cli("login", "--keypair", owner.write(tmp_path / "owner.json"), "--asset", owner.asset, session=session.name)
    copy = tmp_path / "copy.jsonl"
    copy.write_text(suite.cli("audit", "export", session=session.name).stdout)
    entries, head = suite.trail(owner.token)
    lines = copy.read_text().splitlines()
    assert len(lines) == len(entries) == head["seq"]
    back = [{k: bytes.fromhex(x) if k in ("prev", "hash") else x for k, x in e.items()} for e in entries]
    check_chain(back, head["seq"], bytes.fromhex(head["hash"]))
    kept = ("--head", f"{head['seq']}:{head['hash']}")
    assert suite.cli("audit", "verify", copy, *kept).returncode == 0
    changed = {
        "flip": [line.replace('"custom"', '"costum"') if i == 2 else line for i, line in enumerate(lines)],
        "drop": lines[:2] + lines[3:],
        "reorder": [lines[0], lines[2], lines[1], *lines[3:]],
        "cut": lines[:-1],
        "beginning": lines[1:],
        "twice": lines[:2] + lines[1:],
        "junk": [*lines[:2], "{}", *lines[2:]],
        "nothing": [],
    }
    for what, new in changed.items():
        copy.write_text("".join(line + "\n" for line in new))
        done = suite.cli("audit", "verify", copy, *kept, check=False)
        assert done.returncode == 1, (what, done.stdout, done.stderr)
    # a later copy still has the head of before in it
    suite.put(owner.token, "custom", "x", "one more")
    copy.write_text(suite.cli("audit", "export", session=session.name).stdout)
    assert suite.cli("audit", "verify", copy, *kept).returncode == 0


def test_the_operators_copy_of_all_chains_verifies(suite, owner, tmp_path):
    suite.put(owner.token, "custom", "x", "y")
    copy = tmp_path / "all.jsonl"
    copy.write_text(suite.cli("vault", "audit", "export").stdout)
    assert suite.cli("audit", "verify", copy).returncode == 0
    lines = copy.read_text().splitlines()
    copy.write_text("\n".join(lines[:-2] + lines[-1:]) + "\n")
    assert suite.cli("audit", "verify", copy, check=False).returncode == 1


# ---- the command line


def test_an_owner_keeps_secrets_by_the_command_line_without_typing_them(suite, owner, tmp_path):
    session, key = "cli-session.json", random_key()
    cli = lambda *args, **kwargs: suite.cli(*args, session=session, **kwargs)  # noqa: E731
    cli("login", "--keypair", owner.write(tmp_path / "owner.json"), "--asset", owner.asset)
    cli("secrets", "set", "llm", "anthropic", input=key + "\n")
    shown = cli("secrets", "list").stdout
    assert "anthropic" in shown and key[:8] in shown and key[:10] not in shown
    assert json.loads(cli("--json", "llm", "keys").stdout)["providers"][0]["source"] == "user"
    assert cli("secrets", "set", "llm", "anthropic", key, check=False, input="").returncode == 2, "never from the command line"
    for value in ("", "\0", "x" * (VALUE_MAX + 1)):
        assert cli("secrets", "set", "custom", "x", input=value, check=False).returncode != 0
    cli("secrets", "rm", "llm", "anthropic")
    assert cli("secrets", "rm", "llm", "anthropic", check=False).returncode == 1
    assert json.loads(cli("--json", "secrets", "list").stdout)["secrets"] == []
    assert cli("wallet", "hot", check=False).returncode == 1
    out = tmp_path / "hot.json"
    cli("wallet", "hot", "create", "--keypair", tmp_path / "owner.json", "--out", out)
    pair = bytes(json.loads(out.read_text()))
    assert bytes(nacl.signing.SigningKey(pair[:32]).verify_key) == pair[32:] and out.stat().st_mode & 0o777 == 0o600
    assert b58encode(pair[32:]) in cli("wallet", "hot").stdout
    assert cli("wallet", "hot", "create", "--keypair", tmp_path / "owner.json", "--out", tmp_path / "again.json", check=False).returncode == 1
    assert not (tmp_path / "again.json").exists()


def test_a_master_key_is_changed_by_one_command(own_suite):
    suite = own_suite()
    owner = new_owner(suite)
    suite.put(owner.token, "custom", "x", "kept over a change of keys")
    before = (suite.state / "keys/vault.key").read_bytes()
    suite.cli("vault", "rotate", "--new-key")
    assert (suite.state / "keys/vault.key").read_bytes() != before and not (suite.state / "keys/vault.key.next").exists()
    assert ("custom", "x") in suite.listed(owner.token)
    suite.restart_vault()
    assert ("custom", "x") in suite.listed(owner.token)
    status = suite.cli("vault", "status").stdout
    assert "open" in status


# ---- the hot wallet


def test_a_hot_wallets_key_is_in_one_answer_and_never_again(suite, owner):
    assert suite.http("GET", "/v1/wallet/hot", token=owner.token).status == 404
    made = suite.hot(owner, owner.token)
    assert made.status == 201 and set(made.json) == {"address", "secret_key"} and made.headers["Cache-Control"] == "no-store"
    pair = b58decode(made.json["secret_key"], 64)
    assert bytes(nacl.signing.SigningKey(pair[:32]).verify_key) == pair[32:] and b58encode(pair[32:]) == made.json["address"]
    again = suite.hot(owner, owner.token)
    assert (again.status, again.code) == (409, "already_revealed") and made.json["secret_key"] not in again.body.decode()
    assert suite.http("GET", "/v1/wallet/hot", token=owner.token).json["address"] == made.json["address"]
    suite.restart_vault(signal.SIGKILL)
    assert suite.http("GET", "/v1/wallet/hot", token=owner.token).json["address"] == made.json["address"]
    again = suite.hot(owner, owner.token)
    assert (again.status, again.code) == (409, "already_revealed")


def test_a_hot_wallets_key_can_be_sealed_to_the_client(suite, owner):
    public, secret = nacl.bindings.crypto_box_keypair()
    made = suite.hot(owner, owner.token, recipient=base64.b64encode(public).decode())
    assert made.status == 201 and set(made.json) == {"address", "sealed_secret_key"}
    pair = nacl.bindings.crypto_box_seal_open(base64.b64decode(made.json["sealed_secret_key"]), public, secret)
    assert b58encode(pair[32:]) == made.json["address"]


def test_a_hot_wallet_needs_the_owners_signature_for_this_act(suite, owner):
    other = new_owner(suite)
    assert suite.hot(owner, owner.token, signer=other).status == 401
    # a sign-in's signature is none
    issued = suite.challenge(owner, owner.asset).json
    body = {"nonce": issued["nonce"], "signature": b58encode(owner.sign(issued["message"].encode()))}
    assert suite.http("POST", "/v1/wallet/hot", body, token=owner.token).status in (401, 403)
    for recipient in ("", "x", "AAAA", base64.b64encode(bytes(32)).decode(), base64.b64encode(os.urandom(33)).decode(), 7, None):
        assert suite.hot(owner, owner.token, recipient=recipient).status == 400, recipient
    assert suite.http("POST", "/v1/wallet/hot/challenge", {}).status == 401
    assert suite.http("GET", "/v1/wallet/hot", token=owner.token).status == 404


# ---- bad input


BAD_BODIES = [b"", b"{}", b"[]", b"null", b"\"x\"", b"{\"value\":1}", b"{\"value\":null}", b"{\"value\":[\"x\"]}", b"{\"value\":\"x\",\"more\":1}",
              b"{\"value\":\"x\",\"value\":\"y\"}", b"{\"value\":\"\"}", b"{\"value\":\"a\\u0000b\"}", b"{\"value\":\"\xff\xfe\"}",
              b"{\"value\":\"\\ud800\"}", b"{\"value\":\"x\"", b"{\"value\":\"x\"} trailing", b"x" * 1000, b"{\"Value\":\"x\"}", b"\xef\xbb\xbf{\"value\":\"x\"}"]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_bodies_that_are_not_a_value_are_refused(suite, owner, body):
    answer = suite.http("PUT", "/v1/secrets/custom/x", body, token=owner.token)
    assert answer.status == 400 and answer.code in ("body_invalid", "secret_value_invalid"), (answer.status, answer.body)
    assert suite.listed(owner.token) == {}


def test_values_at_the_edge_of_what_is_allowed(suite, owner):
    """A body has 64 KiB at most, whatever it says; so a value by HTTP has a few bytes less than one on the bus."""
    room = VALUE_MAX - len(json.dumps({"value": ""}))
    for size, status in ((1, 204), (room - 1, 204), (room, 204), (room + 1, 413), (VALUE_MAX, 413), (10 * VALUE_MAX, 413)):
        answer = suite.put(owner.token, "custom", "x", "v" * size)
        assert answer.status == status, (size, answer.status, answer.body)
    assert suite.listed(owner.token)["custom", "x"]["version"] == 3
    assert suite.put(owner.token, "custom", "y", "\"\\\n" * 7000).status == 204


@pytest.mark.parametrize("path,status", [
    ("custom/A", 400), ("custom/a.b", 400), ("custom/%C3%A4", 400), ("custom/a%20b", 400), ("custom/a%2Fb", (400, 404)), ("custom/" + "x" * 65, 400),
    ("custom/a%00", (400, 404)), ("wallet/hot", 400), ("global/x", 400), ("LLM/anthropic", 400), ("llm/nobody-knows", 400), ("custom/..", (400, 404)),
    ("custom/", (400, 404)), ("custom", 404), ("custom/x/y", 404), ("/x", (400, 404)), ("custom/%", 400), ("custom/%zz", 400),
])
def test_paths_outside_the_grammar_are_refused(suite, owner, path, status):
    answer = suite.http("PUT", f"/v1/secrets/{path}", {"value": "v" * 30}, token=owner.token)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), (answer.status, answer.body)
    assert answer.json["code"] and answer.headers["Content-Type"] == "application/problem+json"
    assert suite.listed(owner.token) == {}


def test_methods_origins_and_types_are_looked_at(suite, owner):
    for method, path in (("POST", "/v1/secrets"), ("GET", "/v1/secrets/custom/x"), ("POST", "/v1/secrets/custom/x"), ("PUT", "/v1/llm/keys"),
                         ("DELETE", "/v1/secrets"), ("POST", "/v1/audit"), ("DELETE", "/v1/audit"), ("PUT", "/v1/wallet/hot"), ("OPTIONS", "/v1/secrets")):
        answer = suite.http(method, path, token=owner.token)
        assert answer.status == 405 and answer.headers["Allow"], (method, path, answer.status)
    for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Content-Type": "text/plain"}, 400), ({"Sec-Fetch-Site": "cross-site"}, (204, 403))):
        answer = suite.http("PUT", "/v1/secrets/custom/x", b'{"value":"v"}', token=owner.token, headers=headers)
        assert answer.status in (status if isinstance(status, tuple) else (status,)), (headers, answer.status)
    suite.delete(owner.token, "custom", "x")
    assert suite.http("DELETE", "/v1/secrets/custom/x", token=owner.token, headers={"Origin": "https://evil.example"}).status == 403
    for query in ("after=x", "after=-1", "after=1e3", "before=1", "after=1&after=2", "after=" + "9" * 30, "after="):
        assert suite.http("GET", f"/v1/audit?{query}", token=owner.token).status == 400, query


def test_without_a_good_session_there_is_nothing(suite, owner):
    suite.put(owner.token, "custom", "x", "y")
    ended = suite.sign_in(owner, owner.asset)
    assert suite.http("POST", "/v1/auth/logout", {}, token=ended).status == 204
    for token in (None, "x", "a.b.c", owner.token[:-3] + "abc", ended):
        for method, path, body in (("GET", "/v1/secrets", None), ("PUT", "/v1/secrets/custom/x", {"value": "stolen"}), ("DELETE", "/v1/secrets/custom/x", None),
                                   ("GET", "/v1/llm/keys", None), ("GET", "/v1/audit", None), ("GET", "/v1/wallet/hot", None),
                                   ("POST", "/v1/wallet/hot/challenge", {}), ("POST", "/v1/wallet/hot", {"nonce": "0" * 32, "signature": "1" * 64})):
            assert suite.http(method, path, body, token=token).status == 401, (method, path, token)
    assert set(suite.listed(owner.token)) == {("custom", "x")}


def test_two_owners_see_and_touch_their_own_only(suite, owner):
    other = new_owner(suite)
    suite.put(owner.token, "custom", "x", "of the first")
    assert suite.listed(other.token) == {} and suite.delete(other.token, "custom", "x").status == 404
    suite.put(other.token, "custom", "x", "of the second")
    assert [e["name"] for e in suite.trail(other.token)[0] if e.get("name")] == ["x"]
    assert suite.listed(owner.token)["custom", "x"]["version"] == 1


# ---- the sale, and trouble


def test_after_the_sale_the_buyer_begins_with_nothing_and_the_seller_has_nothing(suite, owner):
    buyer = Wallet()
    suite.put(owner.token, "llm", "anthropic", random_key())
    suite.hot(owner, owner.token)
    suite.transfer(owner.asset, buyer)
    wait_until("the seller is out", lambda: suite.http("GET", "/v1/secrets", token=owner.token).status == 401, 5)
    token = token_of(suite, buyer, owner.asset)
    assert suite.listed(token) == {} and suite.trail(token)[0] == [] and suite.keys(token)["anthropic"]["source"] == "none"
    assert suite.http("GET", "/v1/wallet/hot", token=token).status == 404
    status = lambda: json.loads(suite.cli("--json", "vault", "status").stdout)  # noqa: E731
    wait_until("destroyed", lambda: '"locked": 0' in json.dumps(status()), 20, 0.2)
    assert suite.put(token, "custom", "x", "of the buyer").status == 204
    assert suite.hot(buyer, token).status == 201, "each owner once"


def test_a_vault_that_is_away_is_a_clear_answer_and_hurts_nothing_else(own_suite):
    suite = own_suite()
    owner = new_owner(suite)
    suite.put(owner.token, "custom", "x", "y")
    os.kill(suite.pid("secret-vault-1"), signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = suite.http("GET", "/v1/secrets", token=owner.token, timeout=20)
        assert answer.status == 503 and answer.headers["Retry-After"] and time.monotonic() - began < 12
        assert suite.session_status(owner.token) == 200
        assert suite.sign_in(owner, owner.asset)
    finally:
        os.kill(suite.pid("secret-vault-1"), signal.SIGCONT)
    wait_until("served again", lambda: suite.http("GET", "/v1/secrets", token=owner.token).status == 200, 10)


def test_killing_the_vault_at_any_moment_loses_no_acknowledged_secret(own_suite):
    suite = own_suite()
    owner = new_owner(suite)
    stop, kept, statuses = threading.Event(), {}, set()

    def write(turn):
        n = 0
        while not stop.is_set():
            n += 1
            try:
                answer = suite.put(owner.token, "custom", f"w{turn}", f"value {n}", timeout=15)
            except OSError:
                continue
            statuses.add(answer.status)
            if answer.status == 204:
                kept[turn] = kept.get(turn, 0) + 1

    writers = [threading.Thread(target=write, args=(turn,)) for turn in range(4)]
    [w.start() for w in writers]
    for _ in range(8):
        time.sleep(0.25)
        pid = suite.kill("secret-vault-1")
        wait_until("it is started again", lambda: suite.pid("secret-vault-1") != pid, 15)
    stop.set()
    [w.join() for w in writers]
    suite.wait_vault()
    assert statuses <= {204, 502, 503, 504}, statuses
    listed = wait_until("the list", lambda: suite.listed(owner.token), 10)
    for turn, count in kept.items():
        # each acknowledged write made a version; one that was not acknowledged may have, too
        assert listed["custom", f"w{turn}"]["version"] >= count > 0
    entries, head = suite.trail(owner.token)
    check_chain([{k: bytes.fromhex(x) if k in ("prev", "hash") else x for k, x in e.items()} for e in entries], head["seq"], bytes.fromhex(head["hash"]))
