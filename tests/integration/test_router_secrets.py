"""What router owes to the secrets that pass through it: nothing of them stays, and it does its other work without a vault."""

import base64
import http.client
import json
import os
import secrets

import nacl.bindings
import pytest

from parts import Parts, over_socket
from suite import SANITIZED, Suite, b58decode, b58encode, wait_until


@pytest.fixture(scope="module")
def suite():
    with Suite() as made:
        yield made


@pytest.fixture(scope="module")
def owner(suite):
    wallet = suite.wallet("alice")
    wallet.asset = suite.asset_of("alice")
    wallet.token = suite.sign_in(wallet, wallet.asset)
    return wallet


def copies_in_memory(pid, needles):
    """How often any of these bytes is in what the process may write to."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            area, rights = line.split()[:2]
            begin, end = (int(x, 16) for x in area.split("-"))
            if not rights.startswith("rw"):
                continue
            try:
                mem.seek(begin)
                data = mem.read(end - begin)
            except OSError:
                continue  # guard pages, and what is sealed
            found += sum(data.count(needle) for needle in needles)
    return found


def may_look_into(pid):
    try:
        with open(f"/proc/{pid}/mem", "rb", 0):
            return True
    except OSError:
        return False


DAEMONS = ("router-1", "auth-1", "session-1", "secret-vault-1")


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what was freed")
@pytest.mark.parametrize("size", [32, 1000, 20000, 60000])
def test_no_process_has_a_value_in_its_memory_once_it_is_stored(suite, owner, size):
    if not may_look_into(suite.pid("router-1")):
        pytest.skip("this user may not look into the memory of others")
    values = [secrets.token_hex(size // 2) for _ in range(4)]
    for i, value in enumerate(values):
        assert suite.http("PUT", f"/v1/secrets/custom/m{i}", {"value": value}, token=owner.token).status == 204
    needles = [part.encode() for value in values for part in (value[:24], value[-24:])]
    for name in DAEMONS:
        wait_until(f"{name} has forgotten", lambda: copies_in_memory(suite.pid(name), needles) == 0, 3, 0.2)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what was freed")
@pytest.mark.parametrize("name,is_sealed", [("alice", True), ("bob", False)], ids=["sealed", "open"])
def test_no_process_has_the_hot_wallets_key_in_its_memory_once_it_was_shown(suite, name, is_sealed):
    if not may_look_into(suite.pid("router-1")):
        pytest.skip("this user may not look into the memory of others")
    wallet = suite.wallet(name)
    token = suite.sign_in(wallet, suite.asset_of(name))
    public, secret = nacl.bindings.crypto_box_keypair()
    # in base64 here, in base58, as the text names it, there: both are understood
    sent = [{"recipient": base64.b64encode(public).decode()}, {"recipient": b58encode(public)}] if is_sealed else [{}, {}]
    issued = suite.http("POST", "/v1/wallet/hot/challenge", sent[0], token=token).json
    assert (f"sealed to {b58encode(public)}, asked from" in issued["message"]) == is_sealed
    body = {"nonce": issued["nonce"], "signature": b58encode(wallet.sign(issued["message"].encode())), **sent[1]}
    answer = suite.http("POST", "/v1/wallet/hot", body, token=token)
    assert answer.status == 201, answer.body
    if is_sealed:
        pair = nacl.bindings.crypto_box_seal_open(base64.b64decode(answer.json["sealed_secret_key"]), public, secret)
    else:
        pair = b58decode(answer.json["secret_key"], 64)
    assert b58encode(pair[32:]) == answer.json["address"]
    needles = [pair[:24], pair[8:32], b58encode(pair).encode()[:40], pair[:24].hex().encode()]
    for daemon in DAEMONS:
        wait_until(f"{daemon} has forgotten", lambda: copies_in_memory(suite.pid(daemon), needles) == 0, 3, 0.2)


def test_looking_into_memory_finds_what_is_there(suite):
    needle = secrets.token_bytes(24)
    assert copies_in_memory(os.getpid(), [needle]) > 0


def test_a_secret_in_chunks_is_refused_before_it_could_be_on_the_edges_disk(suite, owner):
    value = secrets.token_hex(32)
    chunk = json.dumps({"value": value}).encode()
    for path, status in (("/v1/secrets/custom/x", 411), ("/v1/secrets/custom/x?y", 411), ("/v1/auth/logout", 400)):
        connection = http.client.HTTPConnection("127.0.0.1", suite.port, timeout=10)
        headers = {"Host": suite.authority, "Content-Type": "application/json", "Cookie": f"__Host-multiclaw={owner.token}"}
        method = "PUT" if "secrets" in path else "POST"
        connection.request(method, path, iter([chunk[:9], chunk[9:]]), headers, encode_chunked=True)
        answer = connection.getresponse()
        problem = json.loads(answer.read())
        connection.close()
        assert (answer.status, problem["status"]) == (status, status), problem
        assert problem["code"] == ("length_required" if status == 411 else "body_invalid")
    assert suite.http("GET", "/v1/secrets", token=owner.token).status == 200


# ---- without a vault


@pytest.fixture
def alone():
    """router, auth, session and oracle of a suite that has no vault; HTTP as nginx would speak it."""
    parts = Parts(MULTICLAW_AGENTS_DOMAIN="agents.example", MULTICLAW_VAULTS="")
    try:
        parts.start()
        parts.launch_daemon("router-1")
        yield parts
    finally:
        parts.stop()


def test_a_router_without_a_vault_is_ready_and_says_so_of_secrets_alone(alone):
    wait_until("ready", lambda: alone.is_ready("router-1"), 10)
    answer, ready = over_socket(alone, "ops", "GET", "/readyz")
    vault = next(check for check in ready["checks"] if check["name"] == "vault")
    assert (answer.status, ready["ready"], vault["ok"], vault["why"]) == (200, True, False, "none is configured")
    wallet, asset = alone.wallet("alice"), alone.asset_of("alice")
    token = alone.sign_in(wallet, asset)["token"]
    assert over_socket(alone, "api", "GET", "/v1/session", token)[0].status == 200
    signature = b58encode(bytes(64))
    for method, path, body in (("GET", "/v1/secrets", None), ("PUT", "/v1/secrets/custom/x", {"value": "v"}), ("DELETE", "/v1/secrets/custom/x", None),
                               ("GET", "/v1/llm/keys", None), ("GET", "/v1/audit", None), ("GET", "/v1/wallet/hot", None),
                               ("POST", "/v1/wallet/hot", {"nonce": "0" * 32, "signature": signature})):
        answer, problem = over_socket(alone, "api", method, path, token, body)
        assert (answer.status, problem["code"]) == (503, "service_unavailable") and answer.headers["Retry-After"], path
        answer, problem = over_socket(alone, "api", method, path, None, body)
        assert (answer.status, problem["code"]) == (401, "session_missing"), path
