"""Keys that work for the agent and never reach it: through the gateway of its host, until the moment somebody else owns it."""

import hashlib
import itertools
import json
import os
import signal
import socket
import threading
import time

import pytest

from gateway_parts import Container, Gateways, agent_id
from parts import Refused
from suite import SANITIZED, Wallet, wait_until
from vault_parts import owner, own, random_key, refusal  # noqa: F401


@pytest.fixture(scope="module")
def world():
    made = Gateways(MULTICLAW_GATEWAY_CONNECTIONS_PER_AGENT=32)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    world.provider.seen.clear()
    world.provider.refuses.clear()
    world.provider.released.clear()
    world.provider.broken.clear()
    yield world
    world.provider.released.set()


@pytest.fixture
def keyed(v, owner):
    """An agent whose owner has a key: .key, .owner."""
    made = v.container(owner)
    made.key, made.owner = random_key("sk-proj-"), owner
    v.put(owner.token, "llm", "openai", made.key)
    return made


def told(answer):
    """(status, code) of a refusal of the gateway's own."""
    status, headers, body = answer
    return status, headers["X-Multiclaw-Error"]


# ---- the way there and back


def test_the_key_arrives_upstream_and_nowhere_else(v, keyed):
    status, headers, body = keyed.ask("POST", "/openai/v1/plain?a=1&b=%20c", json.dumps({"model": "m"}),
                                      headers={"Content-Type": "application/json", "X-Stainless-Lang": "python", "Cookie": "a=b", "Range": "bytes=0-3",
                                               "X-Forwarded-For": "1.2.3.4", "Connection": "keep-alive, x-mine", "X-Mine": "1", "Accept-Encoding": "gzip"})
    assert (status, json.loads(body)) == (200, {"ok": True})
    sent = v.provider.seen[0]
    names = {name.lower() for name in sent["headers"]}
    assert (sent["method"], sent["path"], sent["body"]) == ("POST", "/v1/plain?a=1&b=%20c", b'{"model": "m"}')
    assert sent["headers"]["Authorization"] == f"Bearer {keyed.key}" and sent["headers"]["Accept-Encoding"] == "identity"
    assert names == {"host", "authorization", "content-type", "content-length", "x-stainless-lang", "accept-encoding"}, names
    assert sent["headers"]["Host"] == v.provider.url.removeprefix("https://")
    assert headers["X-Request-Id"] == "req_1" and headers["Content-Type"] == "application/json"
    assert not {"Set-Cookie", "X-Hop", "X-Multiclaw-Key-Source"} & set(headers)
    assert keyed.key not in str(headers) + body.decode() + v.gateway_log() and keyed.token not in v.gateway_log() + str(sent["headers"])


@pytest.mark.parametrize("auth", ["authorization", "x-api-key", "x-goog-api-key"])
def test_each_way_to_show_the_token_is_taken(v, keyed, auth):
    assert keyed.ask("GET", "/openai/v1/models", auth=auth)[0] == 200
    assert v.provider.seen[0]["headers"]["Authorization"] == f"Bearer {keyed.key}"
    assert keyed.token not in str(v.provider.seen[0])


def test_each_provider_gets_its_key_where_it_wants_it(v, keyed):
    for name in ("anthropic", "gemini", "query"):
        v.put(keyed.owner.token, "llm", name, f"key+of/{name}&=")
    v.provider.released.set()
    assert keyed.ask("POST", "/anthropic/v1/messages/batches", b"{}", auth="x-api-key")[0] == 200
    assert keyed.ask("POST", "/gemini/v1/models/g-1:generateContent?key=mine&alt=sse&k%65y=mine&keys=1", b"{}", auth="x-goog-api-key")[0] == 200
    assert keyed.ask("GET", "/query/v1/plain?api_key=mine&a=1")[0] == 200
    anthropic, gemini, query = v.provider.seen
    assert anthropic["headers"]["x-api-key"] == "key+of/anthropic&=" and "authorization" not in anthropic["headers"]
    assert gemini["headers"]["x-goog-api-key"] == "key+of/gemini&=" and gemini["path"] == "/sub/v1/models/g-1:generateContent?alt=sse&keys=1"
    assert query["path"] == "/v1/plain?a=1&api_key=key%2Bof%2Fquery%26%3D" and "authorization" not in query["headers"]


def test_a_stream_begins_before_it_ends(v, keyed):
    v.put(keyed.owner.token, "llm", "anthropic", random_key())
    connection, response = keyed.begin("POST", "/anthropic/v1/messages", b'{"stream":true}', auth="x-api-key")
    first = response.readline() + response.readline()
    assert first.startswith(b"event: message_start") and not v.provider.released.is_set()
    v.provider.released.set()
    rest = response.read()
    assert rest.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n') and rest.count(b"content_block_delta") == 4
    connection.close()
    assert keyed.ask("POST", "/openai/v1/chat/completions", b"{}")[2].endswith(b"data: [DONE]\n\n")


def test_one_connection_serves_one_request_after_the_other(v, keyed):
    connection = keyed.connection()
    for i in range(20):
        body = os.urandom(i * 1000)
        connection.request("POST", "/openai/v1/plain", body, {"Authorization": f"Bearer {keyed.token}"})
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        assert v.provider.seen[-1]["sha256"] == hashlib.sha256(body).hexdigest()
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD"):
        connection.request(method, "/openai/v1/plain", headers={"Authorization": f"Bearer {keyed.token}"})
        response = connection.getresponse()
        assert response.status == 200 and bool(response.read()) == (method != "HEAD") and v.provider.seen[-1]["method"] == method
    for status in (204, 304, 404, 500, 529):
        connection.request("GET", f"/openai/v1/status/{status}", headers={"Authorization": f"Bearer {keyed.token}"})
        response = connection.getresponse()
        assert response.status == status and response.headers["Retry-After"] == "7"
        response.read()
    connection.close()


def test_much_goes_both_ways_in_little_memory(v, keyed):
    keyed.ask("GET", "/openai/v1/plain")
    before, peak = v.rss(), 0
    piece, whole = os.urandom(1 << 16), hashlib.sha256()

    def body():
        nonlocal peak
        for i in range(60 * 16):
            whole.update(piece)
            if i % 64 == 0:
                peak = max(peak, v.rss())
            yield piece

    assert keyed.ask("POST", "/openai/v1/plain", body(), headers={"Content-Length": str(60 << 20)}, timeout=60)[0] == 200
    assert (v.provider.seen[-1]["length"], v.provider.seen[-1]["sha256"]) == (60 << 20, whole.hexdigest())
    whole = hashlib.sha256()
    assert keyed.ask("POST", "/openai/v1/plain", body(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}, timeout=60)[0] == 200
    assert (v.provider.seen[-1]["length"], v.provider.seen[-1]["sha256"]) == (60 << 20, whole.hexdigest())
    connection, response = keyed.begin("GET", "/openai/v1/flood/200", timeout=60)
    got = 0
    while data := response.read(1 << 20):
        got += len(data)
        peak = max(peak, v.rss())
    connection.close()
    assert got == 200 << 20
    print("memory", before >> 10, peak >> 10, "KiB")
    assert SANITIZED or peak - before < 8 << 20


def test_who_reads_slowly_holds_back_the_provider(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/flood/10240")
    response.read(1 << 16)
    time.sleep(0.5)
    held, before = v.provider.sent, v.rss()
    time.sleep(1)
    assert v.provider.sent == held < 64 << 20, "what the kernels hold, and 64 KiB"
    assert SANITIZED or v.rss() - before < 1 << 20
    connection.close()
    response.close()
    assert v.provider.broken.wait(5), "who goes ends it upstream as well"


def test_many_streams_at_one_time(v, owner):
    """Each is a thread of the provider here; what they take of the gateway is measured when all of them have begun."""
    owners = [owner] + [v.new_owner() for _ in range(7)]
    for one in owners:
        v.put(one.token, "llm", "anthropic", random_key())
    containers = [v.container(one) for one in owners]
    before, streams = v.rss(), []
    for container in containers:
        for _ in range(30):
            streams.append(container.begin("POST", "/anthropic/v1/messages", b"{}", auth="x-api-key", timeout=30))
    for _, response in streams:
        assert response.readline().startswith(b"event: message_start")
    each = (v.rss() - before) / len(streams)
    print(f"{len(streams)} streams, {each / 1024:.0f} KiB each")
    assert v.metrics()["multiclaw_gateway_streams"] == len(streams)
    assert SANITIZED or each < 256 << 10
    # one agent's end is nobody else's
    begin = time.monotonic()
    v.tell("leave", agent=containers[0].admission["agent"], boot_id=containers[0].admission["boot_id"])
    for _, response in streams[:30]:
        ended_after(response, begin)
    print(f"30 cut {1000 * (time.monotonic() - begin):.1f} ms after leave")
    v.provider.released.set()
    for connection, response in streams[30:]:
        assert response.read().endswith(b'{"type":"message_stop"}\n\n')
        connection.close()
    wait_until("nothing is under way", lambda: v.metrics()["multiclaw_gateway_streams"] == 0, 5)


# ---- whose key


def test_own_key_then_global_then_none(v, owner):
    container, mine, everybodys = v.container(owner), random_key(), random_key()
    assert told(container.ask("POST", "/openai/v1/plain", b"{}")) == (403, "key_not_available")
    v.operate("global_put", provider="openai", value=everybodys.encode())
    try:
        assert container.ask("POST", "/openai/v1/plain", b"{}")[0] == 200
        v.put(owner.token, "llm", "openai", mine)
        v.tell("leave", agent=container.admission["agent"], boot_id=container.admission["boot_id"])
        v.tell("admit", **container.admission)
        assert container.ask("POST", "/openai/v1/plain", b"{}")[0] == 200
    finally:
        v.operate("global_delete", provider="openai")
    assert [s["headers"]["Authorization"] for s in v.provider.seen] == [f"Bearer {everybodys}", f"Bearer {mine}"]
    entries, _, _ = v.trail(owner.token)
    # what was asked for before an event was heard is asked for again
    assert [source for source, _ in itertools.groupby(e["detail"].split()[0] for e in entries if e["act"] == "use")] == ["global", "user"]


def test_what_others_stored_under_a_global_key_is_out_of_reach(v, owner):
    """Who shares a key would list what others asked, or delete the operators' models. With a key of one's own it is one's own."""
    container = v.container(owner)
    asked = [("GET", "/openai/v1/plain"), ("GET", "/openai/v1/plain/models-of-others"), ("DELETE", "/openai/v1/plain/models/x"), ("PATCH", "/openai/v1/plain"),
             ("PUT", "/openai/v1/plain"), ("POST", "/openai/v1/plain/batches")]
    v.operate("global_put", provider="openai", value=random_key().encode())
    try:
        for method, path in asked:
            assert told(container.ask(method, path)) == (403, "key_shared"), (method, path)
        assert not v.provider.seen
        for method, path in (("POST", "/openai/v1/plain"), ("GET", "/openai/v1/plain/models"), ("GET", "/openai/v1/plain/models/m-1")):
            assert container.ask(method, path)[0] == 200, (method, path)
    finally:
        v.operate("global_delete", provider="openai")
    v.put(owner.token, "llm", "openai", random_key())
    v.tell("leave", agent=container.admission["agent"], boot_id=container.admission["boot_id"])
    v.tell("admit", **container.admission)
    for method, path in asked:
        assert container.ask(method, path)[0] != 403, (method, path)


def test_a_key_that_the_provider_refuses_is_said_to_be_the_users(v, keyed):
    v.operate("global_put", provider="openai", value=random_key().encode())
    try:
        v.provider.refuses.add(keyed.key)
        for _ in range(2):
            status, headers, body = keyed.ask("GET", "/openai/v1/plain")
            assert (status, headers["X-Multiclaw-Key-Source"], json.loads(body)["error"]["code"]) == (401, "user", "invalid_api_key")
        assert {s["headers"]["Authorization"] for s in v.provider.seen} == {f"Bearer {keyed.key}"}, "never the global one"
        better = random_key()
        v.put(keyed.owner.token, "llm", "openai", better)
        assert keyed.ask("GET", "/openai/v1/plain")[0] == 200, "the refused one was dropped"
    finally:
        v.operate("global_delete", provider="openai")


def test_the_vault_is_asked_once_for_many(v, keyed):
    def calls():
        return sum(n for name, n in v.metrics().items() if name.startswith("multiclaw_gateway_vault_calls_total"))

    v.passed("llm-gateway-1")  # the key that was just stored is an event, too
    before, answers = calls(), []
    threads = [threading.Thread(target=lambda: answers.append(keyed.ask("GET", "/openai/v1/plain")[0])) for _ in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert answers == [200] * 20 and calls() == before + 1


def test_a_key_that_would_break_a_header_is_not_used(v, keyed):
    v.put(keyed.owner.token, "llm", "openai", "sk-a b")
    assert told(keyed.ask("GET", "/openai/v1/plain")) == (403, "key_not_usable") and not v.provider.seen


# ---- who may


def test_only_the_agent_of_this_address_with_its_own_token(v, keyed):
    other = v.container(v.new_owner())
    refused = (401, "token_refused")
    assert told(keyed.ask("GET", "/openai/v1/plain", auth=None)) == refused
    for wrong in ("x", keyed.token[:-1], keyed.token + "0", other.token, keyed.token.upper()):
        assert told(Container(v, keyed.address, wrong).ask("GET", "/openai/v1/plain")) == refused, wrong
        assert told(Container(v, keyed.address, wrong).ask("GET", "/groq/v1/plain")) == refused, "nor what is offered"
    assert told(Container(v, other.address, keyed.token).ask("GET", "/openai/v1/plain")) == refused
    assert told(keyed.ask("GET", "/openai/v1/plain", headers={"x-api-key": other.token})) == refused, "two that differ"
    assert keyed.ask("GET", "/openai/v1/plain", headers={"x-api-key": keyed.token})[0] == 200
    with pytest.raises((ConnectionError, OSError)):
        Container(v, "127.0.9.9", keyed.token).ask("GET", "/openai/v1/plain")
    assert len(v.provider.seen) == 1
    status, headers, body = Container(v, keyed.address, "x").ask("GET", "/anthropic/v1/messages", auth="x-api-key")
    assert json.loads(body) == {"type": "error", "error": {"type": "authentication_error", "message": json.loads(body)["error"]["message"],
                                                           "code": "token_refused"}}
    assert json.loads(Container(v, keyed.address, "x").ask("GET", "/gemini/v1/models")[2])["error"]["status"] == "UNAUTHENTICATED"


def test_only_this_hosts_sandbox_says_who_is_here(v, owner):
    body = v.admission(owner)
    assert refusal(v.tell, "admit", role="router", **body)[0] == "denied"
    for wrong in ({"agent": agent_id(v.new_owner().asset)}, {"address": "1.2.3.4.5"}, {"address": "0.0.0.0"}, {"token": "g" * 64}, {"asset": "1" * 40}):
        assert refusal(v.tell, "admit", **{**body, **wrong})[0] == "invalid", wrong
    assert v.tell("leave", agent=body["agent"], boot_id=body["boot_id"]) == {"was_there": False}


def test_admitting_again_changes_nothing_and_another_boot_takes_the_place(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    v.tell("admit", **keyed.admission)
    assert response.readline() and response.readline()
    again = v.admission(keyed.owner, keyed.address)
    v.tell("admit", **again)
    with pytest.raises((ConnectionError, OSError, ValueError, Exception)):
        while response.read(100):
            pass
    assert told(keyed.ask("GET", "/openai/v1/plain")) == (401, "token_refused"), "of the boot before"
    assert v.tell("leave", agent=again["agent"], boot_id=keyed.admission["boot_id"]) == {"was_there": False}
    assert Container(v, keyed.address, again["token"]).ask("GET", "/openai/v1/plain")[0] == 200


# ---- the end of it


def ended_after(response, begin):
    """Seconds from begin to the end of a stream that does not end by itself."""
    try:
        while response.read1(65536):
            pass
    except Exception:
        pass
    return time.monotonic() - begin


def test_a_sale_cuts_the_stream_and_the_next_call_fails(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    event = {}

    def watch():
        last = v.redis.xrevrange("mc:events", count=1)[0][0]
        while not event:
            for _, entries in v.redis.xread({"mc:events": last}, block=5000):
                event.update(at=time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.1)
    buyer = Wallet()
    v.transfer(keyed.owner.asset, buyer)
    ended_after(response, 0)
    cut = time.monotonic()
    thread.join()
    print(f"cut {1000 * (cut - event['at']):.1f} ms after the event was in Redis")
    assert cut - event["at"] < 0.5
    assert v.provider.broken.wait(5)
    begin = time.monotonic()
    status, code = told(keyed.ask("GET", "/openai/v1/plain"))
    print(f"refused after {1000 * (time.monotonic() - begin):.1f} ms: {code}")
    assert status == 403 and [s["path"] for s in v.provider.seen] == ["/v1/endless"]


def test_a_sign_in_cuts_nothing(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    v.token_of(keyed.owner, keyed.owner.asset)
    time.sleep(0.5)
    before = len(v.provider.seen)
    for _ in range(100):
        assert response.readline()
    connection.close()
    assert before == 1


def test_one_that_was_paused_over_the_sale_hands_on_nothing(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.signal("llm-gateway-1", signal.SIGSTOP)
    try:
        paused = time.time()
        v.transfer(keyed.owner.asset, Wallet())
        time.sleep(2.5)
    finally:
        v.signal("llm-gateway-1", signal.SIGCONT)
    rest = b""
    try:
        while data := response.read1(65536):
            rest += data
    except Exception:
        pass
    ticks = [float(tick.split(b"}")[0]) for tick in rest.split(b'"tick":')[1:] if b"}" in tick]
    assert not ticks or max(ticks) < paused + 0.05, (paused, ticks[-3:])


def test_an_end_is_open_at_a_gateway_until_its_streams_are_cut(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.signal("llm-gateway-1", signal.SIGSTOP)
    try:
        ended = v.operator.call("session.revoke", asset=keyed.owner.asset)
        states = v.enforced(ended, 600)["states"]
        assert states.pop("llm-gateway-1") == "open" and set(states.values()) == {"done"}
    finally:
        v.signal("llm-gateway-1", signal.SIGCONT)
    answer = v.enforced(ended, 5000)
    assert answer["done"] and answer["states"]["llm-gateway-1"] == "done" and answer["ms"]["llm-gateway-1"] > 500
    assert ended_after(response, time.monotonic()) < 0.2 and v.provider.broken.wait(1)


def test_a_session_that_ends_cuts_and_the_agent_goes_on(v, keyed):
    """What the gateway reads of an event and what sandbox has told it since are in no order: who may go on the vault says."""
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.session.call("session.end", token=keyed.owner.token, all=True)
    assert ended_after(response, time.monotonic()) < 1
    assert answers(keyed)


def test_a_logout_cuts_nothing_of_the_agent(v, keyed):
    """It ends nobody's ownership: what the agent is doing goes on while its owner leaves a browser."""
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.session.call("session.end", token=keyed.owner.token)
    assert answers(keyed)  # the gateway is past the event, or about to be
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert response.readline(), "it goes on"
    connection.close()


def test_who_waits_for_a_key_while_it_is_sold_gets_none(v, keyed):
    v.signal("secret-vault-1", signal.SIGSTOP)
    outcome = []

    def ask():
        try:
            outcome.append(keyed.ask("GET", "/openai/v1/plain")[0])
        except OSError as e:
            outcome.append(type(e).__name__)

    thread = threading.Thread(target=ask)
    try:
        thread.start()
        time.sleep(0.2)
        v.transfer(keyed.owner.asset, Wallet())
        thread.join(3)
    finally:
        v.signal("secret-vault-1", signal.SIGCONT)
    thread.join()
    assert outcome and outcome != [200] and not v.provider.seen
    assert told(keyed.ask("GET", "/openai/v1/plain"))[0] in (403, 503) and not v.provider.seen


def test_leaving_cuts_at_once(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    begin = time.monotonic()
    assert v.tell("leave", agent=keyed.admission["agent"], boot_id=keyed.admission["boot_id"]) == {"was_there": True}
    took = ended_after(response, begin)
    print(f"cut {1000 * took:.1f} ms after leave")
    assert took < 0.1
    with pytest.raises((ConnectionError, OSError)):
        keyed.ask("GET", "/openai/v1/plain")
    assert v.tell("leave", agent=keyed.admission["agent"], boot_id=keyed.admission["boot_id"]) == {"was_there": False}


# ---- requests that are none


@pytest.mark.parametrize("path, expected", [
    ("/groq/v1/plain", (404, "provider_not_offered")),
    ("/nobody/v1/plain", (404, "provider_not_offered")),
    ("/", (404, "provider_not_offered")),
    ("/openai", (404, "path_not_offered")),
    ("/openai/v2/plain", (404, "path_not_offered")),
    ("/anthropic/v1/messagesx", (404, "path_not_offered")),
    ("/openai/v1/../v2/x", (400, "target_malformed")),
    ("/openai/v1/./x", (400, "target_malformed")),
    ("/openai/v1/x/..", (400, "target_malformed")),
    ("/openai//v1/x", (400, "target_malformed")),
    ("/openai/v1/..;/v2/x", (400, "target_malformed")),
    ("/openai/v1/%2e%2e/x", (400, "target_malformed")),
    ("/openai/v1%2fplain", (400, "target_malformed")),
    ("/openai/v1/%5Cplain", (400, "target_malformed")),
    ("/openai/v1/\\plain", (400, "target_malformed")),
    ("/openai/v1/%00", (400, "target_malformed")),
    ("/openai/v1/%0d%0aX:1", (400, "target_malformed")),
    ("/openai/v1/%252e", (400, "target_malformed")),
    ("/openai/v1/%zz", (400, "target_malformed")),
    ("/openai/v1/%4", (400, "target_malformed")),
    ("/openai/v1/plain#x", (400, "target_malformed")),
    ("/openai/v1/plain?a=%0a", (400, "target_malformed")),
    ("http://openai/v1/plain", (400, "target_malformed")),
    ("openai/v1/plain", (400, "target_malformed")),
])
def test_paths_that_are_not_offered(v, keyed, path, expected):
    answer = keyed.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{v.port}\r\nAuthorization: Bearer {keyed.token}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {expected[0]} ".encode()) and f"X-Multiclaw-Error: {expected[1]}\r\n".encode() in answer, answer
    assert not v.provider.seen


def test_heads_that_are_refused(v, keyed):
    host, auth = f"Host: 127.0.0.1:{v.port}\r\n", f"Authorization: Bearer {keyed.token}\r\n"

    def status(head, body=b""):
        answer = keyed.raw(head.encode("latin-1") + b"\r\n" + body)
        return int(answer.split()[1]) if answer else 0

    line = "POST /openai/v1/plain HTTP/1.1\r\n"
    assert status(line + host + auth + "Content-Length: 2\r\n", b"{}") == 200
    seen = len(v.provider.seen)
    for more in ("Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                 "Content-Length: -1\r\n", "Content-Length: 99999999999999999999999\r\n", "Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked, gzip\r\n",
                 host, "X y: 1\r\n", "X-A: \x01\r\n", "".join(f"X-{i}: 1\r\n" for i in range(120)), f"X-A: {'y' * 40000}\r\n", f"X-A: {'y' * 200000}\r\n"):
        assert status(line + host + auth + more) in (0, 400, 413, 431), more[:40]
    assert status(line + auth) == 400, "no Host"
    assert status(line + "Host: api.openai.com\r\n" + auth) == 400, "another Host"
    assert status("TRACE /openai/v1/plain HTTP/1.1\r\n" + host + auth) == 405
    assert status("OPTIONS /openai/v1/plain HTTP/1.1\r\n" + host + auth) == 405
    assert status(f"CONNECT 127.0.0.1:{v.port} HTTP/1.1\r\n" + host + auth) in (400, 405)
    assert status("GET /openai/v1/plain HTTP/9.9\r\n" + host + auth) in (0, 400, 505)
    assert status("GET /openai/v1/" + "x" * 9000 + " HTTP/1.1\r\n" + host + auth) in (400, 414)
    answer = keyed.raw(b"GET /openai/v1/pl\0ain HTTP/1.1\r\n" + (host + auth).encode() + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"target_malformed" in answer, answer
    assert len(v.provider.seen) == seen
    assert status("GET /openai/v1/plain HTTP/1.0\r\n" + host + auth) == 200


def test_a_client_that_waits_for_a_go_ahead_gets_it_if_it_may(v, keyed):
    head = f"POST /openai/v1/plain HTTP/1.1\r\nHost: 127.0.0.1:{v.port}\r\nContent-Length: 4\r\nExpect: 100-continue\r\nAuthorization: Bearer ".encode()
    with keyed.connect() as s:
        s.sendall(head + keyed.token.encode() + b"\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"body")
        answer = s.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.lower().count(b"\r\ndate:") == 1, answer
    assert v.provider.seen[0]["body"] == b"body" and "expect" not in v.provider.seen[0]["headers"]
    with keyed.connect() as s:
        s.sendall(head + b"x\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_bodies_that_are_too_large(v, keyed):
    status, headers, body = keyed.ask("POST", "/openai/v1/plain", b"", headers={"Content-Length": str((64 << 20) + 1)})
    assert (status, headers["X-Multiclaw-Error"]) == (413, "body_too_large") and not v.provider.seen
    piece = bytes(1 << 20)
    answer = keyed.ask("POST", "/openai/v1/plain", (piece for _ in range(66)), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert told(answer) == (413, "body_too_large")
    assert not v.provider.seen and keyed.ask("GET", "/openai/v1/plain")[0] == 200


def test_one_agent_has_so_many_connections(v, keyed):
    held = [keyed.connect() for _ in range(32)]
    with pytest.raises((ConnectionError, OSError)):
        keyed.ask("GET", "/openai/v1/plain")
    other = v.container(v.new_owner())
    assert other.ask("GET", "/openai/v1/plain")[0] == 403, "nobody else is held back"
    [s.close() for s in held]
    wait_until("there is room again", lambda: answers(keyed), 5)


def answers(container):
    try:
        return container.ask("GET", "/openai/v1/plain")[0] == 200
    except OSError:
        return False


# ---- providers that are none


def test_a_redirect_is_handed_on_and_not_followed(v, keyed):
    status, headers, _ = keyed.ask("GET", "/openai/v1/redirect")
    assert status == 302 and headers["Location"] and len(v.provider.seen) == 1


@pytest.mark.parametrize("path, code", [("/openai/v1/reset", "provider_unreachable"), ("/down/v1/plain", "provider_unreachable"),
                                        ("/stranger/v1/plain", "provider_unreachable"), ("/openai/v1/gzip", "provider_encoded"),
                                        ("/openai/v1/head_bomb", "provider_malformed")])
def test_providers_in_trouble(v, keyed, path, code):
    v.put(keyed.owner.token, "llm", "down", keyed.key)
    v.put(keyed.owner.token, "llm", "stranger", keyed.key)
    assert told(keyed.ask("GET", path)) == (502, code)
    assert "stranger" not in path or not v.provider.seen, "the certificate is of another name"


def test_an_answer_that_breaks_off_breaks_off(v, keyed):
    with pytest.raises(Exception):
        connection, response = keyed.begin("GET", "/openai/v1/break")
        assert response.read() == b""


@pytest.mark.parametrize("how", ["body", "pieces", "header"])
def test_a_key_that_is_sent_back_is_covered(v, keyed, how):
    before = v.metrics()["multiclaw_gateway_redactions_total"]
    status, headers, body = keyed.ask("GET", f"/openai/v1/echo/{how}")
    covered = "*" * len(keyed.key)
    assert status == 200 and keyed.key not in str(headers) + body.decode()
    if how == "header":
        assert headers["X-Echo"] == f"key {covered}!"
    else:
        assert body.decode() == (f"<{covered}>" if how == "pieces" else f'{{"you sent":"{covered}","again":"{covered}{covered}"}}')
    wait_until("it is counted", lambda: v.metrics()["multiclaw_gateway_redactions_total"] == before + (3 if how == "body" else 1), 2)
    assert "the provider sent the key back" in v.gateway_log() and keyed.key not in v.gateway_log()


# ---- alone


def test_without_the_vault_or_a_lease_nothing_is_served(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    time.sleep(0.5)  # (the owner's sign-in is an event as well)
    assert answers(keyed)
    v.stop_vault()
    try:
        assert answers(keyed), "with the key that it has"
        assert told(keyed.ask("GET", "/anthropic/v1/messages", auth="x-api-key")) == (503, "key_store_unavailable")
        assert response.readline(), "a stream goes on"
    finally:
        v.launch_vault()
        v.wait_vault()
    v.signal("redis", signal.SIGSTOP)
    begin = time.monotonic()
    try:
        took = ended_after(response, begin)
        print(f"cut {took:.2f} s after Redis was silent")
        assert took < 2.2
        assert told(keyed.ask("GET", "/openai/v1/plain"))[0] == 503
    finally:
        v.signal("redis", signal.SIGCONT)
    wait_until("it serves again", lambda: answers(keyed), 10)


def test_it_knows_nobody_after_a_restart_until_it_is_told(v, keyed):
    connection, response = keyed.begin("GET", "/openai/v1/endless")
    assert response.readline()
    v.restart_gateway(MULTICLAW_GATEWAY_FIRST_BYTE_S=1, MULTICLAW_GATEWAY_IDLE_S=1, MULTICLAW_GATEWAY_KEY_S=1,
                      MULTICLAW_GATEWAY_ANSWER_MAX_MIB=2)
    try:
        ended_after(response, 0)
        with pytest.raises((ConnectionError, OSError)):
            keyed.ask("GET", "/openai/v1/plain")
        wait_until("it is told", lambda: v.tell("admit", **keyed.admission), 5)
        assert keyed.ask("GET", "/openai/v1/plain")[0] == 200
        # with its short times
        assert told(keyed.ask("GET", "/openai/v1/silent")) == (504, "provider_timeout")
        connection, response = keyed.begin("GET", "/openai/v1/stall")
        assert response.readline() == b"data: 1\n"
        took = ended_after(response, time.monotonic())
        assert 0.5 < took < 3
        connection, response = keyed.begin("GET", "/openai/v1/flood/8")
        with pytest.raises(Exception):
            response.read()
        changed = random_key()
        v.put(keyed.owner.token, "llm", "openai", changed)
        time.sleep(1.1)
        assert keyed.ask("GET", "/openai/v1/plain")[0] == 200 and v.provider.seen[-1]["headers"]["Authorization"] == f"Bearer {changed}"
    finally:
        v.restart_gateway()


def test_of_two_hosts_each_gateway_hears_its_own(own):
    v = own(Gateways)
    v.start()
    other = v.new_key("sandbox2", "sandbox")
    owner = v.new_owner()
    body = v.admission(owner)
    wait_until("the list is read", lambda: refused_as(v, body, "sandbox") == ("denied", "not_this_host"), 5)
    assert refused_as(v, body, "sandbox2") == ("denied", "not_this_host"), "nobody says which it is"
    v.restart_gateway(MULTICLAW_GATEWAY_SANDBOX=other)
    wait_until("it is heard", lambda: refused_as(v, body, "sandbox2") is None, 5)
    assert refused_as(v, body, "sandbox") == ("denied", "not_this_host")


def refused_as(v, body, role):
    """None: it was not."""
    try:
        v.tell("admit", role=role, **body)
    except Refused as e:
        return e.status, e.reason
    except AssertionError:
        return "no answer", ""


def test_it_has_no_privilege(v):
    status = open(f"/proc/{v.processes['llm-gateway-1'].pid}/status").read()
    of = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
    assert (of["NoNewPrivs"], of["Seccomp"]) == ("1", "2") and all(int(of[caps], 16) == 0 for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))


def test_what_is_counted(v, keyed):
    keyed.ask("GET", "/openai/v1/plain")
    names = v.metrics()
    assert names['multiclaw_gateway_requests_total{provider="openai",source="user",class="2xx"}'] >= 1
    assert names['multiclaw_gateway_vault_calls_total{result="user"}'] >= 1 and names["multiclaw_gateway_agents"] >= 1
    assert names['multiclaw_gateway_bytes_total{direction="down"}'] > 0
    wait_until("nothing is under way", lambda: v.metrics()["multiclaw_gateway_streams"] == 0, 5)
