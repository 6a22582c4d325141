"""common/ledger.lua on a real Redis: the rules of ARCHITECTURE.md, "Ownership and revocation", by number."""

import itertools
import random
import threading
import time

import pytest
import redis

from redis_server import Ledger, RedisServer, slot

U64_MAX = 2**64 - 1
WEEK_MS = 7 * 86400 * 1000
NAMES = itertools.count(1)


def name(prefix="asset"):
    return f"{prefix}{next(NAMES)}"


def now_ms():
    return int(time.time() * 1000)


class Book(Ledger):
    """The ledger with the words that the tests use."""

    def settle(self):
        """As if the history's first 2 s were over."""
        self.call("limit")
        self.client.hset("mc:history", "began", now_ms() - 2001)
        return self

    def sweep(self, number, age_ms=0, genesis="genesis"):
        return self.call("chain", slot(number), age_ms, genesis)[1]

    def see(self, asset, owner, number, watch="1"):
        history, event, record_owner, seen, other = self.call("observe", asset, owner, slot(number), watch)
        return event, record_owner, int(seen), int(other)

    def history(self):
        return self.call("limit")[0]

    def open(self, asset, wallet, number, jti=None, history=None, previous="", exp=None):
        jti = jti or name("jti")
        verdict = self.call("mint", asset, wallet, slot(number), history or self.history(), jti, now_ms(),
                            exp or now_ms() + WEEK_MS, "console", "name", "192.0.2.1", "agent", "k1", previous)[1]
        return verdict, jti

    def open_child(self, parent, history=None, jti=None, aud="agent:id"):
        jti = jti or name("jti")
        return self.call("mint_child", parent, history or self.history(), jti, now_ms(), aud, "192.0.2.2", "browser",
                         "k1")[1], jti

    def sign_in(self, asset, wallet, number):
        """The whole of it: the fresh read, then the session."""
        self.see(asset, wallet, number)
        return self.open(asset, wallet, number)

    def verdict(self, jti):
        return self.call("look", jti)[2]

    def read(self, reader="router-1", history="", cursor="", newest="", newest_history="", role="router", open="", age_ms=0, more=()):
        """newest: an event that the reader knows of; more: (event, history) of others."""
        known = [*((newest, newest_history) if newest else ()), *(part for pair in more for part in pair)]
        answer = self.call("follow", reader, role, history, cursor, open, age_ms, *known)
        keys = ("history", "settling", "now", "restart", "head", "head_history", "slot", "at", "genesis", "events")
        return dict(zip(keys, answer))

    def head(self):
        return self.read("head")["head"]

    def events_since(self, cursor):
        return [tuple(e[1:]) for e in self.read("since", self.history(), cursor)["events"]]


@pytest.fixture(scope="module")
def shared():
    with RedisServer() as server:
        book = Book(server.client()).settle()
        assert book.sweep(1) == "counted"
        yield book


@pytest.fixture
def book(shared):
    """Settled, the chain fresh. Assets, wallets and sessions have names of their own in each test."""
    shared.settle()
    shared.client.hset("mc:chain", "at", now_ms())
    return shared


@pytest.fixture
def own():
    with RedisServer() as server:
        yield server


def fresh(server):
    book = Book(server.client()).settle()
    book.sweep(1)
    return book


# ---- rule 5: the record

A, B, N = "A", "B", "nobody"
RECORDS = [
    # what is seen, in this order; owner, seen_slot, other_slot; how many events
    ([(A, 10)], (A, 10, 0), 0),
    ([(A, 10), (A, 12)], (A, 12, 0), 0),
    ([(A, 10), (A, 9)], (A, 10, 0), 0),
    ([(A, 10), (A, 10)], (A, 10, 0), 0),
    ([(A, 10), (B, 11)], (B, 11, 10), 1),
    ([(A, 10), (N, 11)], (N, 11, 10), 1),
    ([(A, 12), (B, 11)], (A, 12, 11), 1),
    ([(A, 12), (B, 12)], (A, 12, 12), 1),
    ([(A, 12), (B, 11), (B, 11)], (A, 12, 11), 1),
    ([(A, 12), (B, 11), (B, 10)], (A, 12, 11), 1),
    ([(A, 12), (B, 10), (B, 11)], (A, 12, 11), 2),
    ([(A, 10), (B, 11), (A, 12)], (A, 12, 11), 2),
    ([(A, 10), (B, 11), (A, 10)], (B, 11, 10), 1),
    ([(A, 10), (B, 11), (A, 11)], (B, 11, 11), 2),
    ([(A, 10), (B, 11), (B, 15), (A, 12)], (B, 15, 12), 2),
    ([(A, 9), (B, 10)], (B, 10, 9), 1),
    ([(A, 999), (B, 1000)], (B, 1000, 999), 1),
    ([(A, 10), (B, U64_MAX)], (B, U64_MAX, 10), 1),
    ([(A, 10), (B, U64_MAX), (A, U64_MAX)], (B, U64_MAX, U64_MAX), 2),
    ([(A, U64_MAX - 1), (B, U64_MAX), (A, U64_MAX - 1)], (B, U64_MAX, U64_MAX - 1), 1),
    ([(A, 2**53), (B, 2**53 + 1)], (B, 2**53 + 1, 2**53), 1),
]


@pytest.mark.parametrize("seen, record, events", RECORDS)
def test_the_record_is_what_rule_5_says(book, seen, record, events):
    asset, before = name(), book.head()
    for owner, number in seen:
        _, *now = book.see(asset, owner, number)
    assert tuple(now) == record
    assert book.events_since(before) == [(book.history(), asset, "transfer")] * events


def test_the_order_in_which_things_are_seen_does_not_matter(book):
    seen = [("A", 10), ("B", 11), ("B", 13), ("A", 15), ("nobody", 12)]
    for order in itertools.permutations(seen):
        asset = name()
        for owner, number in order:
            _, *record = book.see(asset, owner, number)
        assert record == ["A", 15, 13], order


def test_an_asset_that_is_not_watched_gets_no_record(book):
    asset = name()
    assert book.see(asset, "A", 10, watch="0") == ("", "", 0, 0)
    assert not book.client.exists(f"mc:owner:{asset}")
    assert not book.client.sismember("mc:assets", asset)
    book.see(asset, "A", 10)
    assert book.client.sismember("mc:assets", asset)
    assert book.see(asset, "B", 11, watch="0")[1] == "B"


# ---- rules 6 and 7: sessions

def test_an_owner_signs_in_and_is_let_in(book):
    asset = name()
    verdict, jti = book.sign_in(asset, "A", 10)
    assert verdict == "good"
    history, position, verdict, *session = book.look(jti)
    assert (history, position, verdict) == (book.history(), book.head(), "good")
    assert session[:3] == [asset, "A", slot(10)] and session[5:] == ["console", "name"]


def test_a_session_nobody_made_is_ended(book):
    assert book.look("no such") == [book.history(), book.head(), "ended", "", "", "", "", "", "", ""]


def test_the_seller_is_out_when_the_buyer_is_seen(book):
    asset = name()
    _, jti = book.sign_in(asset, "A", 10)
    event = book.see(asset, "B", 11)[0]
    assert book.verdict(jti) == "ended"
    assert event == book.head()


def test_b_at_slot_11_delivered_after_a_at_slot_12_ends_what_was_proven_before(book):
    asset = name()
    _, early = book.sign_in(asset, "A", 10)
    _, late = book.sign_in(asset, "A", 12)
    assert book.see(asset, "B", 11)[0]
    assert book.verdict(early) == "ended"
    assert book.verdict(late) == "good"
    assert book.see(asset, "B", 12)[0], "a contradiction refuses"
    assert book.verdict(late) == "ended"


def test_buying_back_revives_no_session(book):
    asset = name()
    _, jti = book.sign_in(asset, "A", 10)
    book.see(asset, "B", 11)
    book.see(asset, "A", 12)
    assert book.verdict(jti) == "ended"
    verdict, again = book.open(asset, "A", 12)
    assert (verdict, book.verdict(again), book.verdict(jti)) == ("good", "good", "ended")


def test_the_buyers_sign_in_throws_the_seller_out(book):
    asset = name()
    _, seller = book.sign_in(asset, "A", 10)
    verdict, buyer = book.sign_in(asset, "B", 11)
    assert (verdict, book.verdict(buyer), book.verdict(seller)) == ("good", "good", "ended")


@pytest.mark.parametrize("between, verdict", [
    ([], "good"),
    ([("A", 15)], "good"),
    ([("B", 11)], "not_owner"),
    ([("B", 10)], "not_owner"),
    ([("B", 9)], "good"),
    ([("B", 11), ("A", 12)], "not_owner"),
    ([("nobody", 11)], "not_owner"),
])
def test_what_is_seen_between_the_read_and_the_session_decides(book, between, verdict):
    asset = name()
    book.see(asset, "A", 10)
    for owner, number in between:
        book.see(asset, owner, number)
    assert book.open(asset, "A", 10)[0] == verdict


def test_a_slot_nobody_observed_proves_nothing(book):
    asset = name()
    book.see(asset, "A", 10)
    assert book.open(asset, "A", 11)[0] == "not_owner"
    assert book.open(asset, "A", U64_MAX)[0] == "not_owner"
    assert book.open(asset, "A", 10)[0] == "good"


def test_nobody_signs_in_to_what_is_not_watched_or_at_slot_0(book):
    asset = name()
    assert book.open(asset, "A", 10)[0] == "not_owner"
    assert book.sign_in(asset, "A", 0)[0] == "not_owner"


def test_nobody_is_not_a_wallet(book):
    assert book.sign_in(name(), "nobody", 10)[0] == "not_owner"


def test_a_banned_wallet_is_out_and_stays_out(book):
    asset, wallet = name(), name("wallet")
    _, jti = book.sign_in(asset, wallet, 10)
    before = book.head()
    book.ban(wallet, "1")
    assert book.events_since(before) == [(book.history(), "*", "banned")]
    assert book.look(jti)[2:5] == ["banned", asset, wallet]
    assert book.open(asset, wallet, 10)[0] == "banned"
    book.ban(wallet, "0")
    assert book.open(asset, wallet, 10)[0] == "good"


def test_a_session_ends_with_its_time(book):
    asset = name()
    book.see(asset, "A", 10)
    verdict, jti = book.open(asset, "A", 10, exp=now_ms() + 60)
    _, longer = book.open(asset, "A", 10)
    assert verdict == "good" and book.verdict(jti) == "good"
    time.sleep(0.08)
    assert book.verdict(jti) == "ended"
    assert [s[0] for s in book.list(asset)[1]] == [longer]


def test_the_list_lives_as_long_as_its_longest_session(book):
    asset = name()
    book.see(asset, "A", 10)
    book.open(asset, "A", 10)
    book.open(asset, "A", 10, exp=now_ms() + 1000)
    assert book.client.pttl(f"mc:sessions:{asset}") > WEEK_MS - 60000


def test_at_most_64_sessions_of_an_asset_the_oldest_go(book):
    asset, end = name(), now_ms() + WEEK_MS
    book.see(asset, "A", 10)
    jtis = [book.open(asset, "A", 10, exp=end + i)[1] for i in range(64)]
    before = book.head()
    assert book.verdict(jtis[0]) == "good"
    jtis.append(book.open(asset, "A", 10, exp=end + 64)[1])
    assert [e[2] for e in book.events_since(before)] == ["replaced", "session"]
    assert book.verdict(jtis[0]) == "ended"
    assert [s[0] for s in book.list(asset)[1]] == jtis[1:]


def test_a_session_presented_at_sign_in_is_replaced_if_it_is_of_the_same_asset(book):
    asset, other = name(), name()
    _, mine = book.sign_in(asset, "A", 10)
    _, foreign = book.sign_in(other, "A", 10)
    book.open(asset, "A", 10, previous=foreign)
    assert book.verdict(foreign) == "good"
    book.open(asset, "A", 10, previous=mine)
    assert book.verdict(mine) == "ended"


def test_ending_one_session_ends_no_other(book):
    asset, other = name(), name()
    _, jti = book.sign_in(asset, "A", 10)
    _, stays = book.open(asset, "A", 10)
    before = book.head()
    assert book.end(other, jti, "logout") == [book.history(), ""], "an owner ends no sessions of other assets"
    assert book.verdict(jti) == "good"
    assert book.end(asset, jti, "logout")[1] == book.head() != before
    assert book.end(asset, jti, "logout")[1] == ""
    assert (book.verdict(jti), book.verdict(stays)) == ("ended", "good")
    assert book.events_since(before) == [(book.history(), asset, "logout")]


def test_ending_all_sessions_of_an_asset(book):
    asset, other = name(), name()
    jtis = [book.sign_in(asset, "A", 10)[1] for _ in range(3)]
    _, stays = book.sign_in(other, "A", 10)
    before = book.head()
    book.end_all(asset, "revoked")
    assert {book.verdict(jti) for jti in jtis} == {"ended"} and book.verdict(stays) == "good"
    assert book.list(asset)[1] == []
    assert book.events_since(before) == [(book.history(), asset, "revoked")]


def test_ending_everything_ends_everything_and_new_sessions_are_good(book):
    asset, other = name(), name()
    jtis = [book.sign_in(a, "A", 10)[1] for a in (asset, other)]
    before = book.head()
    book.end_everything()
    assert {book.verdict(jti) for jti in jtis} == {"ended"}
    assert book.list(asset)[1] == []
    assert book.events_since(before) == [(book.history(), "*", "revoked")]
    assert book.open(asset, "A", 10)[0] == "good"


def test_an_announcement_is_for_everybody(book):
    before = book.head()
    book.announce("key")
    assert book.events_since(before) == [(book.history(), "*", "key")]


# ---- I5: sessions of the agent's origin, children of the console's

def a_family(book, wallet="A"):
    asset = name()
    _, parent = book.sign_in(asset, wallet, 10)
    verdict, child = book.open_child(parent)
    assert verdict == "good" and book.verdict(child) == "good"
    return asset, parent, child


def test_a_child_is_what_its_parent_is_but_for_another_audience(book):
    asset = name()
    _, parent = book.sign_in(asset, "A", 10)
    before = book.head()
    _, child = book.open_child(parent)
    assert book.events_since(before) == [(book.history(), asset, "session")]
    of_parent, of_child = book.look(parent), book.look(child)
    assert of_child[:6] == of_parent[:6] and of_child[2] == "good"
    assert (of_child[7], of_child[8], of_child[9]) == (of_parent[7], "agent:id", of_parent[9])
    assert book.client.pexpiretime(f"mc:session:{child}") == book.client.pexpiretime(f"mc:session:{parent}")
    assert [s[0] for s in book.list(asset)[1]] == [parent], "the console's alone are listed"


def logout(book, asset, parent, wallet):
    book.end(asset, parent, "logout")


def end_all(book, asset, parent, wallet):
    book.end_all(asset, "revoked")


def end_everything(book, asset, parent, wallet):
    book.end_everything()


def replace(book, asset, parent, wallet):
    assert book.open(asset, wallet, 10, previous=parent)[0] == "good"


def ban(book, asset, parent, wallet):
    book.ban(wallet, "1")


def sell(book, asset, parent, wallet):
    book.see(asset, "B", 11)


def sell_and_buy_back(book, asset, parent, wallet):
    book.see(asset, "B", 11)
    book.see(asset, wallet, 12)


def burn(book, asset, parent, wallet):
    book.see(asset, "nobody", 11)


def reset(book, asset, parent, wallet):
    book.reset(asset)
    book.see(asset, wallet, 12)


def expire(book, asset, parent, wallet):
    book.client.pexpire(f"mc:session:{parent}", 0)


def push_out(book, asset, parent, wallet):
    for i in range(64):
        assert book.open(asset, wallet, 10, exp=now_ms() + 2 * WEEK_MS + i)[0] == "good"


ENDS = [logout, end_all, end_everything, replace, ban, sell, sell_and_buy_back, burn, reset, expire, push_out]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_whatever_ends_the_parent_ends_the_child(book, end):
    wallet = name("wallet")
    asset, parent, child = a_family(book, wallet)
    _, bystander, stays = a_family(book, "C")
    before = book.head()
    end(book, asset, parent, wallet)
    assert book.verdict(parent) != "good" and book.verdict(child) == book.verdict(parent)
    assert book.open_child(parent)[0] == book.verdict(parent), "and no other child begins"
    if end is not expire:
        assert book.head() != before, "everybody is told"
    if end is not end_everything:
        assert (book.verdict(bystander), book.verdict(stays)) == ("good", "good")
    if end in (logout, end_all, replace, push_out):
        assert not book.client.exists(f"mc:session:{child}", f"mc:children:{parent}"), "nothing is left behind"


def test_the_end_of_a_child_ends_nobody_else(book):
    asset, parent, child = a_family(book)
    _, sibling = book.open_child(parent)
    before = book.head()
    assert book.end(asset, child, "logout")[1]
    assert [book.verdict(jti) for jti in (parent, child, sibling)] == ["good", "ended", "good"]
    assert book.events_since(before) == [(book.history(), asset, "logout")]
    assert book.client.zrange(f"mc:children:{parent}", 0, -1) == [sibling]


def test_a_child_has_no_children_and_nobody_has_children_of_no_session(book):
    _, _, child = a_family(book)
    assert book.open_child(child)[0] == "ended"
    assert book.open_child("no such")[0] == "ended"


def test_a_child_that_lost_its_parents_key_is_ended_whatever_else_is_left(book):
    _, parent, child = a_family(book)
    book.client.delete(f"mc:session:{parent}")
    assert book.verdict(child) == "ended"


def test_at_most_16_children_of_a_session_the_oldest_go(book):
    asset, parent, first = a_family(book)
    children = [first] + [book.open_child(parent)[1] for _ in range(15)]
    assert {book.verdict(jti) for jti in children} == {"good"}
    before = book.head()
    verdict, last = book.open_child(parent)
    assert verdict == "good" and book.events_since(before) == [(book.history(), asset, kind) for kind in ("replaced", "session")]
    assert [book.verdict(jti) for jti in children + [last]] == ["ended"] + ["good"] * 16
    assert book.client.zcard(f"mc:children:{parent}") == 16


def test_a_child_is_begun_in_the_history_that_its_ticket_was_stored_in(book):
    _, parent, _ = a_family(book)
    before = book.head()
    assert book.open_child(parent, history="another")[0] == "history"
    assert book.head() == before


def test_the_chains_age_and_settling_are_no_matter_for_a_child(book):
    _, parent, _ = a_family(book)
    book.client.hset("mc:chain", "at", now_ms() - 10**6)
    book.client.hset("mc:history", "began", now_ms())
    assert book.open_child(parent)[0] == "good"


def test_a_full_redis_opens_no_child(own):
    book = fresh(own)
    asset, parent, _ = a_family(book)
    book.client.config_set("maxmemory", 1)
    jti, before = name("jti"), book.client.xlen("mc:events")
    with pytest.raises(redis.exceptions.ResponseError):
        book.open_child(parent, history=book.client.hget("mc:history", "id"), jti=jti)
    book.client.config_set("maxmemory", 0)
    assert book.verdict(jti) == "ended" and book.client.xlen("mc:events") == before


# ---- tickets, places, announcements of one asset

def test_a_ticket_is_redeemed_once_and_is_no_nonce(book):
    ticket = name("hash")
    assert book.ticket(ticket, "a\nb") == [book.history(), "0"]
    assert 29000 < book.client.pttl(f"mc:ticket:{ticket}") <= 30000
    assert book.take(ticket) == [book.history(), "", ""]
    assert book.redeem(ticket) == [book.history(), book.history(), "a\nb"]
    assert book.redeem(ticket) == [book.history(), "", ""]


def test_tickets_are_limited_as_nonces_are(book):
    limit, refused = ("opening", name("key"), 60, 1), name("hash")
    assert book.ticket(name("hash"), "v", *limit)[1] == "0"
    assert int(book.ticket(refused, "v", *limit)[1]) > 0
    assert book.redeem(refused)[1] == ""


def test_an_agent_stays_on_the_host_that_claimed_it_first(book):
    asset = name()
    assert book.place(asset, "one", "0") == [book.history(), ""]
    assert not book.client.exists(f"mc:place:{asset}")
    assert book.place(asset, "one", "1")[1] == "one"
    assert book.place(asset, "two", "1")[1] == "one"
    assert book.place(asset, "two", "0")[1] == "one"
    assert book.unplace(asset, "two") == [book.history(), "0"]
    assert book.unplace(asset, "one") == [book.history(), "1"]
    assert book.unplace(asset, "one")[1] == "0"
    assert book.place(asset, "two", "1")[1] == "two"


def test_an_agent_moves_from_the_host_that_has_it_alone(book):
    asset = name()
    assert book.move(asset, "one", "two") == [book.history(), ""]
    book.place(asset, "one", "1")
    assert book.hold(asset, "sandbox:one")[6:] == ["one"]
    assert book.hold(asset, "vault")[6:] == ["one"]
    assert book.move(asset, "two", "two")[1] == ""
    event = book.move(asset, "one", "two")[1]
    assert book.client.xrevrange("mc:events", count=1)[0] == (event, {"h": book.history(), "a": asset, "k": "agent"})
    assert book.hold(asset, "sandbox:one")[6:] == ["two"]
    assert book.move(asset, "one", "three")[1] == ""


def test_an_announcement_may_be_for_one_asset_and_ends_nothing(book):
    asset = name()
    _, jti = book.sign_in(asset, "A", 10)
    before = book.head()
    assert book.announce("agent", asset)[1] == book.head()
    assert book.events_since(before) == [(book.history(), asset, "agent")]
    assert book.verdict(jti) == "good"


def test_looking_notes_when_a_session_was_last_used_at_most_once_a_minute(book):
    _, jti = book.sign_in(name(), "A", 10)
    key = f"mc:session:{jti}"
    seen = int(book.client.hget(key, "seen"))
    book.client.hset(key, "seen", seen - 59000)
    book.verdict(jti)
    assert book.client.hget(key, "seen") == str(seen - 59000)
    book.client.hset(key, "seen", seen - 60000)
    book.verdict(jti)
    assert int(book.client.hget(key, "seen")) >= seen


def test_the_list_shows_good_sessions_only(book):
    asset = name()
    _, early = book.sign_in(asset, "A", 10)
    _, late = book.sign_in(asset, "A", 12)
    book.see(asset, "B", 11)
    [[jti, iat, exp, seen, ip, agent]] = book.list(asset)[1]
    assert (jti, ip, agent) == (late, "192.0.2.1", "agent") and int(iat) <= int(seen) < int(exp)


# ---- rule 2: beginning and ending to watch

def test_what_a_session_needs_is_not_forgotten(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    book.sweep(10)
    assert book.forget(asset)[1] == "0"
    book.end(asset, jti, "logout")
    assert book.forget(asset)[1] == "1"
    assert not book.client.sismember("mc:assets", asset) and not book.client.exists(f"mc:owner:{asset}")
    assert book.forget(asset)[1] == "1"


def test_what_is_held_is_not_forgotten_whatever_happens_to_its_sessions(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    book.sweep(10)
    assert book.hold(asset, "vault")[2:5] == ["A", slot(10), slot(0)]
    assert book.hold(asset, "sandbox:one")[2:5] == ["A", slot(10), slot(0)]
    assert book.hold(asset, "vault")[2:5] == ["A", slot(10), slot(0)], "said again, it is the same"
    book.end(asset, jti, "logout")
    book.end_everything()
    assert book.forget(asset)[1] == "0"
    assert book.release(asset, "vault")[1] == "1"
    assert book.forget(asset)[1] == "0", "there is another holder"
    assert book.release(asset, "vault")[1] == "0"
    assert book.release(asset, "sandbox:one")[1] == "1"
    assert not book.client.exists(f"mc:held:{asset}")
    assert book.forget(asset)[1] == "1"


def test_a_holder_is_told_who_owns_the_asset_and_up_to_which_event(book):
    asset = name()
    book.see(asset, "A", 10)
    book.hold(asset, "vault")
    event, *_ = book.see(asset, "B", 12, watch="0")
    assert book.owner(asset)[:5] == [book.history(), event, "B", slot(12), slot(10)]
    event, *_ = book.see(asset, "nobody", 13, watch="0")
    assert book.hold(asset, "vault")[:5] == [book.history(), event, "nobody", slot(13), slot(12)]
    book.release(asset, "vault")


def test_a_hold_begins_no_record_and_waits_for_one(own):
    book, asset = fresh(own), name()
    book.sweep(10)
    assert book.hold(asset, "vault")[2:5] == ["", slot(0), slot(0)]
    assert not book.client.sismember("mc:assets", asset), "who owns it nobody has said"
    assert book.see(asset, "A", 11, watch="0") == ("", "", 0, 0)
    book.see(asset, "A", 12)
    assert book.client.sismember("mc:assets", asset)
    book.sweep(12)
    assert book.forget(asset)[1] == "0"


def test_a_reset_takes_the_record_from_a_holder_not_the_hold(own):
    book, asset = fresh(own), name()
    book.sweep(100)
    book.see(asset, "A", 101)
    book.hold(asset, "vault")
    book.see(asset, "B", U64_MAX)
    book.reset(asset)
    assert book.owner(asset)[2:5] == ["", slot(0), slot(0)]
    assert book.client.smembers(f"mc:held:{asset}") == {"vault"}
    book.see(asset, "A", 102)
    assert book.owner(asset)[2:5] == ["A", slot(102), slot(100)], "what was proven before the reset is not vouched for"
    book.sweep(102)
    assert book.forget(asset)[1] == "0"


def test_a_full_redis_notes_no_hold_and_says_so(own):
    book, asset = fresh(own), name()
    book.see(asset, "A", 10)
    book.client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.RedisError, match="OOM"):
        book.hold(asset, "vault")
    book.client.config_set("maxmemory", 0)
    assert not book.client.exists(f"mc:held:{asset}")


def test_a_late_reading_cannot_go_back_behind_what_was_forgotten(own):
    book, asset = fresh(own), name()
    book.see(asset, "A", 10)
    book.see(asset, "B", 12)
    assert book.sweep(11) == "counted"
    assert book.forget(asset)[1] == "0", "no sweep has passed slot 12 yet"
    assert book.sweep(12) == "counted"
    assert book.forget(asset)[1] == "1"
    assert book.sign_in(asset, "A", 11)[0] == "not_owner"
    assert book.sign_in(name(), "A", 12)[0] == "not_owner"
    assert book.sign_in(asset, "A", 13)[0] == "good"


def test_a_poisoned_record_is_repaired_and_its_sessions_are_over(own):
    book, asset, bystander = fresh(own), name(), name()
    book.sweep(100)
    _, before = book.sign_in(asset, "A", 101)
    _, stays = book.sign_in(bystander, "A", 101)
    book.see(asset, "B", U64_MAX)
    assert book.sign_in(asset, "A", 102)[0] == "not_owner"
    assert book.forget(asset)[1] == "0"
    event = book.reset(asset)[1]
    assert event == book.head()
    assert book.verdict(before) == "ended"
    assert book.sign_in(asset, "A", 100)[0] == "not_owner", "older than the last sweep"
    verdict, after = book.sign_in(asset, "A", 103)
    assert (verdict, book.verdict(after), book.verdict(before)) == ("good", "good", "ended")
    assert book.verdict(stays) == "good"
    assert book.sign_in(name(), "A", 103)[0] == "good", "the poison stays in its record"


# ---- rule 3: the chain

def test_a_sweep_counts_only_if_it_went_forward_on_the_same_chain(own):
    book = Book(own.client())
    assert book.read()["slot"] == ""
    assert book.sweep(10, 1500, "main") == "counted"
    read = book.read()
    assert (read["slot"], read["genesis"]) == (slot(10), "main")
    assert 1500 <= int(read["now"]) - int(read["at"]) < 1600
    assert book.sweep(10, 0, "main") == "behind"
    assert book.sweep(9, 0, "main") == "behind"
    assert book.sweep(11, 0, "test") == "other_chain"
    assert book.read()["at"] == read["at"], "a stuck node lets it age"
    assert book.sweep(11, 10**15, "main") == "counted"
    assert book.read()["at"] == "0"
    assert book.sweep(U64_MAX, 0, "main") == "counted"
    assert book.sweep(U64_MAX, 0, "main") == "behind"


@pytest.mark.parametrize("age_ms, verdict", [(0, "good"), (55000, "good"), (60500, "chain"), (-4000, "good"), (-6000, "chain")])
def test_nobody_signs_in_on_an_old_view_of_the_chain(book, age_ms, verdict):
    asset = name()
    book.see(asset, "A", 10)
    book.client.hset("mc:chain", "at", now_ms() - age_ms)
    assert book.open(asset, "A", 10)[0] == verdict


def test_nobody_signs_in_before_the_first_sweep(own):
    book = Book(own.client()).settle()
    assert book.sign_in("x", "A", 10)[0] == "chain"


# ---- rules 8, 10, 12: events and their readers

def test_a_reader_gets_each_event_once_in_order(book):
    start = book.read()
    assert start["restart"] == "1" and start["events"] == []
    asset = name()
    book.sign_in(asset, "A", 10)
    book.see(asset, "B", 11)
    read = book.read(history=start["history"], cursor=start["head"])
    assert read["restart"] == "0"
    assert [tuple(e[1:]) for e in read["events"]] == [(start["history"], asset, "session"), (start["history"], asset, "transfer")]
    assert (read["events"][-1][0], read["head_history"]) == (read["head"], start["history"])
    assert book.read(history=start["history"], cursor=read["head"])["events"] == []


def test_the_first_event_ever_is_told_like_any_other(own):
    book = Book(own.client())
    start = book.read()
    assert (start["head"], start["head_history"], start["restart"]) == ("0-0", "", "1")
    book.announce("key")
    read = book.read(history=start["history"], cursor="0-0")
    assert read["restart"] == "0" and len(read["events"]) == 1


def test_a_read_brings_a_thousand_events_at_most(own):
    book = Book(own.client())
    start = book.read()
    for _ in range(2100):
        book.announce("key")
    cursor, sizes = start["head"], []
    while not sizes or sizes[-1]:
        read = book.read(history=start["history"], cursor=cursor)
        sizes.append(len(read["events"]))
        cursor = read["events"][-1][0] if read["events"] else cursor
    assert sizes == [1000, 1000, 100, 0] and cursor == read["head"]


def test_old_events_go_but_not_while_settling_and_who_missed_some_starts_over(own):
    book = Book(own.client())
    history = book.history()
    own.client().eval("for i = 1, 250500 do redis.call('XADD', 'mc:events', i .. '-1', 'h', ARGV[1], 'a', '*', 'k', 'key') end",
                      0, history)
    book.client.hset("mc:history", "began", now_ms())
    book.announce("key")
    assert book.client.xlen("mc:events") == 250501
    assert book.read(history=history, cursor="1-1")["restart"] == "0"
    assert book.read(history=history, cursor="0-1")["restart"] == "1"
    assert book.read(history=history, cursor="0-0")["restart"] == "1"
    book.settle().announce("key")
    assert 250000 <= book.client.xlen("mc:events") <= 250200
    late = book.read(history=history, cursor="1-1")
    assert (late["restart"], late["events"]) == ("1", [])
    assert book.read(history=history, cursor=late["head"])["restart"] == "0"
    generation = book.client.hget("mc:history", "generation")
    book.read(newest="1-1", newest_history=history)
    assert book.client.hget("mc:history", "generation") == generation, "dropped for its age, not lost"


@pytest.mark.parametrize("history, cursor", [("", ""), ("another", "5-5"), (None, ""), (None, "99999999999999-0")])
def test_who_does_not_fit_this_history_starts_over(book, history, cursor):
    read = book.read(history=book.history() if history is None else history, cursor=cursor)
    assert read["restart"] == "1" and read["events"] == [] and read["head"] == book.head()


# ---- rule 15: who has enforced an event

def enforced(book, event, history=None):
    """(settling, known, name -> (state, ms))"""
    _, settling, known, _, replicas, _ = book.call("enforced", event, history or book.history())
    return settling != "0", known == "1", {r[0]: (r[2], int(r[4])) for r in replicas}


def state_of(book, reader, event):
    return enforced(book, event)[2][reader][0]


def test_a_read_writes_down_how_far_its_reader_is(book):
    reader, (asset, history) = name("router-"), (name(), book.history())
    event = book.end_all(asset, "revoked")[1]
    assert reader not in enforced(book, event)[2]
    book.read(reader)
    assert state_of(book, reader, event) == "open", "it has read nothing yet"
    book.read(reader, history, "0-1")
    assert state_of(book, reader, event) == "open"
    book.read(reader, "another", event)
    assert state_of(book, reader, event) == "open", "of another history"
    book.read(reader, history, event)
    assert state_of(book, reader, event) == "done"


def test_what_was_read_and_goes_on_is_open(book):
    reader, history = name("sandbox-"), book.history()
    first, second = (book.end_all(name(), "revoked")[1] for _ in range(2))
    book.read(reader, history, second, open=first, role="sandbox")
    assert [state_of(book, reader, e) for e in (first, second)] == ["open", "open"]
    book.read(reader, history, second, open=second, role="sandbox")
    assert [state_of(book, reader, e) for e in (first, second)] == ["done", "open"]
    book.read(reader, history, second, open="0-1", role="sandbox")
    assert [state_of(book, reader, e) for e in (first, second)] == ["open", "open"], "it has started over"
    book.read(reader, history, second, role="sandbox")
    assert [state_of(book, reader, e) for e in (first, second)] == ["done", "done"]


def test_the_time_is_the_replicas_by_one_clock(book):
    reader, history = name("router-"), book.history()
    event = book.end_all(name(), "revoked")[1]
    time.sleep(0.3)
    book.read(reader, history, event, age_ms=100)
    state, ms = enforced(book, event)[2][reader]
    assert state == "done" and 150 < ms < 290
    book.read(reader, history, event, age_ms=10**15)
    assert enforced(book, event)[2][reader] == ("done", 0)


def be_silent(book, reader, ms):
    words = book.client.hget("mc:replicas", reader).split()
    words[1] = str(now_ms() - ms)
    book.client.hset("mc:replicas", reader, " ".join(words))


@pytest.mark.parametrize("role, stays", [("router", False), ("llm-gateway", False), ("sandbox", True), ("secret-vault", True)])
def test_who_is_silent_for_5_s_is_named_and_who_may_hold_something_until_an_operator_says_no(book, role, stays):
    reader, history = name("r-"), book.history()
    book.read(reader, history, book.head(), role=role)
    event = book.end_all(name(), "revoked")[1]
    be_silent(book, reader, 4900)
    assert state_of(book, reader, event) == "open"
    be_silent(book, reader, 5000)
    assert state_of(book, reader, event) == "silent"
    be_silent(book, reader, 60001)
    assert enforced(book, event)[2].get(reader, ("forgotten",))[0] == ("silent" if stays else "forgotten")
    assert book.client.hexists("mc:replicas", reader) == stays
    assert book.call("unlist", reader)[1] == ("1" if stays else "0")
    assert reader not in enforced(book, event)[2]
    book.read(reader, history, event, role=role)
    assert state_of(book, reader, event) == "done", "one that lives is listed again"


def test_nothing_is_done_while_a_history_settles(own):
    book = Book(own.client())
    event = book.end_all("asset", "revoked")[1]
    book.read("router-1", book.history(), event)
    assert enforced(book, event) == (True, True, {"router-1": ("open", 0)})
    book.settle()
    settling, known, replicas = enforced(book, event)
    assert (settling, known, replicas["router-1"][0]) == (False, True, "done")


def test_an_event_that_is_not_there_was_lost_unless_it_is_old(own):
    book = fresh(own)
    first, second = (book.end_all("asset", "revoked")[1] for _ in range(2))
    assert enforced(book, second)[1]
    assert not enforced(book, second, "another")[1], "another history's of the same id"
    book.client.xdel("mc:events", second)
    assert not enforced(book, second)[1]
    book.end_all("asset", "revoked")
    book.client.xtrim("mc:events", minid=second, approximate=False)
    assert enforced(book, first)[1], "dropped for its age"


def test_the_assets_of_a_wallet_are_found_in_parts(own):
    book = fresh(own)
    for i in range(700):
        book.see(f"asset{i}", "A" if i % 7 == 0 else "B", 10)
    found, cursor = [], "0"
    while True:
        _, cursor, part = book.call("owned", "A", cursor)
        found += part
        if cursor == "0":
            break
    assert sorted(set(found)) == sorted(f"asset{i}" for i in range(0, 700, 7))


def test_a_demoted_primary_gives_no_read(own):
    book = fresh(own)
    history = book.history()
    own.client().execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        book.read(history=history, cursor="0-0")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        book.see(name(), "A", 10)


def test_a_full_redis_refuses_and_leaves_nothing_half_done(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    _, other = book.open(asset, "A", 10)
    history, before = book.history(), book.head()
    own.client().config_set("maxmemory", "1")
    for refused in (lambda: book.see(asset, "B", 11), lambda: book.open(asset, "A", 10, history=history),
                    lambda: book.read(history=history, cursor=before), lambda: book.end_everything()):
        with pytest.raises(redis.exceptions.ResponseError, match="OOM"):
            refused()
    assert book.end(asset, jti, "logout")[1], "ending needs no room"
    own.client().config_set("maxmemory", "0")
    assert book.events_since(before) == [(history, asset, "logout")]
    assert (book.verdict(jti), book.verdict(other)) == ("ended", "good")
    assert own.client().hgetall(f"mc:owner:{asset}")["owner"] == "A"


# ---- nonces and limits

def test_a_nonce_is_taken_once(book):
    nonce = name("nonce")
    value = "text\nof two lines"
    assert book.issue(nonce, value) == [book.history(), "0"]
    assert 299000 < book.client.pttl(f"mc:nonce:{nonce}") <= 300000
    assert book.take(nonce) == [book.history(), book.history(), value]
    assert book.take(nonce) == [book.history(), "", ""]


def test_a_nonces_value_is_bytes(own):
    raw = redis.Redis(unix_socket_path=str(own.path))
    book, value = Ledger(raw), bytes(range(256)) + b"\n\n"
    book.issue("n", value)
    assert book.take("n")[2] == value


def test_of_many_who_take_a_nonce_at_once_one_gets_it(own):
    books = [Book(own.client()) for _ in range(20)]
    for round_number in range(20):
        books[0].issue(f"n{round_number}", "v")
        got, start = [], threading.Barrier(len(books))

        def take(book, nonce=f"n{round_number}"):
            start.wait()
            got.append(book.take(nonce)[2])

        threads = [threading.Thread(target=take, args=(book,)) for book in books]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == [""] * (len(books) - 1) + ["v"]


def test_a_bucket_gives_its_burst_then_makes_wait(book):
    key = name("key")
    limit = ("ip", key, 60, 3)
    assert [book.limit(*limit)[1] for _ in range(3)] == ["0"] * 3
    wait = int(book.limit(*limit)[1])
    assert 900 <= wait <= 1000
    bucket = f"mc:rate:ip:{key}"
    book.client.hincrby(bucket, "at", -wait)
    assert book.limit(*limit)[1] == "0"
    assert int(book.limit(*limit)[1]) > 900
    book.client.hincrby(bucket, "at", -10**9)
    assert [book.limit(*limit)[1] for _ in range(3)] == ["0"] * 3, "no more than the burst, however long it lay idle"
    assert book.limit(*limit)[1] != "0"
    assert 0 < book.client.pttl(bucket) <= 4000


def test_if_one_bucket_is_empty_none_is_charged(book):
    full, empty = ("a", name("key"), 60, 2), ("b", name("key"), 60, 1)
    assert book.limit(*empty)[1] == "0"
    for _ in range(5):
        assert book.limit(*full, *empty)[1] != "0"
    assert [book.limit(*full)[1] for _ in range(3)][:2] == ["0", "0"]


def test_a_limited_caller_stores_nothing(book):
    nonce, limit = name("nonce"), ("a", name("key"), 60, 1)
    assert book.issue(name("nonce"), "v", *limit)[1] == "0"
    assert int(book.issue(nonce, "v", *limit)[1]) > 0
    assert book.take(nonce)[1] == ""


def test_a_clock_set_back_gives_no_tokens_and_takes_none(book):
    key = name("key")
    limit = ("ip", key, 60, 1)
    book.limit(*limit)
    book.client.hset(f"mc:rate:ip:{key}", "at", now_ms() + 10**6)
    assert 900 <= int(book.limit(*limit)[1]) <= 1000


# ---- rules 16 and 17: what survives

def test_a_history_settles_for_two_seconds(own):
    book = Book(own.client())
    began = time.monotonic()
    book.sweep(1)
    book.see("x", "A", 10)
    assert book.open("x", "A", 10)[0] == "settling"
    assert 1800 < int(book.read()["settling"]) <= 2000
    settling = True
    while settling:
        verdict = book.open("x", "A", 10)[0]
        settling = int(book.read()["settling"]) > 0
        assert verdict == "settling" or not settling
        time.sleep(0.02)
    assert 1.9 < time.monotonic() - began < 3
    assert book.open("x", "A", 10)[0] == "good"


def test_a_clock_set_back_settles_anew_but_not_for_longer(own):
    book = fresh(own)
    own.client().hset("mc:history", "began", now_ms() + 3600000)
    assert 1800 < int(book.read()["settling"]) <= 2000
    assert int(own.client().hget("mc:history", "began")) <= now_ms()


def test_kill_9_of_redis_signs_nobody_out_but_begins_a_new_history(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    old = book.read()
    book.issue("nonce", "v")
    own.restart()
    book = Book(own.client())
    assert book.verdict(jti) == "good"
    new = book.read(history=old["history"], cursor=old["head"], newest=old["head"], newest_history=old["history"])
    assert new["history"] != old["history"] and new["restart"] == "1" and int(new["settling"]) > 0
    assert (new["head"], new["head_history"]) == (old["head"], old["history"])
    assert book.open(asset, "A", 10, history=old["history"])[0] == "history", "the read was of another history"
    assert book.open(asset, "A", 10)[0] == "settling"
    assert book.take("nonce") == [new["history"], old["history"], "v"], "auth refuses: not the same history"
    book.settle()
    assert book.open(asset, "A", 10)[0] == "good"
    assert book.verdict(jti) == "good"


def test_an_emptied_redis_lets_nobody_in(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    old = book.read()
    own.kill()
    own.empty()
    own.start()
    book = Book(own.client())
    assert book.verdict(jti) == "ended"
    assert book.list(asset)[1] == []
    read = book.read(history=old["history"], cursor=old["head"], newest=old["head"], newest_history=old["history"])
    assert read["restart"] == "1" and read["head_history"] == read["history"] and read["slot"] == ""
    assert book.settle().open(asset, "A", 10)[0] == "chain"
    book.sweep(1)
    assert book.open(asset, "A", 10)[0] == "not_owner"


def test_lost_writes_are_found_by_who_knew_of_them_and_end_all_sessions_once(own):
    book, asset, bystander = fresh(own), name(), name()
    _, jti = book.sign_in(asset, "A", 10)
    _, stays = book.sign_in(bystander, "A", 10)
    own.save()
    event, history = book.end(asset, jti, "logout")[1], book.history()
    assert book.verdict(jti) == "ended"
    own.go_back()
    book = Book(own.client())
    assert book.verdict(jti) == "good", "Redis has forgotten; whoever knew has not come back yet"
    read = book.read(history=history, cursor=event, newest=event, newest_history=history)
    assert read["restart"] == "1" and read["head_history"] == read["history"]
    assert book.verdict(jti) == book.verdict(stays) == "ended"
    assert [e["k"] for _, e in book.client.xrange("mc:events")][-1] == "lost"
    generation = book.client.hget("mc:history", "generation")
    again = book.read("router-2", history=history, cursor=event, newest=event, newest_history=history)
    assert again["head"] == read["head"]
    assert book.client.hget("mc:history", "generation") == generation, "once per history"
    _, fresh_one = book.settle().open(bystander, "A", 10)
    own.restart()
    book = Book(own.client())
    book.read(history=read["history"], cursor=read["head"], newest=read["head"], newest_history=read["head_history"])
    assert book.verdict(fresh_one) == "good", "nothing was lost this time"


def test_an_event_of_the_same_id_but_another_history_is_not_the_one_that_was_known(own):
    book = fresh(own)
    event = book.announce("key")[1]
    generation = book.client.hget("mc:history", "generation")
    book.read(newest=event, newest_history=book.history())
    assert book.client.hget("mc:history", "generation") == generation
    book.read(newest=event, newest_history="another")
    assert book.client.hget("mc:history", "generation") != generation


def test_a_read_tells_all_that_its_reader_knows_and_one_loss_is_proven_once(own):
    """Redis began again twice: what it lost was of the history between."""
    book = fresh(own)
    event, history = book.announce("key")[1], book.history()
    generation = book.client.hget("mc:history", "generation")
    book.read(newest=event, newest_history=history, more=[("1-1", history)])
    assert book.client.hget("mc:history", "generation") == generation, "all of it is there, or dropped for its age"
    book.read(newest=event, newest_history=history, more=[(event, "between"), ("9999999999999-0", "before")])
    assert book.client.hget("mc:history", "generation") != generation
    assert [e["k"] for _, e in book.client.xrange("mc:events")].count("lost") == 1


def test_a_primary_that_can_write_nothing_says_of_nobody_that_they_have_enforced_it(own):
    """Cut off, it would take for silent whom it does not hear, and wait for them no more."""
    book = fresh(own)
    event, history = book.announce("key")[1], book.history()
    book.client.hset("mc:replicas", mapping={"lives": f"router {now_ms()} 1 {history} {event} -", "gone": f"router {now_ms() - 9000} 1 {history} {event} {event}"})
    said = book.call("enforced", event, history)
    assert said[2] == "1" and said[5] == "0" and {r[0]: r[2] for r in said[4]} == {"lives": "done", "gone": "silent"}
    for _ in ("one that is silent", "nobody is"):
        book.client.config_set("min-replicas-to-write", 1)
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            book.call("enforced", event, history)
        book.client.config_set("min-replicas-to-write", 0)
        book.client.hdel("mc:replicas", "gone")


def test_whose_word_is_not_understood_is_waited_for(own):
    book = fresh(own)
    event, history = book.announce("key")[1], book.history()
    odd = {"of-another-version": "router 1 2", "no-id": f"sandbox 1 1 {history} x y", "empty": ""}
    book.client.hset("mc:replicas", mapping=odd)
    said, waited_for = book.call("enforced", event, history)[4:]
    said = {r[0]: tuple(r[1:3]) for r in said}
    assert waited_for == str(len(said))
    assert {name: said[name] for name in odd} == dict.fromkeys(odd, ("unknown", "open"))
    assert set(odd) <= set(book.client.hkeys("mc:replicas"))


def test_two_revocations_of_everything_at_one_moment_are_two(own):
    """A session of between them does not outlive the second."""
    book = fresh(own)
    generations = set()
    for _ in range(200):
        book.end_everything()
        generations.add(book.client.hget("mc:history", "generation"))
    events = [i for i, e in book.client.xrange("mc:events") if e["k"] == "revoked"]
    assert generations == {f"{book.history()}+{event}" for event in events} and len(events) == 200


def test_a_revocation_of_everything_that_is_lost_is_made_good(own):
    book, asset = fresh(own), name()
    _, jti = book.sign_in(asset, "A", 10)
    own.save()
    event, history = book.end_everything()[1], book.history()
    own.go_back()
    book = Book(own.client())
    book.read(newest=event, newest_history=history)
    assert book.verdict(jti) == "ended"


def test_a_nonce_whose_taking_was_lost_is_refused(own):
    book = fresh(own)
    book.issue("nonce", "v")
    own.save()
    history, stored, value = book.take("nonce")
    assert history == stored and value == "v"
    own.go_back()
    history, stored, value = Book(own.client()).take("nonce")
    assert value == "v" and stored != history


def test_a_history_that_comes_back_after_another_is_a_new_one(own):
    book = Book(own.client())
    first = book.history()
    own.client().hset("mc:history", "run_id", "another process'")
    second = book.history()
    assert first != second and first[:12] == second[:12]
    assert book.history() == second


def test_an_unknown_operation_is_an_error(book):
    with pytest.raises(redis.exceptions.ResponseError, match="unknown operation"):
        book.call("open_sesame")


# ---- I1 by chance: whatever the interleaving, nobody is let in after a no was acknowledged

class Model:
    """What the ledger must answer, told by lists of all that was ever done, not by records that are updated."""

    def __init__(self):
        self.seen = {}      # asset -> [(owner, slot)] since it is watched
        self.floor = {}     # asset -> slot below which its record knows nothing
        self.sessions = {}  # jti -> (asset, wallet, slot)
        self.parent = {}    # jti of a child -> jti
        self.ended_children = set()
        self.orphans = set()  # sessions of a record that was reset
        self.banned = set()
        self.held = set()   # (asset, holder)
        self.forgotten = 0
        self.chain = 1
        self.ever_denied = set()

    def owner(self, asset):
        seen = self.seen[asset]
        top = max(number for _, number in seen)
        return next(owner for owner, number in seen if number == top)  # the first to be seen there keeps it

    def other_slot(self, asset):
        owner = self.owner(asset)
        return max([number for who, number in self.seen[asset] if who != owner] + [self.floor[asset]])

    def good(self, jti):
        if jti not in self.sessions or jti in self.orphans:
            return False
        asset, wallet, number = self.sessions[jti]
        return asset in self.seen and self.owner(asset) == wallet and number > self.other_slot(asset)

    def verdict(self, jti):
        if jti in self.sessions and self.sessions[jti][1] in self.banned:
            return "banned"
        return "good" if self.good(jti) else "ended"


class Walk:
    def __init__(self, book, seed):
        self.book, self.random, self.model = book, random.Random(seed), Model()
        self.assets = [name() for _ in range(2)]
        self.wallets = [name("wallet") for _ in range(3)]
        self.jtis, self.children = [], []
        self.slot = 10

    def a_slot(self):
        self.slot += self.random.choice((0, 0, 1, 2))
        return max(1, self.slot - self.random.choice((0, 0, 1, 3)))

    def step_see(self):
        asset, number = self.random.choice(self.assets), self.a_slot()
        owner = self.random.choice(self.wallets + ["nobody"])
        _, owner_now, seen, other = self.book.see(asset, owner, number)
        if asset not in self.model.seen:
            self.model.seen[asset], self.model.floor[asset] = [(owner, max(number, self.model.forgotten))], self.model.forgotten
        else:
            self.model.seen[asset].append((owner, number))
        assert (owner_now, other) == (self.model.owner(asset), self.model.other_slot(asset))

    def step_open(self):
        asset = self.random.choice(self.assets)
        wallet = self.random.choice(self.wallets)
        if asset in self.model.seen and self.random.random() < 0.7:
            wallet = self.model.owner(asset)
        proofs = [number for owner, number in self.model.seen.get(asset, []) if owner == wallet] or [self.a_slot()]
        number = max(proofs) if self.random.random() < 0.7 else self.random.choice(proofs)
        verdict, jti = self.book.open(asset, wallet, number)
        self.model.sessions[jti] = (asset, wallet, number)
        may = wallet != "nobody" and self.model.verdict(jti) == "good" and any(n >= number for _, n in self.model.seen[asset])
        assert verdict == ("good" if may else "banned" if wallet in self.model.banned else "not_owner")
        if may:
            self.jtis.append(jti)
        else:
            del self.model.sessions[jti]

    def step_end(self):
        if self.jtis:
            jti = self.random.choice(self.jtis)
            asset = self.model.sessions.get(jti, (self.assets[0],))[0]
            self.book.end(asset, jti, "logout")
            self.model.sessions.pop(jti, None)

    def step_open_child(self):
        if not self.jtis:
            return
        parent = self.random.choice(self.jtis)
        verdict, jti = self.book.open_child(parent)
        known = self.model.verdict(parent) if parent not in self.model.parent else "ended"
        if known == "banned" or known == "good":
            assert verdict == known
        else:
            assert verdict in ("ended", "banned")
        if verdict == "good":
            self.model.parent[jti] = parent
            self.children.append(jti)

    def step_end_child(self):
        if self.children:
            jti = self.random.choice(self.children)
            asset = self.model.sessions.get(self.model.parent[jti], (self.assets[0],))[0]
            self.book.end(asset, jti, "logout")
            self.model.ended_children.add(jti)

    def step_ban(self):
        wallet, banned = self.random.choice(self.wallets), self.random.random() < 0.5
        self.book.ban(wallet, "1" if banned else "0")
        (self.model.banned.add if banned else self.model.banned.discard)(wallet)

    def step_sweep(self):
        counts = self.slot > self.model.chain
        assert self.book.sweep(self.slot) == ("counted" if counts else "behind")
        self.model.chain = max(self.model.chain, self.slot)

    def step_forget(self):
        asset = self.random.choice(self.assets)
        alive = any(a == asset for a, _, _ in self.model.sessions.values())
        top = max([n for _, n in self.model.seen.get(asset, [])], default=0)
        forgotten = self.book.forget(asset)[1] == "1"
        held = any(a == asset for a, _ in self.model.held)
        assert forgotten == (not alive and not held and top <= self.model.chain)
        if forgotten and asset in self.model.seen:
            self.model.forgotten = max(self.model.forgotten, top)
            del self.model.seen[asset]

    def step_hold(self):
        asset, holder = self.random.choice(self.assets), self.random.choice(("vault", "sandbox:one"))
        if self.random.random() < 0.5:
            self.model.held.add((asset, holder))
            assert self.book.hold(asset, holder) == self.book.owner(asset)
        else:
            assert self.book.release(asset, holder)[1] == ("1" if (asset, holder) in self.model.held else "0")
            self.model.held.discard((asset, holder))

    def step_reset(self):
        asset = self.random.choice(self.assets)
        self.book.reset(asset)
        self.model.forgotten = max(self.model.forgotten, self.model.chain)
        self.model.seen.pop(asset, None)
        self.model.orphans |= {jti for jti, session in self.model.sessions.items() if session[0] == asset}

    def step_end_all(self):
        asset = self.random.choice(self.assets)
        self.book.end_all(asset, "revoked")
        self.model.sessions = {jti: s for jti, s in self.model.sessions.items() if s[0] != asset}

    def look_at_all(self):
        for jti in self.jtis:
            verdict = self.book.verdict(jti)
            assert verdict == self.model.verdict(jti), jti
            if verdict == "ended":
                self.model.ever_denied.add(jti)
            assert not (verdict == "good" and jti in self.model.ever_denied)
        for child in self.children:
            gone = child in self.model.ended_children or self.model.parent[child] not in self.model.sessions
            of_parent = self.model.verdict(self.model.parent[child])
            assert self.book.verdict(child) == ("ended" if gone else of_parent), child

    def run(self, steps):
        kinds = [self.step_see] * 8 + [self.step_open] * 6 + [self.step_open_child] * 3 + [self.step_end] * 2 + [self.step_end_child] + [self.step_ban, self.step_sweep, self.step_sweep,
                                                                                 self.step_forget, self.step_reset, self.step_end_all,
                                                                                 self.step_hold, self.step_hold]
        for _ in range(steps):
            self.random.choice(kinds)()
            self.look_at_all()


@pytest.mark.parametrize("seed", range(6))
def test_nobody_is_let_in_after_a_no_was_acknowledged(own, seed):
    walk = Walk(fresh(own), seed)
    walk.run(150)
    assert walk.model.ever_denied, "the walk ended sessions"
