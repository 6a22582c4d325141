"""From the console to the agent's own origin: opening, ticket, session of the agent. The test is router, and whoever stands in between."""

import base64
import hashlib
import json
import os
import time

import pytest

from parts import Parts, Refused
from suite import Wallet, b58decode, wait_until
from test_auth import claims_of, forge, key_line, read_keys, refused, write_keys

UNKNOWN = ("unauthenticated", "ticket_unknown")
REVOKED = ("unauthenticated", "session_revoked")
INVALID = ("unauthenticated", "session_invalid")


@pytest.fixture(scope="module")
def parts():
    made = Parts(MULTICLAW_OPENINGS_PER_MINUTE=1000000)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def own():
    made = []

    def make(**settings):
        made.append(Parts(**settings))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


def agent_of(asset):
    digest = hashlib.blake2b(b"multiclaw sandbox id v1" + b58decode(asset), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()


class Browser:
    """One that has the agent's entry page open: its state cookie, hashed."""

    def __init__(self, parts, owner):
        self.parts, self.agent = parts, agent_of(owner.asset)
        self.state = hashlib.blake2b(os.urandom(32), digest_size=32).digest()

    def ticket(self, opening, agent=None, state=None):
        return self.parts.session.call("session.ticket", opening=opening, agent=agent or self.agent, state=state or self.state)["ticket"]

    def enter(self, ticket, agent=None, state=None, **more):
        return self.parts.session.call("session.enter", ticket=ticket, agent=agent or self.agent, state=state or self.state,
                                       ip="203.0.113.9", user_agent="a browser", **more)

    def go(self, token):
        """The whole way; the agent's token."""
        return self.enter(self.ticket(opening(self.parts, token)))["token"]


def opening(parts, token):
    return parts.session.call("session.opening", token=token)["opening"]


def new_owner(parts):
    wallet = Wallet()
    wallet.asset = parts.mint(wallet)
    wallet.token = wait_until("a sign-in", lambda: parts.lets_in(wallet, wallet.asset) and parts.sign_in(wallet, wallet.asset)["token"], 10, 0.05)
    return wallet


@pytest.fixture
def owner(parts):
    return new_owner(parts)


@pytest.fixture
def browser(parts, owner):
    return Browser(parts, owner)


def kept_under(secret):
    return f"mc:ticket:{hashlib.blake2b(secret, digest_size=32).hexdigest()}"


# ---- the way


def test_an_owner_gets_onto_the_agents_origin(parts, owner, browser):
    opened = parts.session.call("session.opening", token=owner.token)
    assert opened["asset"] == owner.asset and len(opened["opening"]) == 32
    assert 25000 < opened["expires_ms"] - time.time() * 1000 <= 30000
    assert 25000 < parts.redis.pttl(kept_under(opened["opening"])) <= 30000
    ticket = browser.ticket(opened["opening"])
    assert len(ticket) == 32 and ticket != opened["opening"]
    assert 25000 < parts.redis.pttl(kept_under(ticket)) <= 30000
    entered = browser.enter(ticket)
    console, agent = claims_of(owner.token), claims_of(entered["token"])
    assert agent == {**console, "aud": f"agent:{browser.agent}", "jti": entered["jti"], "iat": agent["iat"]}
    assert agent["jti"] != console["jti"] and console["iat"] <= agent["iat"] <= time.time() + 1
    assert (entered["asset"], entered["exp_ms"]) == (owner.asset, console["exp"] * 1000)
    good = parts.check(entered["token"])
    assert (good["asset"], good["wallet"], good["jti"], good["aud"]) == (owner.asset, owner.address, entered["jti"], agent["aud"])
    assert (good["slot"], good["exp_ms"], good["name"]) == (console["slot"], console["exp"] * 1000, "an agent")
    record = parts.redis.hgetall(f"mc:session:{entered['jti']}")
    assert (record[b"ip"], record[b"agent"], record[b"parent"]) == (b"203.0.113.9", b"a browser", console["jti"].encode())


def test_what_is_handed_out_is_in_no_key_value_or_log(parts, owner, browser):
    first = opening(parts, owner.token)

    def everything():
        keys = parts.redis.keys("mc:ticket:*")
        return b"".join(keys) + b"".join(parts.redis.mget(keys))
    assert first not in everything() and first.hex().encode() not in everything()
    ticket = browser.ticket(first)
    assert ticket not in everything() and ticket.hex().encode() not in everything()
    token = browser.enter(ticket)["token"]
    log = (parts.state / "log/session-1.log").read_text()
    for secret in (first.hex(), ticket.hex(), token.split(".")[2], base64.b64encode(first).decode(), base64.b64encode(ticket).decode()):
        assert secret not in log
    assert f"asset={owner.asset}" in log and "outcome=opened" in log


# ---- openings and tickets that are none


def test_an_opening_is_used_once(parts, owner, browser):
    first = opening(parts, owner.token)
    browser.ticket(first)
    assert refused(browser.ticket, first) == UNKNOWN


def test_a_ticket_is_used_once(parts, owner, browser):
    ticket = browser.ticket(opening(parts, owner.token))
    browser.enter(ticket)
    assert refused(browser.enter, ticket) == UNKNOWN


def test_a_planted_ticket_is_worth_nothing_in_the_victims_browser(parts, owner, browser):
    """Login CSRF: the attacker's own ticket, and even opening, in a browser that never asked."""
    attacker = new_owner(parts)
    planted = Browser(parts, attacker)
    ticket = planted.ticket(opening(parts, attacker.token))
    victim = Browser(parts, attacker)
    assert refused(victim.enter, ticket) == UNKNOWN
    assert refused(planted.enter, ticket) == UNKNOWN, "and the try burned it"
    assert refused(browser.ticket, opening(parts, attacker.token)) == UNKNOWN, "on the victim's own agent's origin"


def test_a_stolen_ticket_is_worth_nothing_in_another_browser(parts, owner, browser):
    ticket = browser.ticket(opening(parts, owner.token))
    assert refused(Browser(parts, owner).enter, ticket) == UNKNOWN
    ticket = browser.ticket(opening(parts, owner.token))
    almost = browser.state[:-1] + bytes([browser.state[-1] ^ 1])
    assert refused(browser.enter, ticket, state=almost) == UNKNOWN


def test_another_agents_origin_gets_nothing(parts, owner, browser):
    other = agent_of(new_owner(parts).asset)
    assert refused(browser.ticket, opening(parts, owner.token), agent=other) == UNKNOWN
    ticket = browser.ticket(opening(parts, owner.token))
    assert refused(browser.enter, ticket, agent=other) == UNKNOWN
    assert refused(browser.ticket, opening(parts, owner.token), agent=browser.agent.upper()) == UNKNOWN


@pytest.mark.parametrize("which", ["opening", "ticket"])
def test_what_expired_is_unknown(parts, owner, browser, which):
    first = opening(parts, owner.token)
    shown = first if which == "opening" else browser.ticket(first)
    assert parts.redis.pexpire(kept_under(shown), 1)
    time.sleep(0.01)
    assert refused(browser.ticket if which == "opening" else browser.enter, shown) == UNKNOWN


def test_what_was_never_issued_is_unknown(parts, owner, browser):
    assert refused(browser.ticket, os.urandom(32)) == UNKNOWN
    assert refused(browser.enter, os.urandom(32)) == UNKNOWN


def test_an_opening_is_no_ticket_and_a_ticket_no_opening(parts, owner, browser):
    assert refused(browser.enter, opening(parts, owner.token)) == UNKNOWN
    assert refused(browser.ticket, browser.ticket(opening(parts, owner.token))) == UNKNOWN


def test_what_is_stored_is_believed_only_as_it_was_written(parts, owner, browser):
    for change in (lambda v: v[:-1], lambda v: v + b"\x00", lambda v: b"x" + v, lambda v: b"", lambda v: v.split(b"\n", 1)[0] + b"\n"):
        first = opening(parts, owner.token)
        value = parts.redis.get(kept_under(first))
        parts.redis.set(kept_under(first), change(value), px=30000)
        with pytest.raises(Refused) as e:
            browser.ticket(first)
        assert e.value.status in ("unauthenticated", "unavailable")
    first = opening(parts, owner.token)
    parts.redis.set(kept_under(first), parts.redis.get(kept_under(first)), px=30000)
    browser.ticket(first)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_lengths_that_are_not_the_contracts_are_refused(parts, owner, browser, size):
    assert refused(browser.ticket, bytes(size))[0] == "invalid"
    assert refused(browser.enter, bytes(size))[0] == "invalid"
    assert refused(browser.ticket, bytes(32), state=bytes(size) or b"x")[0] == "invalid"
    assert refused(browser.enter, bytes(32), state=bytes(size) or b"x")[0] == "invalid"


def test_who_has_no_good_session_opens_nothing(parts, owner, browser):
    call = parts.session.call
    assert refused(call, "session.opening", token="x") == INVALID
    parts.session.call("session.end", token=owner.token)
    assert refused(call, "session.opening", token=owner.token) == REVOKED


def test_openings_of_an_asset_are_limited_and_of_nobody_else(own):
    parts = own(MULTICLAW_OPENINGS_PER_MINUTE=2)
    owner, other = new_owner(parts), new_owner(parts)
    for _ in range(2):
        opening(parts, owner.token)
    with pytest.raises(Refused) as e:
        opening(parts, owner.token)
    assert (e.value.status, e.value.reason) == ("busy", "rate_limited") and 0 < e.value.retry_after_s <= 30
    opening(parts, other.token)


# ---- between the steps


def log_out(parts, owner):
    parts.session.call("session.end", token=owner.token)


def end_all(parts, owner):
    other = parts.sign_in(owner, owner.asset)["token"]
    parts.session.call("session.end", token=other, all=True)


def revoke(parts, owner):
    parts.operator.call("session.revoke", asset=owner.asset)


def ban(parts, owner):
    parts.operator.call("session.ban", wallet=owner.address, banned=True)


def sell(parts, owner):
    parts.transfer(owner.asset, Wallet())
    wait_until("the oracle sees it", lambda: refused_or_none(parts, owner.token) == REVOKED, 10, 0.02)


def refused_or_none(parts, token):
    try:
        parts.check(token)
    except Refused as e:
        return e.status, e.reason
    return None


ENDS = [log_out, end_all, revoke, ban, sell]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_session_that_ended_between_the_steps_opens_nothing(parts, owner, browser, end):
    first, ticket = opening(parts, owner.token), browser.ticket(opening(parts, owner.token))
    end(parts, owner)
    assert refused(browser.enter, ticket) == REVOKED
    assert refused(browser.enter, browser.ticket(first)) == REVOKED
    assert not parts.redis.exists(f"mc:children:{claims_of(owner.token)['jti']}")


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_the_agents_session_ends_with_the_consoles(parts, owner, browser, end):
    token = browser.go(owner.token)
    assert parts.check(token)["aud"] == f"agent:{browser.agent}"
    end(parts, owner)
    assert refused_or_none(parts, token) == REVOKED


def test_a_restart_of_redis_between_the_steps_voids_what_was_handed_out(own):
    parts = own()
    owner = new_owner(parts)
    browser = Browser(parts, owner)
    token, first = browser.go(owner.token), opening(parts, owner.token)
    ticket = browser.ticket(opening(parts, owner.token))
    parts.processes["redis"].kill()
    parts.processes["redis"].wait()
    parts.launch_redis()
    parts.wait_for_sign_in()
    assert parts.redis.exists(kept_under(first), kept_under(ticket)) == 2, "they are there still"
    assert refused(browser.ticket, first) == UNKNOWN
    assert refused(browser.enter, ticket) == UNKNOWN
    assert parts.check(token)["jti"] and parts.check(owner.token)["jti"], "sessions outlive it"


# ---- what the agent's session may


def test_an_agents_token_opens_lists_and_ends_nothing_of_the_console(parts, owner, browser):
    token, call = browser.go(owner.token), parts.session.call
    sibling = browser.go(owner.token)
    console = claims_of(owner.token)["jti"]
    assert refused(call, "session.opening", token=token) == INVALID
    assert refused(call, "session.list", token=token) == INVALID
    assert refused(call, "session.end", token=token, all=True) == INVALID
    assert refused(call, "session.end", token=token, jti=console) == INVALID
    assert refused(call, "session.end", token=token, jti=claims_of(sibling)["jti"]) == INVALID
    assert parts.check(owner.token)["jti"] == console and parts.check(sibling)


def test_signing_out_at_the_agents_origin_ends_that_session_alone(parts, owner, browser):
    token, sibling = browser.go(owner.token), browser.go(owner.token)
    ended = parts.session.call("session.end", token=token)
    assert ended["event"] and refused_or_none(parts, token) == REVOKED
    assert parts.check(owner.token) and parts.check(sibling)


def test_the_console_lists_its_own_sessions_alone(parts, owner, browser):
    before = parts.session.call("session.list", token=owner.token)["sessions"]
    browser.go(owner.token)
    assert [s["jti"] for s in parts.session.call("session.list", token=owner.token)["sessions"]] == [s["jti"] for s in before]


def test_the_seventeenth_session_of_an_agents_origin_pushes_out_the_first(parts, owner, browser):
    tokens = [browser.go(owner.token) for _ in range(17)]
    assert refused_or_none(parts, tokens[0]) == REVOKED
    assert all(parts.check(token) for token in tokens[1:])


def test_an_agents_token_presented_at_sign_in_replaces_nothing(parts, owner, browser):
    token = browser.go(owner.token)
    parts.sign_in(owner, owner.asset, token=token)
    assert parts.check(token) and parts.check(owner.token)


def test_an_audience_that_is_not_the_subjects_is_invalid_though_well_signed(parts, owner, browser):
    token = browser.go(owner.token)
    claims, other = claims_of(token), agent_of(new_owner(parts).asset)
    assert parts.check(forge(parts, claims))["jti"] == claims["jti"], "the forgery is good but for what is changed"
    for aud in ("console", f"agent:{other}", "agent:", "agent", f"agent:{browser.agent} ", f"AGENT:{browser.agent}", ""):
        assert refused_or_none(parts, forge(parts, {**claims, "aud": aud})) == INVALID, aud
    console = claims_of(owner.token)
    assert refused_or_none(parts, forge(parts, {**console, "aud": claims["aud"]})) == INVALID, "differs from its record"
    assert refused_or_none(parts, forge(parts, {**claims, "exp": claims["exp"] + 1})) == INVALID
    assert refused_or_none(parts, forge(parts, {**claims, "iat": claims["exp"] + 1})) == INVALID


def test_who_retires_the_consoles_key_ends_the_agents_session_too(own):
    parts = own()
    owner = new_owner(parts)
    browser = Browser(parts, owner)
    (kid, key), = read_keys(parts).items()
    ticket = browser.ticket(opening(parts, owner.token))
    newer = key_line("newer", begins=int(time.time()) - 1)
    write_keys(parts, key_line(kid, key), newer)

    def newer_signs():
        token = parts.sign_in(owner, owner.asset)["token"]
        return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] == "newer"
    wait_until("the newer key signs", newer_signs, 10, 0.05)
    token = browser.enter(ticket)["token"]
    late = browser.ticket(opening(parts, owner.token))
    assert parts.check(token) and parts.check(owner.token)
    write_keys(parts, newer)
    wait_until("it is retired", lambda: refused_or_none(parts, owner.token) == INVALID, 10, 0.05)
    assert refused_or_none(parts, token) == INVALID
    assert refused(browser.enter, late) == INVALID


# ---- who may call


@pytest.mark.parametrize("role", ["auth", "chain-oracle", "secret-vault", "sandbox", "operator"])
def test_only_router_may_call(parts, owner, browser, role):
    peer = parts.peer(role, "session")
    for call, body in (("opening", {"token": owner.token}), ("ticket", {"opening": bytes(32), "agent": browser.agent, "state": bytes(32)}),
                       ("enter", {"ticket": bytes(32), "agent": browser.agent, "state": bytes(32), "ip": "203.0.113.9"})):
        assert refused(peer.call, f"session.{call}", **body)[0] == "denied"
