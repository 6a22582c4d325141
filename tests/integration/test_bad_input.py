"""Bad input through the whole suite: real nginx, two replicas of each daemon, real Redis, two nodes. What must come back is a clear error by the contract,
and nothing else: no session, no lost process, no memory."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from suite import SANITIZED, BIN, ROOT, Wallet, b58decode, b58encode, wait_until
from test_edge import COOKIE, Edge, nginx_headers, parse, read_all

WEEK = 604800
SETTINGS = {"replicas": 2, "MULTICLAW_SWEEP_S": 2, "MULTICLAW_CHAIN_SLOTS_PER_S": 40, "MULTICLAW_RPC_TIMEOUT_MS": 500,
            "MULTICLAW_EDGE_RATE": 100000, "MULTICLAW_EDGE_CONNECTIONS": 10000}
ROUTERS = ("router-1", "router-2")


@pytest.fixture(scope="module")
def edge():
    made = Edge(**SETTINGS)
    yield made
    made.stop()


@pytest.fixture
def own_edge():
    made = []

    def make(**settings):
        made.append(Edge(**{**SETTINGS, **settings}))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def suite(edge):
    return edge.suite


@pytest.fixture
def owner(suite):
    """A wallet with an asset of its own."""
    return new_owner(suite)


def new_owner(suite, **more):
    wallet = Wallet()
    wallet.asset = b58encode(os.urandom(32))
    params = {"asset": wallet.asset, "owner": wallet.address, "collection": suite.collection, "name": "an agent", "wait": "confirmed", **more}
    suite.rpc("devchain_mint", params)
    return wallet


@pytest.fixture(autouse=True)
def no_process_is_gone(request):
    if "edge" not in request.fixturenames and "suite" not in request.fixturenames:
        yield
        return
    suite = request.getfixturevalue("edge").suite
    pids = {path.name: path.read_text() for path in (suite.state / "run").glob("*.pid")}
    yield
    assert pids == {path.name: path.read_text() for path in (suite.state / "run").glob("*.pid")}


def refusal(answer):
    assert answer.token is None and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == answer.status and answer.json["request_id"]
    return answer.status, answer.code


def post_verify(suite, body):
    return suite.http("POST", "/v1/auth/verify", body)


def body_for(wallet, issued, **more):
    return {"nonce": issued["nonce"], "wallet": wallet.address, "signature": b58encode(wallet.sign(issued["message"].encode())), **more}


# ---- the nonce


def test_of_a_hundred_verifies_of_one_nonce_through_nginx_one_succeeds(suite, owner):
    for _ in range(4):
        body = body_for(owner, suite.challenge(owner, owner.asset).json)
        before = suite.redis().zcard(f"mc:sessions:{owner.asset}")
        together, outcomes = threading.Barrier(100), []

        def one():
            together.wait()
            answer = suite.http("POST", "/v1/auth/verify", body, timeout=30)
            outcomes.append((answer.status, answer.json.get("code"), bool(answer.token)))

        threads = [threading.Thread(target=one) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 100
        assert outcomes.count((200, None, True)) == 1 and outcomes.count((401, "nonce_unknown", False)) == 99, set(outcomes)
        assert suite.redis().zcard(f"mc:sessions:{owner.asset}") == before + 1


def test_a_nonce_is_good_once_in_its_time_and_for_its_wallet(suite, owner):
    thief = Wallet()
    issued = suite.challenge(owner, owner.asset).json
    assert suite.verify(owner, issued).status == 200
    assert refusal(suite.verify(owner, issued)) == (401, "nonce_unknown")
    # another wallet: with its own key, and in the owner's name; either burns it
    for body in (lambda i: body_for(thief, i), lambda i: {**body_for(thief, i), "wallet": owner.address},
                 lambda i: {**body_for(owner, i), "wallet": thief.address}):
        issued = suite.challenge(owner, owner.asset).json
        assert refusal(post_verify(suite, body(issued)))[0] == 401
        assert refusal(suite.verify(owner, issued)) == (401, "nonce_unknown")
    # two challenges, crossed over
    a, b = suite.challenge(owner, owner.asset).json, suite.challenge(owner, owner.asset).json
    assert refusal(post_verify(suite, {**body_for(owner, a), "nonce": b["nonce"]})) == (401, "signature_invalid")
    issued = suite.challenge(owner, owner.asset).json
    redis = suite.redis()
    assert 290000 < redis.pttl(f"mc:nonce:{issued['nonce']}") <= 300000
    redis.pexpire(f"mc:nonce:{issued['nonce']}", 1)
    wait_until("it expired", lambda: not redis.exists(f"mc:nonce:{issued['nonce']}"), 2)
    assert refusal(suite.verify(owner, issued)) == (401, "nonce_unknown")
    issued = suite.challenge(owner, owner.asset).json
    for other in (issued["nonce"].upper(), issued["nonce"] + "0", issued["nonce"][:-1], " " + issued["nonce"], issued["nonce"] + "\n"):
        if other != issued["nonce"]:
            assert refusal(post_verify(suite, {**body_for(owner, issued), "nonce": other}))[0] in (400, 401)
    assert suite.verify(owner, issued).status == 200


# ---- the text


def changes(text):
    """The text with each line changed in every way that a reader could overlook."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        for other in {line.upper(), line.lower(), line + " ", " " + line, line + "\r", line[:-1], line + line, line.replace("o", "\u043e", 1),
                      line.replace("0", "O", 1), line.replace("1", "2", 1), line.replace(": ", ":", 1), line + "\0", "\ufeff" + line} - {line}:
            yield "\n".join(lines[:i] + [other] + lines[i + 1 :])
        yield "\n".join(lines[:i] + lines[i + 1 :])
        yield "\n".join(lines[:i] + [line, line] + lines[i + 1 :])
    for more in ("\n", "\nResources:\n- https://evil.example", "\nRequest ID: 1", "\nNot Before: 2020-01-01T00:00:00Z"):
        yield text + more
    yield ""
    yield text.replace("\n", "\r\n")


def test_every_line_of_the_text_counts_to_the_byte(suite, owner):
    issued = suite.challenge(owner, owner.asset).json
    fields = dict(line.split(": ", 1) for line in issued["message"].split("\n") if ": " in line)
    assert {"URI", "Version", "Chain ID", "Nonce", "Issued At", "Expiration Time"} <= set(fields)
    tried = 0
    for n, text in enumerate(changes(issued["message"])):
        assert text != issued["message"]
        issued_again = suite.challenge(owner, owner.asset).json
        # the change is made to this challenge's own text
        text = list(changes(issued_again["message"]))
        if n >= len(text):
            break
        signed = text[n].encode()
        body = {"nonce": issued_again["nonce"], "wallet": owner.address, "signature": b58encode(owner.sign(signed))}
        if n % 2:
            body["signed_message"] = base64.b64encode(signed).decode()
        status, code = refusal(post_verify(suite, body))
        assert status == 401 and code in ("signature_invalid", "message_mismatch"), (n, text[n])
        tried += 1
    assert tried > 120


# ---- signatures and keys

ORDER = 2**252 + 27742317777372353535851937790883648493
# every point of small order, also in the encodings that are not canonical
SMALL = [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"\xed" + b"\xff" * 30 + b"\x7f", b"\xee" + b"\xff" * 30 + b"\x7f",
         bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
         bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
         bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
         bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
         bytes(31) + b"\x80", b"\1" + bytes(30) + b"\x80", b"\xff" * 32]


@pytest.mark.parametrize("key", SMALL, ids=lambda key: key.hex()[:8] + key.hex()[-2:])
def test_keys_of_small_order_sign_for_nobody(suite, key):
    address = b58encode(key)
    for signature in (bytes(64), b"\1" + bytes(63), key + bytes(32), key + b"\1" + bytes(31), b"\1" + bytes(31) + ORDER.to_bytes(32, "little")):
        issued = suite.challenge(address)
        if issued.status != 200:
            assert refusal(issued) == (400, "wallet_invalid")
            issued = {"nonce": "0" * 32}
        else:
            issued = issued.json
        status, code = refusal(post_verify(suite, {"nonce": issued["nonce"], "wallet": address, "signature": b58encode(signature)}))
        assert (status, code) in ((401, "signature_invalid"), (401, "nonce_unknown"), (400, "wallet_invalid"), (400, "body_invalid"))


def test_signatures_are_good_in_one_form_only(suite, owner):
    def tried(change):
        issued = suite.challenge(owner, owner.asset).json
        good = owner.sign(issued["message"].encode())
        return refusal(post_verify(suite, {**body_for(owner, issued), "signature": b58encode(change(good))}))

    s = lambda good: int.from_bytes(good[32:], "little")
    for change in (
        lambda g: g[:32] + (s(g) + ORDER).to_bytes(32, "little"),
        lambda g: g[:32] + ((ORDER - s(g)) % ORDER).to_bytes(32, "little"),
        lambda g: g[:31] + bytes([g[31] ^ 0x80]) + g[32:],
        lambda g: g[32:] + g[:32],
        lambda g: bytes(64),
        lambda g: b"\xff" * 64,
        lambda g: g[:63] + bytes([g[63] | 0xE0]),
    ):
        assert tried(change) == (401, "signature_invalid")
    for i in range(0, 512, 37):
        assert tried(lambda g: bytes(b ^ (1 << i % 8) if n == i // 8 else b for n, b in enumerate(g))) == (401, "signature_invalid")


# ---- tokens


def keys_of(suite):
    lines = (line.split() for line in (suite.state / "keys/jwt.keys").read_text().splitlines())
    return {w[0]: base64.b64decode(w[3]) for w in lines if len(w) == 4 and not w[0].startswith("#")}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def forge(suite, claims, header=None, digest=hashlib.sha256):
    """Well signed with the key that session signs with."""
    kid, key = next(iter(keys_of(suite).items()))
    signed = f"{b64(compact(header or {'alg': 'HS256', 'typ': 'JWT', 'kid': kid}))}.{b64(compact(claims))}"
    return f"{signed}.{b64(hmac.new(key, signed.encode(), digest).digest())}"


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def both_doors(edge, token, agent, inside=None):
    """(what the API says, what the decision says): the codes. inside: what is shown to the decision, the same by default."""
    api = edge.suite.http("GET", "/v1/session", token=token)
    decided = edge.suite.agent(inside or token, agent)
    return (api.status, api.json.get("code")), decided.status


def the_same_change(claims, bad, inside):
    """inside with what was done to claims; an agent's audience is wrong at the API, the console's at the decision."""
    changed = {k: v for k, v in inside.items() if k in bad or k not in claims}
    changed |= {k: v for k, v in bad.items() if v != claims.get(k)}
    return changed if changed != inside else {**inside, "aud": "console"}


def test_tokens_that_say_the_wrong_thing_are_refused_at_both_doors(edge, suite):
    token, agent = edge.sign_in("alice")
    claims, now = claims_of(token), int(time.time())
    kid = next(iter(keys_of(suite)))
    inside = suite.entered(token)
    claims_in = claims_of(inside)
    assert forge(suite, claims) == token and both_doors(edge, token, agent, inside)[1] == 200 and both_doors(edge, token, agent)[1] == 401
    # bob's session, and bob's agent: what a forged subject would reach
    other = suite.asset_of("bob")
    sub = claims["sub"]
    invalid = {
        "lower case": {**claims, "sub": sub.lower()}, "upper case": {**claims, "sub": sub.upper()}, "swapped case": {**claims, "sub": sub.swapcase()},
        "a space": {**claims, "sub": sub + " "}, "a leading 1": {**claims, "sub": "1" + sub}, "a NUL": {**claims, "sub": sub + "\0"},
        "hex": {**claims, "sub": b58decode(sub).hex()}, "percent": {**claims, "sub": "%" + sub.encode().hex()[:2] + sub[1:]},
        "a list": {**claims, "sub": [sub]}, "bob's": {**claims, "sub": other}, "wide letters": {**claims, "sub": chr(ord(sub[0]) + 0xFEE0) + sub[1:]},
        "wallet in another case": {**claims, "wallet": claims["wallet"].swapcase()}, "jti in upper case": {**claims, "jti": claims["jti"].upper() + ""},
        "an agent's": {**claims, "aud": f"agent:{agent}"}, "two audiences": {**claims, "aud": ["console", f"agent:{agent}"]},
        "CONSOLE": {**claims, "aud": "CONSOLE"}, "another issuer": {**claims, "iss": suite.url + "/"}, "issuer in capitals": {**claims, "iss": suite.url.upper()},
        "no exp": {k: v for k, v in claims.items() if k != "exp"}, "exp for ever": {**claims, "exp": 2**53}, "nbf": {**claims, "nbf": now},
        "from the future": {**claims, "iat": now + 3600, "exp": now + 3600 + WEEK}, "another slot": {**claims, "slot": claims["slot"] + 1},
        "slot u64 max": {**claims, "slot": 2**64 - 1}, "a slot below": {**claims, "slot": 0},
    }
    for what, bad in invalid.items():
        if bad == claims:
            continue  # a jti of digits alone has no upper case
        bad_in = forge(suite, the_same_change(claims, bad, claims_in))
        assert both_doors(edge, forge(suite, bad), agent, bad_in) == ((401, "session_invalid"), 401), what
    headers = [{"alg": a, "typ": "JWT", "kid": kid} for a in ("none", "None", "HS512", "HS384", "RS256", "ES256", "EdDSA", "hs256", "")]
    headers += [{"alg": "HS256", "typ": "JWT"}, {"alg": "HS256", "typ": "JWT", "kid": kid + "x"}, {"alg": "HS256", "typ": "JWT", "kid": "../" + kid},
                {"alg": "HS256", "typ": "JWT", "kid": kid.swapcase() + "_"}, {"alg": "HS256", "typ": "JWT", "kid": kid, "crit": ["exp"]},
                {"alg": "HS256", "typ": "JWT", "kid": kid, "jku": "http://127.0.0.1/"}, {"typ": "JWT", "kid": kid, "alg": "HS256"}]
    for header in headers:
        assert both_doors(edge, forge(suite, claims, header), agent, forge(suite, claims_in, header)) == ((401, "session_invalid"), 401), header
    assert both_doors(edge, forge(suite, claims, digest=hashlib.sha512), agent, forge(suite, claims_in, digest=hashlib.sha512)) == ((401, "session_invalid"), 401)
    head, payload, mac = token.split(".")
    kid_key = next(iter(keys_of(suite).values()))
    unsigned = f"{b64(compact({'alg': 'none', 'typ': 'JWT', 'kid': kid}))}.{payload}"
    for bad in (f"{unsigned}.", f"{unsigned}.{b64(hmac.new(kid_key, unsigned.encode(), hashlib.sha256).digest())}", *(token[:n] for n in range(1, len(token), 23)),
                token + "A", f"{head}.{payload}.{mac}=", f"{head}..{mac}", "..", f"{head}.{payload}.{mac}.{mac}.{mac}", token.replace(".", "%2e"), token + "%00"):
        assert both_doors(edge, bad, agent) == ((401, "session_invalid"), 401), bad[-40:]
    # long over, and over this very second
    for iat in (now - WEEK - 1, now - WEEK, 1, now - 2 * WEEK):
        assert both_doors(edge, forge(suite, {**claims, "iat": iat, "exp": iat + WEEK}), agent) == ((401, "session_expired"), 401)
    # the same claims in another spelling would be another token; its MAC is right, its record is there
    escaped = compact(claims).replace(b'"sub":"' + sub[:1].encode(), b'"sub":"\\u00%02x' % ord(sub[0]))
    assert both_doors(edge, forge(suite, escaped), agent)[0][0] in (200, 401)
    assert both_doors(edge, token, agent, inside)[1] == 200


def test_a_cookie_of_four_thousand_and_of_a_million_bytes_costs_nothing(edge):
    for size, statuses in ((4097, {401}), (7900, {401}), (9000, {431}), (1_000_000, {431, 0})):
        began = time.monotonic()
        status, _, _ = edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}=a.b.{'c' * size}")
        assert status in statuses, (size, status)
        assert time.monotonic() - began < 1


# ---- the end of a session, on every way: rule 8's matrix, at both routers, with an allow in their tables


def decided(edge, token, agent, replica):
    """What this router says of a request to the agent with the session of its origin that belongs to this one of the console."""
    inside = edge.suite.entered(token)
    return edge.authz(nginx_headers(edge, host=f"{agent}.{edge.authority}", token=inside), replica)[0]


def end_by(edge, way, wallet, token):
    suite, asset = edge.suite, wallet.asset
    jti = claims_of(token)["jti"]
    if way == "logout":
        assert suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    elif way == "one of the list":
        other = suite.sign_in(wallet, asset)
        assert suite.http("DELETE", f"/v1/sessions/{jti}", token=other).status == 204
    elif way == "all of the list":
        other = suite.sign_in(wallet, asset)
        assert suite.http("DELETE", "/v1/sessions", token=other).status == 200
    elif way == "replaced":
        assert suite.sign_in(wallet, asset, token=token)
    elif way == "operator, one":
        suite.cli("revoke", "--asset", asset, "--session", jti)
    elif way == "operator, asset":
        suite.cli("revoke", "--asset", asset)
    elif way == "operator, everything":
        suite.cli("revoke", "--all")
    elif way == "ban":
        suite.cli("ban", wallet.address)
    elif way == "reset":
        suite.cli("asset", "reset", asset)
    elif way == "transfer":
        suite.transfer(asset, Wallet())
    elif way == "burn":
        suite.devchain("burn", "--asset", asset)
    elif way == "move out":
        suite.devchain("move", "--asset", asset, "--to", Wallet().address)
    elif way == "the buyer signs in":
        for node in "ab":
            suite.rpc("devchain_fault", {"node": node, "mute_push": True}, node=node)
        buyer = Wallet()
        suite.devchain("transfer", "--asset", asset, "--to", buyer.address, "--wait", "confirmed")
        assert suite.sign_in(buyer, asset)


WAYS = ["logout", "one of the list", "all of the list", "replaced", "operator, one", "operator, asset", "operator, everything", "ban", "reset", "transfer", "burn",
        "move out", "the buyer signs in"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_end_a_session_ends_it_at_every_router(edge, way):
    wallet = new_owner(edge.suite)
    answer = edge.suite.try_sign_in(wallet, wallet.asset)
    token, agent = answer.token, answer.json["agent_id"]
    for replica in ROUTERS * 3:
        assert decided(edge, token, agent, replica) == 200
    before = edge.suite.redis().xrevrange("mc:events", count=1)[0][0]
    end_by(edge, way, wallet, token)
    # a change on the chain has to be confirmed first
    for replica in ROUTERS:
        wait_until(f"out at {replica}", lambda: decided(edge, token, agent, replica) == 401, 3 if way in ("transfer", "burn", "move out") else 1)
    events = [e for _, e in edge.suite.redis().xrange("mc:events", f"({before}", "+")]
    assert any(e["a"] in (wallet.asset, "*") for e in events), events
    for _ in range(20):
        assert all(decided(edge, token, agent, replica) == 401 for replica in ROUTERS)
    assert edge.suite.session_status(token) == 401
    if way == "the buyer signs in":
        for node in "ab":
            edge.suite.rpc("devchain_ok", {"node": node}, node=node)
    if way == "operator, everything":
        (edge.alice, edge.agent), (edge.bob, edge.other) = edge.sign_in("alice"), edge.sign_in("bob")
        edge.enter()


def test_a_retired_key_ends_its_sessions_at_every_router(own_edge):
    edge = own_edge()
    suite = edge.suite
    keys, (kid,) = suite.state / "keys", keys_of(suite)
    for replica in ROUTERS * 2:
        assert decided(edge, edge.alice, edge.agent, replica) == 200
    suite.cli("keys", "rotate", keys)
    new_kid = next(k for k in keys_of(suite) if k != kid)

    def signs():
        fresh, _ = edge.sign_in("bob")
        return json.loads(base64.urlsafe_b64decode(fresh.split(".")[0] + "=="))["kid"] == new_kid and fresh

    line = next(l for l in (keys / "jwt.keys").read_text().splitlines() if l.startswith(new_kid))
    if int(line.split()[1]) > time.time():  # it begins later, for the replicas' sake; not in a test
        path = keys / "jwt.keys"
        path.write_text(path.read_text().replace(line, " ".join([new_kid, str(int(time.time())), *line.split()[2:]])))
    fresh = wait_until("the new key signs", signs, 15, 0.1)
    assert decided(edge, edge.alice, edge.agent, "router-1") == 200
    suite.cli("keys", "retire", keys, kid)
    for replica in ROUTERS:
        wait_until(f"out at {replica}", lambda: decided(edge, edge.alice, edge.agent, replica) == 401, 12)
        assert decided(edge, fresh, edge.other, replica) == 200


# ---- the bus and Redis at their worst


def test_a_router_paused_through_a_hundred_thousand_events_misses_none(own_edge):
    edge = own_edge()
    redis, token = edge.suite.redis(), edge.alice
    others = [new_owner(edge.suite) for _ in range(5)]
    sessions = [(w, edge.suite.try_sign_in(w, w.asset)) for w in others]
    for _, answer in sessions:
        for replica in ROUTERS * 2:
            assert decided(edge, answer.token, answer.json["agent_id"], replica) == 200
    history, pid, nobodys = redis.hget("mc:history", "id"), edge.suite.pid("router-1"), Wallet().address
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for wallet, answer in sessions:
            pipe = redis.pipeline(transaction=False)
            for _ in range(20000):
                pipe.xadd("mc:events", {"h": history, "a": nobodys, "k": "transfer"})
            pipe.execute()
            jti = claims_of(answer.token)["jti"]
            # what the ledger does for a logout, and no bell
            redis.delete(f"mc:session:{jti}")
            redis.xadd("mc:events", {"h": history, "a": wallet.asset, "k": "logout"})
        time.sleep(max(0, 3 - (time.monotonic() - began)))
    finally:
        os.kill(pid, signal.SIGCONT)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        for _, answer in sessions:
            assert decided(edge, answer.token, answer.json["agent_id"], "router-1") in (401, 403, 503)
    wait_until("it has caught up", lambda: decided(edge, token, edge.agent, "router-1") == 200, 20)
    for _, answer in sessions:
        assert decided(edge, answer.token, answer.json["agent_id"], "router-1") == 401


def test_a_router_that_starts_in_a_storm_of_revocations_allows_nobody_of_them(own_edge):
    edge = own_edge()
    suite, wallet = edge.suite, new_owner(edge.suite)
    stop, ended, wrong = threading.Event(), [], []
    agent = suite.try_sign_in(wallet, wallet.asset).json["agent_id"]

    def storm():
        while not stop.is_set():
            try:
                token = suite.sign_in(wallet, wallet.asset)
                suite.entered(token)
                if suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204:
                    ended.append((token, time.monotonic()))
            except (OSError, AssertionError):
                pass

    threads = [threading.Thread(target=storm) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(0.5)
            suite.kill("router-2")
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                # I2: two seconds after its end nobody allows it; one that has just started never did
                for token, at in ended[-3:] + ended[:1]:
                    try:
                        if decided(edge, token, agent, "router-2") == 200:
                            wrong.append((token, time.monotonic() - at))
                    except OSError:
                        pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(ended) > 20 and not wrong, (len(ended), wrong)


def test_a_redis_of_another_chain_lets_nobody_in(own_edge):
    edge = own_edge()
    suite, redis = edge.suite, edge.suite.redis()
    alice, asset = suite.wallet("alice"), suite.asset_of("alice", 1)
    assert suite.sign_in(alice, asset)
    genesis = redis.hget("mc:chain", "genesis")
    record = redis.hgetall(f"mc:owner:{asset}")
    # and its own oracles keep it fresh, so that its age says nothing
    redis.hset("mc:chain", mapping={"genesis": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "at": str(int(time.time() * 1000) + 3000)})
    wait_until("each replica has noticed", lambda: all(suite.try_sign_in(alice, asset).status == 503 for _ in range(8)), 3)
    for _ in range(10):
        redis.hset("mc:chain", "at", str(int(time.time() * 1000)))
        assert refusal(suite.try_sign_in(alice, asset)) == (503, "chain_unavailable")
    # nothing of our chain is written into it
    written = redis.hgetall(f"mc:owner:{asset}")
    suite.transfer(asset, suite.wallet("bob"))
    time.sleep(3)
    assert redis.hgetall(f"mc:owner:{asset}") == written and redis.hget("mc:chain", "genesis") != genesis
    assert record["owner"] == written["owner"]
    redis.hset("mc:chain", "genesis", genesis)
    bob = suite.wallet("bob")
    wait_until("sign-ins work again", lambda: suite.try_sign_in(bob, asset).status == 200, 10, 0.2)


# ---- nodes


def fault(suite, node, **faults):
    suite.rpc("devchain_fault", {"node": node, **faults})


def recover(suite):
    for node in "ab":
        suite.rpc("devchain_ok", {"node": node})


def signs_in(suite, wallet):
    answer = suite.try_sign_in(wallet, wallet.asset)
    assert answer.status == 200 or refusal(answer) == (503, "chain_unavailable"), answer.body
    return answer.token


def test_two_nodes_that_disagree_let_nobody_in_through_the_edge(suite, owner):
    thief = Wallet()
    token = suite.sign_in(owner, owner.asset)
    for liar in "ab":
        suite.rpc("devchain_lie", {"node": liar, "asset": owner.asset, "owner": thief.address})
        try:
            for _ in range(4):
                for who in (thief, owner):
                    answer = suite.try_sign_in(who, owner.asset)
                    assert refusal(answer) in ((503, "chain_unavailable"), (403, "not_owner")), answer.body
                    assert answer.status != 503 or answer.headers["Retry-After"]
        finally:
            recover(suite)
        wait_until("the owner is let in again", lambda: signs_in(suite, owner), 40, 0.1)
        assert refusal(suite.try_sign_in(thief, owner.asset)) == (403, "not_owner")
    # one node's word is enough to end a session
    assert suite.session_status(token) == 401


# each kind of fault is one for test_oracle.py; these are the kinds of answers that the edge gives then
FAULTS = {"HTML": {"html": True}, "429": {"refuse": True}, "slot u64 max": {"bad_slot": True}, "stands still": {"freeze": True},
          "10 minutes behind": {"skew_clock": 600}}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_nodes_refuse_sign_ins_and_end_no_session(suite, name):
    wallet = new_owner(suite)
    token = wait_until("a sign-in", lambda: signs_in(suite, wallet), 40, 0.1)
    try:
        for node in "ab":
            fault(suite, node, **FAULTS[name])
        # a node that stands still is right until the chain's clock says otherwise
        if name == "stands still":
            before = suite.redis().hget("mc:chain", "at")
            time.sleep(5)
            assert int(suite.redis().hget("mc:chain", "at")) - int(before) < 4000, "a node that stands still counts as a sweep"
        else:
            wait_until("refused", lambda: signs_in(suite, wallet) is None, 5)
            for _ in range(3):
                assert refusal(suite.try_sign_in(wallet, wallet.asset)) == (503, "chain_unavailable")
        assert suite.session_status(token) == 200
        assert int(suite.redis().hget("mc:chain", "slot")) < 10**7
    finally:
        recover(suite)
    wait_until("sign-ins work again", lambda: signs_in(suite, wallet), 40, 0.1)
    assert suite.session_status(token) == 200


# ---- too much


def rss(suite, name):
    status = pathlib.Path(f"/proc/{suite.pid(name)}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def api(suite, data, name="router-1", door="api", timeout=2.0):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(str(suite.state / f"run/{name}.{door}"))
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(s)


def test_floods_at_the_routers_own_sockets_are_bounded(edge):
    """What nginx would stop, sent past it."""
    suite = edge.suite
    before = {name: rss(suite, name) for name in ROUTERS}
    host = f"Host: {edge.authority}\r\n".encode()
    floods = {
        "one long header": b"GET /v1/session HTTP/1.1\r\n" + host + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
        "many headers": b"GET /v1/session HTTP/1.1\r\n" + host + b"".join(b"X-%d: a\r\n" % i for i in range(50000)) + b"\r\n",
        "a header without end": b"GET /v1/session HTTP/1.1\r\n" + host + b"X: " + b"a" * 4_000_000,
        "a request line without end": b"GET /" + b"a" * 4_000_000,
        "a large body": b"POST /v1/auth/challenge HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: 4000000\r\nConnection: close\r\n\r\n" + b" " * 4_000_000,
        "a body of 2^63 bytes": b"POST /v1/auth/challenge HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: 9223372036854775807\r\n\r\n" + b" " * 200_000,
        "chunks without end": b"POST /v1/auth/challenge HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"10000\r\n" + b" " * 65536 + b"\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n" * 1 + b"10000\r\n" + b" " * 65536,
        "a chunk of 2^64 bytes": b"POST /v1/auth/challenge HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + b" " * 100000,
        "nested JSON": b"POST /v1/auth/challenge HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n" + b"[" * 60000,
    }
    for door in ("api", "authz"):
        for what, data in floods.items():
            for name in ROUTERS:
                for _ in range(3):
                    status = parse(api(suite, data, name, door, timeout=0.5))[0]
                    assert status in (0, 400, 401, 403, 404, 413, 414, 431), (what, door, status)
    assert edge.as_alice()[0] == 200
    for name in ROUTERS:
        assert SANITIZED or rss(suite, name) - before[name] < 16 * 1024, name


def test_a_thousand_slow_clients_keep_nobody_out(edge):
    slow = []
    try:
        for i in range(1000):
            s = socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5)
            s.sendall((b"POST /v1/auth/challenge HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{" if i % 2 else b"GET / HT")
                      .replace(b"%s", edge.authority.encode()))
            slow.append(s)
        for _ in range(20):
            began = time.monotonic()
            assert edge.as_alice()[0] == 200 and time.monotonic() - began < 1
        assert edge.suite.sign_in(edge.suite.wallet("bob"), edge.suite.asset_of("bob"))
    finally:
        for s in slow:
            s.close()


def test_bodies_of_every_wrong_kind_at_every_door_are_refused(edge, suite, owner):
    token, _ = edge.sign_in("alice")
    good = {"/v1/auth/challenge": {"wallet": owner.address}, "/v1/auth/verify": {"nonce": "0" * 32, "wallet": owner.address, "signature": "1" * 64}, "/v1/auth/logout": {}}
    for path, body in good.items():
        text = json.dumps(body).encode()
        for bad in (text[:-1], b"\xef\xbb\xbf" + text, text.replace(b"{", b'{"\xff":1,', 1) if body else b'{"\xff":1}', text.decode().encode("utf-16"), text + b"\0", b"\0" + text,
                    b"[" + text + b"]", text[:-1] + b',}' if body else b"{,}", text[:-1] + (b"," if body else b"") + b'"more":{}}', b"'" + text + b"'", b"NaN",
                    text[:-1] + (b"," if body else b"") + b'"__proto__":{}}', b"\xc0\x80", b'"\xed\xa0\x80"'):
            answer = suite.http("POST", path, bad, token=token)
            assert refusal(answer) == (400, "body_invalid"), (path, bad[:60], answer.body)
        answer = suite.http("POST", path, b'{"x":"' + b"a" * 65536 + b'"}', token=token)
        assert refusal(answer) == (413, "body_too_large"), path
        chunked = (f"POST {path} HTTP/1.1\r\nHost: {edge.authority}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
                   + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 3 + b"0\r\n\r\n")
        assert parse(edge.raw(chunked, timeout=2))[0] == 413, path
    assert suite.session_status(token) == 200


# ---- limits through the edge (rule 12)


def test_limits_answer_429_and_outlive_the_daemon(own_edge):
    edge = own_edge(MULTICLAW_CHALLENGES_PER_MINUTE=5, MULTICLAW_ASSETS_PER_MINUTE_PER_ADDRESS=5, replicas=1)
    suite, wallet = edge.suite, Wallet()
    for _ in range(5):
        assert suite.challenge(wallet).status == 200
        assert suite.http("GET", f"/v1/assets?wallet={wallet.address}").status == 200
    asked = (lambda: suite.challenge(wallet), lambda: suite.http("GET", f"/v1/assets?wallet={wallet.address}"))
    for ask in asked:
        answer = ask()
        assert refusal(answer) == (429, "rate_limited") and 1 <= int(answer.headers["Retry-After"]) <= 12
    pid = suite.kill("auth-1")
    wait_until("auth is back", lambda: suite.pid("auth-1") != pid and suite.challenge(Wallet()).status == 200, 10, 0.05)
    for ask in asked:
        assert ask().status == 429
    # nobody else pays for it
    assert suite.challenge(Wallet()).status == 200


def test_keys_rotate_under_load_and_nobody_is_signed_out(own_edge):
    edge = own_edge()
    suite, keys = edge.suite, edge.suite.state / "keys"
    stop, statuses = threading.Event(), []

    def asking():
        while not stop.is_set():
            statuses.append(suite.session_status(edge.alice))

    threads = [threading.Thread(target=asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            suite.cli("keys", "rotate", keys)
            time.sleep(1)
            for name in ("session-1", "session-2"):
                os.kill(suite.pid(name), signal.SIGHUP)
            time.sleep(1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 500 and set(statuses) == {200}, {s: statuses.count(s) for s in set(statuses)}


# ---- hostile names (rule 8), and what https adds

HOSTILE = "a\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\u200f\u061c\r\n<script>alert(1)</script>\x9b31m"


def test_a_name_from_the_chain_steers_no_terminal_and_no_log(suite):
    wallet = new_owner(suite, name=HOSTILE)
    keypair = wallet.write(suite.state / "hostile.json")
    second = b58encode(os.urandom(32))
    suite.rpc("devchain_mint", {"asset": second, "owner": wallet.address, "collection": suite.collection, "name": HOSTILE[::-1], "wait": "confirmed"})
    wait_until("the index has both", lambda: len(suite.http("GET", f"/v1/assets?wallet={wallet.address}").json["assets"]) == 2, 15, 0.2)
    shown = [suite.cli("login", "--keypair", keypair, session="hostile", check=False)]
    shown.append(suite.cli("login", "--keypair", keypair, "--asset", wallet.asset, session="hostile"))
    for command in (("whoami",), ("--json", "whoami"), ("sessions",), ("--json", "sessions")):
        shown.append(suite.cli(*command, session="hostile"))
    assert any("script" in done.stdout for done in shown)
    for done in shown:
        assert steering(done.stdout.encode() + done.stderr.encode()) is None, done.args
    for path in (suite.state / "log").iterdir():
        assert steering(path.read_bytes()) is None, path
    # as data it is what the chain says, cut to 64 bytes, and JSON escapes it
    answer = suite.http("GET", "/v1/session", token=json.loads((suite.state / "hostile").read_text())["token"])
    assert "\x1b" not in answer.body.decode() and answer.json["name"].startswith("a")


def test_an_agents_page_steers_no_terminal(edge):
    """`multiclaw curl` shows what an agent answers, which is written by others."""
    suite = edge.suite
    keypair = suite.state / "chain/wallets/alice.json"
    suite.cli("login", "--keypair", keypair, "--asset", suite.asset_of("alice"), session="page")
    page = "/text?t=" + urllib.parse.quote(HOSTILE + "\nnext line")
    raw = suite.cli("curl", f"http://{edge.host}{page}", session="page").stdout
    main, terminal = pty.openpty()
    command = [BIN / "multiclaw", "--session", suite.state / "page", "curl", f"http://{edge.host}{page}"]
    process = subprocess.Popen(command, env=suite.env, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:
        pass  # how a terminal ends
    assert process.wait(10) == 0
    os.close(main)
    shown = shown.replace(b"\r\n", b"\n")
    assert b"<script>" in shown and b"next line" in shown and steering(shown) is None, shown
    assert "\x1b[2J" in raw and "\u202e" in raw


def steering(data):
    """The first control or bidirectional character, if there is one."""
    return re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", data.decode(errors="replace"))


def test_over_https_the_browser_is_told_to_stay_there(edge):
    suite = edge.suite
    env = {**suite.env, "MULTICLAW_PUBLIC_URL": "https://claw.example", "MULTICLAW_AGENTS_DOMAIN": "agents.example", "LISTEN": "127.0.0.1:1", "API_SERVERS": "unix:a",
           "AUTHZ_SERVERS": "unix:b"}
    conf = subprocess.run([ROOT / "deploy/nginx/render"], env=env, capture_output=True, text=True, check=True).stdout
    ages = [int(age) for age in re.findall(r"Strict-Transport-Security \"?max-age=(\d+)", conf)]
    assert ages and min(ages) >= 31536000
    env |= {"MULTICLAW_REPLICA": "router-https", **suite.user_of("router")}
    with open(suite.state / "log/router-https.log", "wb") as log:
        process = subprocess.Popen([BIN / "multiclaw-router", "-c", "conf/suite.conf"], env=env, cwd=suite.state, stderr=log)
    try:
        path = suite.state / "run/router-https.api"
        wait_until("it listens", path.exists, 10)
        status, headers, _ = parse(api(suite, b"GET /v1/session HTTP/1.1\r\nHost: claw.example\r\nConnection: close\r\n\r\n", "router-https"))
        assert status >= 400 and int(headers.get("Strict-Transport-Security").split("=")[1]) >= 31536000
    finally:
        process.terminate()
        process.wait(10)


def test_the_new_sessions_cookie_is_this_to_the_byte(suite, owner):
    answer = suite.try_sign_in(owner, owner.asset)
    assert answer.headers.get_all("Set-Cookie") == [f"{COOKIE}={answer.token}; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict"]
    assert answer.token not in answer.body.decode() and answer.headers["Cache-Control"] == "no-store"
    claims = claims_of(answer.token)
    assert claims["exp"] - claims["iat"] == WEEK and re.fullmatch("[0-9a-f]{32}", claims["jti"])
    nonces = {suite.challenge(owner).json["nonce"] for _ in range(50)}
    assert len(nonces) == 50 and all(re.fullmatch("[0-9a-f]{32}", nonce) for nonce in nonces)
