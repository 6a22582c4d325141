"""The product's main job, as an owner, a buyer and a stranger live it."""

import base64
import http.client
import json
import re
import signal
import socket
import threading
import time

import pytest

from suite import Wallet, wait_until


def test_an_owner_signs_in_and_has_a_seven_day_session(shared):
    alice, asset = shared.wallet("alice"), shared.asset_of("alice")
    issued = shared.challenge(alice, asset)
    assert issued.status == 200
    answer = shared.verify(alice, issued.json)
    assert answer.status == 200
    assert answer.json["asset"] == asset and answer.json["wallet"] == alice.address
    cookie = answer.headers["Set-Cookie"]
    assert cookie == f"__Host-multiclaw={answer.token}; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict"
    claims = json.loads(base64.urlsafe_b64decode(answer.token.split(".")[1] + "=="))
    assert claims["exp"] == claims["iat"] + 604800 and claims["sub"] == asset and claims["wallet"] == alice.address
    session = shared.http("GET", "/v1/session", token=answer.token)
    assert session.status == 200 and session.json["asset"] == asset and session.json["jti"] == claims["jti"]
    assert session.headers["Cache-Control"] == "no-store"


def test_the_text_names_the_site_the_asset_and_where_the_request_came_from(shared):
    alice, asset = shared.wallet("alice"), shared.asset_of("alice")
    issued = shared.challenge(alice, asset).json
    lines = issued["message"].split("\n")
    assert lines[0] == f"{shared.authority} wants you to sign in with your Solana account:"
    assert lines[1] == alice.address
    assert asset in lines[3] and "127.0.0.1" in lines[3]
    assert issued["input"]["domain"] == shared.authority and issued["input"]["chainId"] == "localnet"


def test_the_owner_is_allowed_to_the_own_agent_and_to_no_other(shared):
    alice, bob = shared.wallet("alice"), shared.wallet("bob")
    answer = shared.try_sign_in(alice, shared.asset_of("alice"))
    other = shared.try_sign_in(bob, shared.asset_of("bob")).json["agent_id"]
    own = answer.json["agent_id"]
    # without a container the own agent is "starting": allowed by the decision, nothing behind it yet
    inside = shared.enter(answer.token)
    assert shared.agent(inside, own).status == 503
    assert shared.agent(inside, other).status == 403
    assert shared.agent(answer.token, own).status == 401
    assert shared.agent(None, own).status == 401
    assert shared.agent(None, "a" * 32).status == 401


def test_a_wallet_that_is_not_the_owner_is_refused(shared):
    refused = shared.try_sign_in(shared.wallet("bob"), shared.asset_of("alice"))
    assert (refused.status, refused.code) == (403, "not_owner")
    stranger = shared.try_sign_in(Wallet(), shared.asset_of("alice"))
    assert (stranger.status, stranger.code) == (403, "not_owner")
    nobody = shared.try_sign_in(Wallet())
    assert (nobody.status, nobody.code) == (403, "not_owner")


def test_a_wallet_with_several_agents_must_name_one(shared):
    alice = shared.wallet("alice")
    answer = shared.try_sign_in(alice)
    assert (answer.status, answer.code) == (409, "asset_required")
    owned = {a["asset"] for a in shared.assets if a["owner"] == alice.address}
    assert {a["asset"] for a in answer.json["assets"]} == owned
    listed = shared.http("GET", f"/v1/assets?wallet={alice.address}")
    assert listed.status == 200 and {a["asset"] for a in listed.json["assets"]} == owned


def test_a_wallet_with_one_agent_needs_to_name_none(shared):
    bob = shared.wallet("bob")
    answer = shared.try_sign_in(bob)
    assert answer.status == 200 and answer.json["asset"] == shared.asset_of("bob")


def test_signing_in_again_replaces_the_presented_session(shared):
    alice, asset = shared.wallet("alice"), shared.asset_of("alice")
    first = shared.sign_in(alice, asset)
    second = shared.sign_in(alice, asset, token=first)
    assert shared.session_status(second) == 200
    gone = shared.http("GET", "/v1/session", token=first)
    assert (gone.status, gone.code) == (401, "session_revoked")


def test_sessions_are_listed_and_ended_one_by_one_and_all_at_once(shared):
    alice, asset = shared.wallet("alice"), shared.asset_of("alice", 1)
    a, b, c = (shared.sign_in(alice, asset) for _ in range(3))
    listed = shared.http("GET", "/v1/sessions", token=a).json["sessions"]
    assert [s["current"] for s in listed].count(True) == 1
    jti_b = shared.http("GET", "/v1/session", token=b).json["jti"]
    assert jti_b in {s["jti"] for s in listed}
    assert shared.http("DELETE", f"/v1/sessions/{jti_b}", token=a).status == 204
    assert [shared.session_status(t) for t in (a, b, c)] == [200, 401, 200]
    answer = shared.http("DELETE", "/v1/sessions", token=a)
    assert (answer.status, answer.json["done"]) == (200, True) and answer.cookie("__Host-multiclaw") == ""
    assert {r["state"] for r in answer.json["replicas"]} == {"done"} and answer.json["slot"] > 0
    assert [shared.session_status(t) for t in (a, c)] == [401, 401]


def test_ending_all_says_who_is_silent_and_what_that_means(shared):
    """A vault may hold something: 202. An auth that is silent has no lease, and allows nothing: 200."""
    alice, asset = shared.wallet("alice"), shared.asset_of("alice", 1)
    for name, status in (("secret-vault-1", 202), ("auth-1", 200)):
        token = shared.sign_in(alice, asset)
        shared.kill(name, signal.SIGSTOP)
        try:
            answer = shared.http("DELETE", "/v1/sessions", token=token, timeout=15)
            assert (answer.status, answer.json["done"]) == (status, status == 200) and answer.cookie("__Host-multiclaw") == ""
            states = {r["replica"]: r["state"] for r in answer.json["replicas"]}
            assert states.pop(name) == "silent" and set(states.values()) == {"done"}
            assert shared.session_status(token) == 401
        finally:
            shared.kill(name, signal.SIGCONT)
        shared.wait_ready()
    shared.cli("login", "--keypair", shared.state / "chain/wallets/alice.json", "--asset", asset)
    shared.kill("secret-vault-1", signal.SIGSTOP)
    try:
        told = shared.cli("sessions", "end", "all", check=False)
        assert told.returncode == 4 and "Not everybody has enforced it yet." in told.stdout
        assert re.search(r"secret-vault-1 +silent", told.stdout) and re.search(r"router-1 +done +after \d+ ms", told.stdout)
    finally:
        shared.kill("secret-vault-1", signal.SIGCONT)
    shared.wait_ready()


@pytest.mark.parametrize("named", ["asset", "session", "wallet"])
def test_an_operator_waits_until_everybody_has_enforced_it(shared, named):
    alice, asset = shared.wallet("alice"), shared.asset_of("alice", 1)
    token = shared.sign_in(alice, asset)
    jti = shared.http("GET", "/v1/session", token=token).json["jti"]
    what = {"asset": asset, "session": jti, "wallet": alice.address}[named]
    receipt = json.loads(shared.cli("--json", "revoke", "--wait", what).stdout)
    assert receipt["done"] and not receipt["lost"] and receipt["event"] and receipt["slot"] > 0
    assert {"router-1", "auth-1", "session-1", "chain-oracle-1", "secret-vault-1", "agent-wallet-1"} <= {r["replica"] for r in receipt["replicas"]}
    assert all(r["state"] == "done" and r["ms"] < 5000 for r in receipt["replicas"])
    assert shared.session_status(token) == 401
    token = shared.sign_in(alice, asset)
    told = shared.cli("revoke", "--wait", asset).stdout
    assert re.search(r"router-1 +router +enforced after \d+ ms", told) and "Everybody who lives has enforced it." in told
    assert shared.cli("unlist", "nobody-1", check=False).returncode == 1


def test_logout_ends_the_session_and_clears_the_cookie(shared):
    token = shared.sign_in(shared.wallet("bob"), shared.asset_of("bob"))
    answer = shared.http("POST", "/v1/auth/logout", {}, token=token)
    assert answer.status == 204 and "Max-Age=0" in answer.headers["Set-Cookie"]
    assert shared.session_status(token) == 401


def stream(suite, token):
    """Server-sent events of a session: a list that fills, and a function that says whether the server closed it."""
    raw = socket.create_connection(("127.0.0.1", suite.port))
    raw.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {suite.authority}\r\nCookie: __Host-multiclaw={token}\r\nConnection: close\r\n\r\n".encode())
    got, closed = [], threading.Event()

    def read():
        with raw:
            data = b""
            while chunk := raw.recv(4096):
                data += chunk
                got[:] = [line for line in data.decode(errors="replace").replace("\r", "").split("\n") if line.startswith(("event:", "data:"))]
        closed.set()

    threading.Thread(target=read, daemon=True).start()
    return got, closed


def test_the_moment_the_nft_is_transferred_the_seller_is_out_and_the_buyer_can_come_in(own):
    suite = own()
    alice, bob, asset = suite.wallet("alice"), suite.wallet("bob"), suite.asset_of("alice")
    answer = suite.try_sign_in(alice, asset)
    seller, agent = answer.token, answer.json["agent_id"]
    events, closed = stream(suite, seller)
    inside = suite.enter(seller)
    assert suite.agent(inside, agent).status == 503
    suite.transfer(asset, bob)
    # the chain confirms within a few 50 ms slots; from there on it is ours
    wait_until("the seller is out", lambda: suite.session_status(seller) == 401, 2)
    # session knows it at once, router when it has heard of it (I2)
    wait_until("of the agent, too", lambda: suite.agent(inside, agent).status == 401, 2)
    wait_until("the seller's stream is closed", closed.is_set, 2)
    assert any("session_ended" in e for e in events), events
    buyer = suite.sign_in(bob, asset)
    assert suite.session_status(buyer) == 200 and suite.agent(suite.enter(buyer), agent).status == 503
    # sold back: the old session stays dead
    suite.transfer(asset, alice)
    wait_until("the buyer is out", lambda: suite.session_status(buyer) == 401, 2)
    again = suite.sign_in(alice, asset)
    assert suite.session_status(again) == 200 and suite.session_status(seller) == 401


def test_burned_and_moved_assets_end_sessions_and_open_none(own):
    suite = own()
    alice = suite.wallet("alice")
    burned, moved = suite.asset_of("alice", 0), suite.asset_of("alice", 1)
    tokens = [suite.sign_in(alice, burned), suite.sign_in(alice, moved)]
    suite.devchain("burn", "--asset", burned)
    wait_until("burned: out", lambda: suite.session_status(tokens[0]) == 401, 3)
    suite.devchain("move", "--asset", moved, "--to", Wallet().address)
    wait_until("moved: out", lambda: suite.session_status(tokens[1]) == 401, 3)
    for asset in (burned, moved):
        refused = suite.try_sign_in(alice, asset)
        assert (refused.status, refused.code) == (403, "asset_refused")


def test_the_buyers_sign_in_throws_the_seller_out_while_push_is_mute(own):
    suite = own(MULTICLAW_SWEEP_S=60)
    alice, bob, asset = suite.wallet("alice"), suite.wallet("bob"), suite.asset_of("alice")
    seller = suite.sign_in(alice, asset)
    for node in "ab":
        suite.rpc("devchain_fault", {"mute_push": True}, node=node)
    suite.devchain("transfer", "--asset", asset, "--to", bob.address, "--wait", "confirmed")
    assert suite.session_status(seller) == 200  # nobody told us, and the sweep is far away
    buyer = suite.sign_in(bob, asset)
    wait_until("the seller is out at once", lambda: suite.session_status(seller) == 401, 0.5)
    assert suite.session_status(buyer) == 200


def test_the_sweep_finds_what_push_dropped(own):
    suite = own(MULTICLAW_SWEEP_S=2)
    alice, bob, asset = suite.wallet("alice"), suite.wallet("bob"), suite.asset_of("alice")
    seller = suite.sign_in(alice, asset)
    for node in "ab":
        suite.rpc("devchain_fault", {"mute_push": True}, node=node)
    suite.transfer(asset, bob)
    wait_until("swept", lambda: suite.session_status(seller) == 401, 5)


def test_no_token_appears_in_any_log(shared):
    token = shared.sign_in(shared.wallet("alice"), shared.asset_of("alice"))
    shared.session_status(token)
    time.sleep(0.2)
    secret_part = token.split(".")[2]
    for path in (shared.state / "log").iterdir():
        assert secret_part not in path.read_text(errors="replace"), path


# ---- the command line


def test_the_command_line_walks_the_whole_way(own):
    suite = own()
    keypair = suite.state / "chain/wallets/alice.json"
    asset = suite.asset_of("alice")
    several = suite.cli("login", "--keypair", keypair, check=False)
    assert several.returncode == 1 and asset in several.stdout
    assert suite.cli("whoami", check=False).returncode == 3
    signed_in = suite.cli("login", "--keypair", keypair, "--asset", asset)
    assert asset in signed_in.stdout
    assert (suite.state / "session.json").stat().st_mode & 0o777 == 0o600
    me = json.loads(suite.cli("--json", "whoami").stdout)
    assert me["asset"] == asset
    assert me["jti"] in suite.cli("sessions").stdout
    assert json.loads(suite.cli("curl", "/v1/session").stdout)["jti"] == me["jti"]
    status = suite.status()
    assert {s["service"] for s in status} == {"router", "auth", "session", "chain-oracle", "secret-vault", "agent-wallet"} and all(s["ready"] for s in status)
    suite.cli("login", "--keypair", keypair, "--asset", asset, session="second.json")
    suite.cli("logout", session="second.json")
    assert suite.cli("whoami", session="second.json", check=False).returncode == 3
    suite.cli("revoke", "--asset", asset)
    assert suite.cli("whoami", check=False).returncode == 3


@pytest.mark.parametrize("words", [["--help"], ["help", "login"], ["login", "--help"]])
def test_help_is_at_hand(shared, words):
    assert "multiclaw" in shared.cli(*words).stdout


def test_wrong_words_are_told(shared):
    for words in (["nonsense"], ["login"], ["whoami", "x"], ["revoke"], ["keys", "x"]):
        done = shared.cli(*words, check=False)
        assert done.returncode == 2 and "multiclaw: " in done.stderr, words


def test_the_command_line_signs_nothing_but_a_sign_in_to_the_site_it_was_told(shared, tmp_path):
    """A server that passes on another site's challenge gets no signature."""
    seen = []

    class Fake(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]

        def run(self):
            while True:
                client, _ = self.listener.accept()
                with client:
                    data = client.recv(65536)
                    seen.append(data.split(b"\r\n")[0])
                    issued = shared.challenge(shared.wallet("alice"), shared.asset_of("alice")).body
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(issued) + issued)

    fake = Fake()
    fake.start()
    done = shared.cli("--url", f"http://127.0.0.1:{fake.port}", "login", "--keypair", shared.state / "chain/wallets/alice.json", check=False)
    assert done.returncode == 1 and "not signed" in done.stderr
    assert all(b"verify" not in line for line in seen)
