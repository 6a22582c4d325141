"""What agents use is limited, over all hosts, and counted by what the providers say of it."""

import json
import signal
import threading
import time
import types

import pytest

from gateway_parts import Container, Gateways
from suite import BIN, Wallet, free_port, wait_until
from vault_parts import own, owner, random_key  # noqa: F401

FULL = {"model": "m-1", "usage": {"prompt_tokens": 12, "completion_tokens": 34}}
OFF = {f"MULTICLAW_GATEWAY_{name}": 0 for name in ("AGENT_REQUESTS_MINUTE", "AGENT_REQUESTS_DAY", "AGENT_TOKENS_MINUTE", "AGENT_TOKENS_DAY", "GLOBAL_REQUESTS_MINUTE",
                                                   "GLOBAL_REQUESTS_DAY", "GLOBAL_TOKENS_MINUTE", "GLOBAL_TOKENS_DAY", "GLOBAL_AGENT_USD", "GLOBAL_ALL_USD",
                                                   "GLOBAL_UNKNOWN_TOKENS")}


class Counted(Gateways):
    """Of openai m-1 costs 100 dollars for a million tokens in and 200 out, m-2 1000 and 10000; anthropic is the same, groq and the others have no prices."""

    def prepare(self):
        super().prepare()
        path = self.state / "providers.json"
        data = json.loads(path.read_text())
        for provider in data["providers"]:
            if provider["name"] in ("openai", "anthropic"):
                provider["prices"] = [{"model": "m-1", "input": 100, "output": 200}, {"model": "m-2", "input": 1000, "output": 10000}]
        path.write_text(json.dumps(data))

    def limited(self, **limits):
        """The gateway, anew, with these limits and no others."""
        self.restart_gateway(**{**OFF, **{f"MULTICLAW_GATEWAY_{name}": n for name, n in limits.items()}})

    def admitted(self, owner):
        """A container of which the gateway is told until it hears it (its peer connects again by itself)."""
        body = self.admission(owner)
        wait_until("it is told", lambda: self.heard(body), 10)
        made = Container(self, body["address"], body["token"])
        made.admission, made.owner = body, owner
        return made

    def heard(self, body, replica=1):
        try:
            return self.peer_of("sandbox", "llm-gateway", replica).call("gateway.admit", 1, **body)
        except AssertionError:
            return None

    def says(self, *pieces, kind="application/json", waits=False):
        self.provider.script, self.provider.waits = (kind, [p if isinstance(p, bytes) else json.dumps(p).encode() for p in pieces]), waits

    def usage(self, owner, wallet=None):
        """{(provider, source, model): {what: n}} of all days, without what is nothing."""
        rows = {}
        for key in self.redis.scan_iter(f"mc:llm:usage:{owner.asset}:{wallet or owner.address}:*"):
            assert 0 < self.redis.pttl(key) <= 35 * 86400 * 1000
            for field, value in self.redis.hgetall(key).items():
                if field != b"#":
                    provider, source, model, what = field.decode().split(" ")
                    rows.setdefault((provider, source, model), {})[what] = int(value)
        return {name: {k: n for k, n in row.items() if n} for name, row in rows.items() if row.get("r")}

    def noted(self, owner, expected):
        until = time.monotonic() + 5
        while (found := self.usage(owner)) != expected and time.monotonic() < until:
            time.sleep(0.01)
        assert found == expected


@pytest.fixture(scope="module")
def world():
    made = Counted(**OFF)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    world.provider.seen.clear()
    world.provider.refuses.clear()
    world.provider.released.clear()
    for key in world.redis.scan_iter("mc:llm:[aks]*"):
        world.redis.delete(key)
    world.says(FULL)
    yield world
    world.provider.released.set()


@pytest.fixture
def keyed(v, owner):
    made = v.admitted(owner)
    v.put(owner.token, "llm", "openai", random_key())
    v.put(owner.token, "llm", "anthropic", random_key())
    return made


@pytest.fixture
def everybodys(v):
    v.operate("global_put", provider="openai", value=random_key().encode())
    v.operate("global_put", provider="gemini", value=random_key().encode())
    yield v
    v.operate("global_delete", provider="openai")
    v.operate("global_delete", provider="gemini")


def ask(container, path="/openai/v1/scripted", body=b"{}", **more):
    """(status, code, seconds to wait)"""
    status, headers, _ = container.ask("POST", path, body, **more)
    return status, headers["X-Multiclaw-Error"], headers["Retry-After"]


def within_a_minute():
    """What follows takes less than a minute's rest."""
    now = time.time() % 60
    if now > 40:
        time.sleep(60.1 - now)


# ---- counted


def test_what_providers_say_is_counted_and_what_they_do_not_is_told_apart(v, keyed):
    events = "text/event-stream"
    assert ask(keyed)[0] == 200
    v.says(b'data: {"model":"m-1","choices":[{"delta":{"con', b'tent":"a"}}]}\n\ndata: {"model":"m-1","usage":{"prompt_tokens":1,"comple', b'tion_tokens":2}}\n\n', kind=events)
    assert ask(keyed)[0] == 200
    v.noted(keyed.owner, {("openai", "user", "m-1"): {"r": 2, "i": 13, "o": 36, "c": 12 * 100 + 34 * 200 + 1 * 100 + 2 * 200}})
    v.says(b'data: {"model":"m-1","choices":[]}\n\ndata: [DONE]\n\n', kind=events)
    answer = keyed.ask("POST", "/openai/v1/scripted", b"x" * 400)
    assert answer[2] == b'data: {"model":"m-1","choices":[]}\n\ndata: [DONE]\n\n', "unchanged"
    guess = 100 * 100 + -(-len(answer[2]) // 4) * 200
    v.noted(keyed.owner, {("openai", "user", "m-1"): {"r": 3, "i": 13, "o": 36, "u": 1, "c": 1300 + 36 * 200 + guess}})
    # what a provider refuses, and what asks for no work, costs nothing
    assert ask(keyed, "/openai/v1/status/500")[0] == 500 and keyed.ask("GET", "/openai/v1/plain")[0] == 200
    v.noted(keyed.owner, {("openai", "user", "m-1"): {"r": 3, "i": 13, "o": 36, "u": 1, "c": 1300 + 36 * 200 + guess}, ("openai", "user", ""): {"r": 2}})
    metrics = v.metrics()
    assert metrics['multiclaw_gateway_tokens_total{provider="openai",source="user",direction="input"}'] >= 13
    assert metrics['multiclaw_gateway_unknown_total{provider="openai",source="user"}'] >= 1


def test_a_models_words_are_not_taken_for_counts(v, keyed):
    v.says({"content": [{"type": "tool_use", "input": {"usage": {"input_tokens": 0, "output_tokens": 0}, "model": "free"}}], "model": "m-2",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 5, "output_tokens": 7}})
    assert ask(keyed, "/anthropic/v1/messages/../x")[0] == 400
    v.provider.released.set()
    keyed.ask("POST", "/openai/v1/scripted", b"{}")
    v.noted(keyed.owner, {("openai", "user", "m-2"): {"r": 1, "i": 10, "o": 7, "c": 10 * 1000 + 7 * 10000}})


def test_a_hostile_answer_is_handed_on_and_counts_as_unknown(v, keyed):
    long = b'data: {"a":"' + b"x" * (2 << 20) + b'","usage":{"prompt_tokens":-1,"completion_tokens":99999999999999999999}}\n\n' + b"[" * 100000
    v.says(long[:1000], long[1000:], kind="text/event-stream")
    before = v.rss()
    assert keyed.ask("POST", "/openai/v1/scripted", b"")[2] == long
    wait_until("it is noted", lambda: v.usage(keyed.owner).get(("openai", "user", ""), {}).get("u") == 1, 5)
    assert v.rss() - before < 8 << 20
    # a key that is sent back as a model's name is covered before it is counted
    key = random_key()
    v.put(keyed.owner.token, "llm", "openai", key)
    v.tell("leave", agent=keyed.admission["agent"], boot_id=keyed.admission["boot_id"])
    v.tell("admit", **keyed.admission)
    v.says({"model": key, "usage": {"prompt_tokens": 1}})
    assert ask(keyed)[0] == 200
    wait_until("it is noted", lambda: sum(row["r"] for row in v.usage(keyed.owner).values()) == 2, 5)
    assert key not in str(v.usage(keyed.owner)) + v.gateway_log()


def test_so_many_models_have_a_name_of_their_own(v, keyed):
    for i in range(20):
        v.says({"model": f"x-{i}", "usage": {"prompt_tokens": 1}})
        assert ask(keyed)[0] == 200
    wait_until("all is noted", lambda: sum(row.get("i", 0) for row in v.usage(keyed.owner).values()) == 20, 5)
    rows = v.usage(keyed.owner)
    assert len(rows) == 17 and rows["openai", "user", "other"]["r"] == 4 and rows["openai", "user", "x-0"] == {"r": 1, "i": 1, "n": 1}


def test_the_next_owner_has_counts_of_his_own(v, keyed):
    assert ask(keyed)[0] == 200
    v.noted(keyed.owner, {("openai", "user", "m-1"): {"r": 1, "i": 12, "o": 34, "c": 8000}})
    buyer, events = Wallet(), lambda: v.metrics()["multiclaw_events_total"]

    def is_quiet():
        before = events()
        time.sleep(0.3)
        return events() == before

    wait_until("the gateway knows of all that was", is_quiet, 5)
    before = events()
    v.transfer(keyed.owner.asset, buyer)
    wait_until("it knows of the sale, at which it ends what is of the asset", lambda: events() > before, 5)
    token = v.token_of(buyer, keyed.owner.asset)
    bought = types.SimpleNamespace(asset=keyed.owner.asset, address=buyer.address, token=token)
    v.put(token, "llm", "openai", random_key())
    container = v.admitted(bought)
    assert ask(container)[0] == 200
    v.noted(bought, {("openai", "user", "m-1"): {"r": 1, "i": 12, "o": 34, "c": 8000}})
    v.noted(keyed.owner, {("openai", "user", "m-1"): {"r": 1, "i": 12, "o": 34, "c": 8000}})


def test_a_stream_that_is_cut_counts_as_far_as_it_was_told(v, keyed):
    v.says(b'data: {"message":{"model":"m-1","usage":{"input_tokens":9,"output_tokens":1}}}\n\n', b"data: {}\n\n", kind="text/event-stream", waits=True)
    connection, response = keyed.begin("POST", "/openai/v1/scripted", b"{}")
    response.readline()
    v.noted(keyed.owner, {("openai", "user", ""): {"r": 1, "u": 1}})
    v.tell("leave", agent=keyed.admission["agent"], boot_id=keyed.admission["boot_id"])
    rows = wait_until("it is noted", lambda: v.usage(keyed.owner).get(("openai", "user", "m-1")), 5)
    assert (v.usage(keyed.owner)["openai", "user", "m-1"] | {"c": 0}) == {"r": 1, "i": 9, "o": 1, "u": 1, "c": 0}, rows


def test_a_gateway_that_is_stopped_leaves_what_it_saw_of_each_request(v, keyed):
    v.says(b'data: {"message":{"model":"m-1","usage":{"input_tokens":9,"output_tokens":1}}}\n\n', b"data: {}\n\n", kind="text/event-stream", waits=True)
    streams = [keyed.begin("POST", "/openai/v1/scripted", b"{}") for _ in range(20)]
    for _, response in streams:
        response.readline()
    v.noted(keyed.owner, {("openai", "user", ""): {"r": 20, "u": 20}})
    v.restart_gateway()
    found = v.usage(keyed.owner)
    assert list(found) == [("openai", "user", "m-1")] and (found["openai", "user", "m-1"] | {"c": 0}) == {"r": 20, "i": 180, "o": 20, "u": 20, "c": 0}
    # without Redis it ends all the same, in time
    v.admitted(keyed.owner).begin("GET", "/openai/v1/endless")
    v.signal("redis", signal.SIGSTOP)
    try:
        begin = time.monotonic()
        v.processes["llm-gateway-1"].terminate()
        assert v.processes["llm-gateway-1"].wait(10) == 0 and time.monotonic() - begin < 4
    finally:
        v.signal("redis", signal.SIGCONT)
    v.launch_gateway()


def test_a_gateway_that_is_killed_leaves_a_request_with_unknown_tokens(v, keyed):
    v.says(b"data: {}\n\n", b"data: {}\n\n", kind="text/event-stream", waits=True)
    connection, response = keyed.begin("POST", "/openai/v1/scripted", b"{}")
    response.readline()
    v.signal("llm-gateway-1", signal.SIGKILL)
    v.processes["llm-gateway-1"].wait()
    v.launch_gateway()
    v.noted(keyed.owner, {("openai", "user", ""): {"r": 1, "u": 1}})
    again = v.admitted(keyed.owner)
    v.says(FULL)
    assert ask(again)[0] == 200
    v.noted(keyed.owner, {("openai", "user", ""): {"r": 1, "u": 1}, ("openai", "user", "m-1"): {"r": 1, "i": 12, "o": 34, "c": 8000}})


# ---- limits


def test_requests_of_a_minute_at_their_edge_over_two_hosts(v, owner):
    v.limited(AGENT_REQUESTS_MINUTE=5)
    port = free_port()
    v.launch("llm-gateway-2", BIN / "multiclaw-llm-gateway", **{**v.of_gateway, **{k: str(n) for k, n in OFF.items()}, "MULTICLAW_REPLICA": "llm-gateway-2",
             "MULTICLAW_GATEWAY_LISTEN": f"0.0.0.0:{port}", "MULTICLAW_GATEWAY_AGENT_REQUESTS_MINUTE": "5"})
    try:
        wait_until("the second is ready", lambda: v.is_ready("llm-gateway-2"), 15)
        v.put(owner.token, "llm", "openai", random_key())
        one = v.admitted(owner)
        wait_until("the second is told", lambda: v.heard(one.admission, 2), 10)
        two = Container(types.SimpleNamespace(port=port), one.address, one.token)
        within_a_minute()
        assert [ask(c)[0] for c in (one, two, two, one, two)] == [200] * 5
        for container in (one, two):
            status, code, after = ask(container)
            assert (status, code) == (429, "limit_agent_requests_minute") and 0 < int(after) <= 60
        assert len(v.provider.seen) == 5
        assert ask(v_container(v, v.new_owner()))[0] == 200, "nobody else is held back"
        # at one time: as many as there may be, and no more
        v.redis.delete(*v.redis.scan_iter("mc:llm:agent:*"))
        within_a_minute()
        outcome = []
        threads = [threading.Thread(target=lambda c=c: outcome.append(ask(c)[0])) for c in [one, two] * 10]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sorted(outcome) == [200] * 5 + [429] * 15
    finally:
        v.processes["llm-gateway-2"].terminate()
        v.processes["llm-gateway-2"].wait()
        v.limited()


def v_container(v, owner):
    v.put(owner.token, "llm", "openai", random_key())
    return v.admitted(owner)


@pytest.mark.parametrize("limit, code", [("AGENT_TOKENS_MINUTE", "limit_agent_tokens_minute"), ("AGENT_TOKENS_DAY", "limit_agent_tokens_day"),
                                         ("AGENT_REQUESTS_DAY", "limit_agent_requests_day")])
def test_other_limits_at_their_edge(v, owner, limit, code):
    """46 tokens each: after two there are 92. One below that, or exactly that, refuses the third; one above does not."""
    edge = 92 if "TOKENS" in limit else 2
    container = None
    for n, third in ((edge, 429), (edge + 1, 200)):
        v.limited(**{limit: n})
        v.redis.delete("x", *v.redis.scan_iter("mc:llm:agent:*"))
        container = v_container(v, owner)
        within_a_minute()
        for i in (1, 2):
            assert ask(container)[0] == 200
            wait_until("it is charged", lambda i=i: charged(v, owner) == 46 * i, 5)
        status, told, after = ask(container)
        assert status == third and told == (code if third == 429 else None)
    v.limited()


def charged(v, owner):
    return int(v.redis.hget(f"mc:llm:agent:{owner.asset}:{owner.address}", "dt") or 0)


def test_by_what_it_is_judged_is_told(v):
    v.limited(AGENT_REQUESTS_DAY=3, GLOBAL_AGENT_USD=2)
    wait_until("it is told", lambda: v.redis.hget("mc:llm:limits", "2") == b"3", 5)
    assert v.redis.hget("mc:llm:limits", "8") == b"2000000"
    v.limited()
    wait_until("it is told", lambda: v.redis.hget("mc:llm:limits", "2") == b"0", 5)


def test_a_refusal_is_the_providers_own_shape(v, keyed):
    v.limited(AGENT_REQUESTS_DAY=1)
    container = v.admitted(keyed.owner)
    v.provider.released.set()
    assert ask(container)[0] == 200
    assert json.loads(container.ask("POST", "/openai/v1/scripted")[2])["error"]["type"] == "rate_limit_error"
    body = json.loads(container.ask("POST", "/anthropic/v1/messages", auth="x-api-key")[2])
    assert body["type"] == "error" and body["error"]["type"] == "rate_limit_error"
    assert v.metrics()['multiclaw_gateway_refusals_total{code="limit_agent_requests_day"}'] == 2
    v.limited()


def test_a_global_key_has_limits_of_its_own(v, owner, everybodys):
    v.limited(GLOBAL_REQUESTS_DAY=2)
    mine, others = v.admitted(owner), v.admitted(v.new_owner())
    assert [ask(c)[0] for c in (mine, others)] == [200, 200]
    assert ask(mine)[:2] == ask(others)[:2] == (429, "limit_key_requests_day")
    v.put(owner.token, "llm", "openai", random_key())
    v.tell("leave", agent=mine.admission["agent"], boot_id=mine.admission["boot_id"])
    assert ask(v.admitted(owner))[0] == 200, "an own key is not held back"
    v.limited()


def test_a_cap_on_what_global_keys_cost(v, owner, everybodys):
    v.limited(GLOBAL_AGENT_USD=1)
    mine = v.admitted(owner)
    v.says({"model": "m-1", "usage": {"prompt_tokens": 9999, "completion_tokens": 0}})
    assert ask(mine)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 999900, 5)
    v.says({"model": "m-1", "usage": {"prompt_tokens": 1, "completion_tokens": 0}})
    assert ask(mine)[0] == 200, "100 are left"
    wait_until("it is spent", lambda: spent(v, owner) == 1000000, 5)
    assert ask(mine)[:2] == (429, "limit_agent_spending_day")
    # one whose price nobody knows is the dearest
    v.redis.delete(*v.redis.scan_iter("mc:llm:spent*"))
    v.says({"model": "m-99", "usage": {"prompt_tokens": 10, "completion_tokens": 10}})
    assert ask(mine)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 110000, 5)
    # and so is what a provider does not say
    v.says(b"data: {}\n\n", kind="text/event-stream")
    assert ask(mine, body=b"x" * 4000)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 110000 + 1000 * 1000 + 3 * 10000, 5)
    assert ask(mine)[:2] == (429, "limit_agent_spending_day")
    assert ask(v.admitted(v.new_owner()))[0] == 200
    # the asset's, whoever owns it: a sale within one day does not begin it anew
    buyer = Wallet()
    v.transfer(owner.asset, buyer)
    bought = types.SimpleNamespace(asset=owner.asset, address=buyer.address, token=v.token_of(buyer, owner.asset))
    assert ask(v.admitted(bought))[:2] == (429, "limit_agent_spending_day")
    v.limited()


def spent(v, owner):
    return int(v.redis.hget(f"mc:llm:spent:{owner.asset}", "c") or 0)


def test_what_an_agent_keeps_the_provider_from_telling_is_not_free(v, owner, everybodys):
    """A stream that does not tell its usage, of a model that thinks long and answers with a word; and one that is hung up on before it answers."""
    v.limited(GLOBAL_AGENT_USD=100, GLOBAL_UNKNOWN_TOKENS=5000)
    mine = v.admitted(owner)
    v.says(b'data: {"model": "m-1", "choices": [{"delta": {"content": "42"}}]}\n\n', kind="text/event-stream")
    assert ask(mine)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 100 + 5000 * 200, 5)
    with mine.connect() as s:
        s.sendall(f"POST /openai/v1/silent HTTP/1.1\r\nHost: 127.0.0.1:{v.port}\r\nAuthorization: Bearer {mine.token}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        wait_until("it is asked", lambda: v.provider.seen[-1]["path"] == "/v1/silent", 5)
    wait_until("it is spent", lambda: spent(v, owner) == 100 + 5000 * 200 + 1000 + 5000 * 10000, 5)
    # what is told is believed, and an own key is not held to it
    v.says({"model": "m-1", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert ask(mine)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 100 + 5000 * 200 + 1000 + 5000 * 10000 + 300, 5)
    v.limited()


def test_a_cap_on_all_agents_and_what_has_no_price(v, owner, everybodys):
    v.limited(GLOBAL_ALL_USD=1)
    mine, others = v.admitted(owner), v.admitted(v.new_owner())
    v.says({"model": "m-2", "usage": {"prompt_tokens": 1000}})
    assert ask(mine)[0] == 200
    wait_until("it is spent", lambda: spent(v, owner) == 1000000, 5)
    assert ask(others)[:2] == (429, "limit_all_spending_day")
    before = len(v.provider.seen)
    assert ask(others, "/gemini/v1/models/x", auth="x-goog-api-key")[:2] == (403, "price_unknown") and len(v.provider.seen) == before
    v.limited()


def test_without_redis_nothing_is_sent(v, keyed):
    """The lease is good for two seconds more; who is to be counted is not served."""
    time.sleep(0.5)  # (the owner's sign-in is an event: it drops the key)
    assert ask(keyed)[0] == 200
    before = len(v.provider.seen)
    v.signal("redis", signal.SIGSTOP)
    try:
        status, code, after = ask(keyed)
        assert (status, code) in ((503, "limits_unavailable"), (503, "service_unavailable")) and after and len(v.provider.seen) == before
    finally:
        v.signal("redis", signal.SIGCONT)
    wait_until("it serves again", lambda: ask(keyed)[0] == 200, 10)


def test_redis_that_goes_while_an_answer_streams_leaves_it_unknown(v, keyed):
    v.says(b"data: {}\n\n", b"data: {}\n\n", kind="text/event-stream", waits=True)
    connection, response = keyed.begin("POST", "/openai/v1/scripted", b"{}")
    response.readline()
    v.signal("redis", signal.SIGSTOP)
    v.provider.released.set()
    response.read()
    time.sleep(1.5)  # longer than it waits for Redis
    v.signal("redis", signal.SIGCONT)
    wait_until("it is counted", lambda: sum(row.get("u", 0) for row in v.usage(keyed.owner).values()) == 1, 5)
    wait_until("it serves again", lambda: ask(keyed)[0] == 200, 10)


def test_the_gateway_may_touch_nothing_else_in_redis(v):
    import redis

    password = (v.state / "keys/redis/llm-gateway.password").read_text().strip()
    mine = redis.Redis(unix_socket_path=str(v.state / "run/redis.sock"), username="llm-gateway", password=password)
    assert mine.hset("mc:llm:test", "a", 1) == 1
    for refused in (("HSET", "mc:owner:x", "owner", "me"), ("HGETALL", "mc:llm:test"), ("DEL", "mc:llm:test"), ("KEYS", "*"), ("SET", "mc:llm:x", "1"), ("HGET", "mc:session:x", "wallet")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            mine.execute_command(*refused)
