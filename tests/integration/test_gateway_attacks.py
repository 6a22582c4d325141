"""The gateway between a thief in a container and a provider that means it ill. What test_gateway.py has is not repeated."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
import urllib.parse

import pytest

from gateway_parts import Gateways
from hostile_provider import HostileProvider, certificate, expired_certificate, key_of, reset
from suite import SANITIZED, wait_until
from vault_parts import owner, own, random_key  # noqa: F401

SMUGGLED = b"GET /openai/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
HELD = 32  # connections of each agent


class Attacked(Gateways):
    def prepare(self):
        super().prepare()
        folder, own = self.provider.folder, (self.provider.ca, self.provider.folder / "key.pem")
        expired = expired_certificate(folder)
        self.hostile = HostileProvider(*own)
        self.strangers = {
            "expired": HostileProvider(*expired),
            "unknown": HostileProvider(*certificate(folder, "unknown")),
            "tls10": HostileProvider(*own, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1),
            "tls11": HostileProvider(*own, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1),
            "plain": HostileProvider(*own, tls=False),
            "resets": HostileProvider(*own),
        }
        self.strangers["resets"].resets = True
        path = self.state / "providers.json"
        providers = json.loads(path.read_text())
        for name, server in {"hostile": self.hostile, **self.strangers}.items():
            server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            providers["providers"].append({"name": name, "env": [f"{name.upper()}_API_KEY"], "base_url": server.url, "paths": ["/v1/"], "shape": "openai",
                                           "auth": {"header": "authorization", "prefix": "Bearer "}})
        path.write_text(json.dumps(providers))
        trusted = folder / "trusted.pem"
        trusted.write_text(self.provider.ca.read_text() + expired[0].read_text())
        self.of_gateway["MULTICLAW_GATEWAY_CA_FILE"] = str(trusted)

    def stop(self):
        super().stop()
        for server in [self.hostile, *self.strangers.values()]:
            server.close()


@pytest.fixture(scope="module")
def world():
    made = Attacked(MULTICLAW_GATEWAY_CONNECTIONS_PER_AGENT=HELD, MULTICLAW_GATEWAY_CONNECT_S=1, MULTICLAW_GATEWAY_FIRST_BYTE_S=2, MULTICLAW_GATEWAY_IDLE_S=2,
                    MULTICLAW_GATEWAY_CLIENT_IDLE_S=2, MULTICLAW_GATEWAY_ANSWER_MAX_MIB=8, MULTICLAW_GATEWAY_BODY_MAX_MIB=8)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    world.provider.seen.clear()
    world.provider.released.clear()
    world.provider.broken.clear()
    world.hostile.heads.clear()
    world.hostile.ended.clear()
    yield world
    world.provider.released.set()
    assert world.processes["llm-gateway-1"].poll() is None, world.log("llm-gateway-1", 40)


@pytest.fixture
def thief(v, owner):
    """A container whose owner has keys: .key of the provider that means well, .hostile of the other."""
    made = v.container(owner)
    made.owner, made.key, made.hostile = owner, random_key("sk-proj-"), random_key("sk-/+")
    v.put(owner.token, "llm", "openai", made.key)
    v.put(owner.token, "llm", "hostile", made.hostile)
    return made


def told(answer):
    status, headers, body = answer
    return status, headers["X-Multiclaw-Error"]


def works(container, method="GET"):
    with contextlib.suppress(OSError):
        return container.ask(method, "/openai/v1/plain")[0] == 200


def converse(container, data, seconds=1.0):
    """Everything that is answered to these bytes until it is closed, or silent for so long."""
    answer = b""
    with container.connect(seconds) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
        with contextlib.suppress(OSError):
            while piece := s.recv(65536):
                answer += piece
    return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def head(v, container, line="POST /openai/v1/plain HTTP/1.1", more=b""):
    return f"{line}\r\nHost: 127.0.0.1:{v.port}\r\nAuthorization: Bearer {container.token}\r\n".encode() + more


# ---- the thief: one request is one request


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("name, more, body", [
    ("CL.TE", b"Content-Length: 4\r\n" + CHUNKED + b"\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE.CL", CHUNKED + b"Content-Length: 4\r\n\r\n", b"2e\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    ("TE twice", CHUNKED + CHUNKED + b"\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE of two", b"Transfer-Encoding: chunked, identity\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE hidden", b"Transfer-Encoding: xchunked\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE quoted", b'Transfer-Encoding: "chunked"\r\n\r\n', b"0\r\n\r\n" + SMUGGLED),
    ("TE with a space before the colon", b"Transfer-Encoding : chunked\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE folded", b"Transfer-Encoding:\r\n chunked\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE in a fold", b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("TE behind a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n\r\n", b"0\r\n\r\n" + SMUGGLED),
    ("CL folded", b"Content-Length:\r\n 5\r\n\r\n", b"hello" + SMUGGLED),
    ("CL of two", b"Content-Length: 0, 46\r\n\r\n", SMUGGLED),
    ("CL signed", b"Content-Length: +46\r\n\r\n", SMUGGLED),
    ("CL in hex", b"Content-Length: 0x2e\r\n\r\n", SMUGGLED),
    ("CL empty", b"Content-Length: \r\n\r\n", SMUGGLED),
    ("CL with a space in it", b"Content-Length: 4 6\r\n\r\n", SMUGGLED),
    ("lines that end with LF", b"Content-Length: 0\n\n", SMUGGLED),
    ("a line that ends with CR", b"X-A: 1\rContent-Length: 46\r\n\r\n", SMUGGLED),
    ("a field without a colon", b"X-A\r\n\r\n", SMUGGLED),
    ("a field without a name", b": 1\r\n\r\n", SMUGGLED),
    ("a chunk's size with a sign", CHUNKED + b"\r\n", b"+2e\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    ("a chunk's size as 0x", CHUNKED + b"\r\n", b"0x2e\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    ("a chunk's size too large", CHUNKED + b"\r\n", b"10000000000000000\r\n" + SMUGGLED),
    ("a chunk's size below zero", CHUNKED + b"\r\n", b"-1\r\n" + SMUGGLED),
    ("a chunk that is longer than it said", CHUNKED + b"\r\n", b"1\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
    ("a chunk's size that ends with LF", CHUNKED + b"\r\n", b"1\na\r\n0\r\n\r\n" + SMUGGLED),
    ("an extension with LF", CHUNKED + b"\r\n", b"1;a=\n" + SMUGGLED + b"\r\na\r\n0\r\n\r\n"),
    ("a trailer", CHUNKED + b"\r\n", b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\nContent-Length: 46\r\nX-Api-Key: k\r\n\r\n" + SMUGGLED),
    ("HTTP/1.0 with chunks", None, b"0\r\n\r\n" + SMUGGLED),
    ("no token for the second", b"Content-Length: 0\r\n\r\n", SMUGGLED),
], ids=lambda value: value if isinstance(value, str) else "")
def test_no_request_hides_in_another(v, thief, name, more, body):
    request = head(v, thief, more=more) if more else head(v, thief, "POST /openai/v1/plain HTTP/1.0", CHUNKED + b"\r\n")
    answer = converse(thief, request + body)
    print(name, statuses(answer), [(s["path"], s["length"], s["body"]) for s in v.provider.seen])
    assert all(s["path"] == "/v1/plain" for s in v.provider.seen) and len(v.provider.seen) <= 1
    assert statuses(answer).count(200) <= len(v.provider.seen)
    # what arrived is what was said, and has one frame
    for sent in v.provider.seen:
        names = [field.lower() for field in sent["headers"].keys()]
        assert names.count("content-length") + names.count("transfer-encoding") <= 1 and "x-api-key" not in names and thief.token not in str(sent["headers"])
        assert len(sent["headers"].get_all("Authorization")) == 1
    # and nobody else gets an answer of it
    assert works(thief) and v.provider.seen[-1]["path"] == "/v1/plain"


def test_requests_in_one_piece_are_answered_in_turn(v, thief):
    def one(path, token):
        return f"GET /openai/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1:{v.port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    answer = converse(thief, one("status/404", thief.token) + one("status/500", thief.token) + one("b", "x" * 64) + one("c", thief.token))
    assert statuses(answer) == [404, 500, 401], "a refusal of its head ends a connection"
    assert [s["path"] for s in v.provider.seen] == ["/v1/status/404", "/v1/status/500"]
    assert statuses(converse(thief, one("a", thief.token) * 50, 5)) == [200] * 50 and len(v.provider.seen) == 52


@pytest.mark.parametrize("host", ["{address}", "{address}:80", "{address}:{port}0", "{address}:0{port}", "{address}.:{port}", "{address}:{port}@evil.example",
                                  "evil.example@{address}:{port}", "{address}:{port},evil.example", "{address}:{port} evil.example", "127.1:{port}",
                                  "2130706433:{port}", "[::ffff:127.0.0.1]:{port}", "localhost:{port}", "", "{address}:{port}/", "{address}:{port}#"])
def test_other_names_of_the_host_are_refused(v, thief, host):
    host = host.format(address="127.0.0.1", port=v.port)
    answer = thief.raw(f"GET /openai/v1/plain HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {thief.token}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ") and b"X-Multiclaw-Error: host_unknown" in answer, answer
    assert not v.provider.seen


@pytest.mark.parametrize("data", [b"GET /openai/v1/plain\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
                                  b"\0" * 1000, b"\r\n" * 5000, b"GET", b"G" * 70000, b"GET  /openai/v1/plain  HTTP/1.1\r\n\r\n", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET\t/openai/v1/plain\tHTTP/1.1\r\n\r\n", b"X" * 5000 + b" /openai/v1/plain HTTP/1.1\r\n\r\n"],
                         ids=range(11))
def test_what_is_no_request(v, thief, data):
    answer = converse(thief, data, 3.5)
    assert 200 not in statuses(answer) and not v.provider.seen
    assert works(thief)


# ---- the thief: much, and slowly


def test_heads_that_never_end_end(v, thief):
    before, held = v.rss(), [thief.connect() for _ in range(HELD)]
    for s in held:
        s.sendall(head(v, thief) + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 500) for i in range(60)))
    other = v.container(v.new_owner())
    assert other.ask("GET", "/openai/v1/plain")[0] == 403, "nobody else is held back"
    grown = v.rss() - before
    print(f"{HELD} heads of 30 KiB: {grown >> 10} KiB")
    assert SANITIZED or grown < HELD * (96 << 10) + (2 << 20)
    # silence ends them
    wait_until("there is room again", lambda: works(thief), 8)
    for s in held:
        s.settimeout(3)
        with contextlib.suppress(OSError):
            while s.recv(4096):
                pass
        s.close()
    assert not [sent for sent in v.provider.seen if sent["path"] != "/v1/plain"]


def test_a_body_that_stops_halfway_is_no_request_upstream(v, thief):
    with thief.connect() as s:
        s.sendall(head(v, thief, more=b"Content-Length: 100\r\n\r\n") + b"half")
        time.sleep(0.3)
    assert v.provider.broken.wait(5), "the request upstream ends with it"
    assert not v.provider.seen
    # nor one whose sender goes silent
    v.provider.broken.clear()
    began = time.monotonic()
    with thief.connect(10) as s:
        s.sendall(head(v, thief, more=CHUNKED + b"\r\n") + b"4\r\nhalf\r\n")
        with contextlib.suppress(OSError):
            while s.recv(4096):
                pass
    assert time.monotonic() - began < 6 and v.provider.broken.wait(5) and not v.provider.seen


def test_many_small_chunks_arrive_as_one_body(v, thief):
    data = b"".join(b"1;extension=%d\r\nx\r\n" % i for i in range(20000)) + b"0\r\n\r\n"
    answer = thief.raw(head(v, thief, more=CHUNKED + b"\r\n") + data, 20)
    assert answer.startswith(b"HTTP/1.1 200 ") and v.provider.seen[0]["length"] == 20000


def test_who_reads_nothing_costs_little(v, thief):
    before, streams = v.rss(), []
    for _ in range(HELD):
        s = thief.connect()
        s.sendall(head(v, thief, "GET /openai/v1/flood/6 HTTP/1.1") + b"\r\n")
        streams.append(s)
    wait_until("all have begun", lambda: v.metrics()["multiclaw_gateway_streams"] == HELD, 10)
    time.sleep(1)
    each = (v.rss() - before) / HELD
    print(f"{HELD} that read nothing: {each / 1024:.0f} KiB each")
    assert SANITIZED or each < 512 << 10
    # they are not waited for: CLIENT_IDLE_S
    wait_until("they are closed", lambda: v.metrics()["multiclaw_gateway_streams"] == 0, 10)
    [s.close() for s in streams]
    assert works(thief)


def test_thousands_of_connections_of_one_container(v, thief):
    other = v.container(v.new_owner())
    opened = []
    for _ in range(3000):
        with contextlib.suppress(OSError):
            s = socket.socket()
            s.settimeout(1)
            s.bind((thief.address, 0))
            s.connect(("127.0.0.1", v.port))
            opened.append(s)
    began = time.monotonic()
    assert other.ask("GET", "/openai/v1/plain")[0] == 403
    assert time.monotonic() - began < 2, "nobody else waits"
    fds = len(os.listdir(f"/proc/{v.processes['llm-gateway-1'].pid}/fd"))
    print(f"{len(opened)} opened, {fds} descriptors")
    assert fds < HELD + 200
    [s.close() for s in opened]
    wait_until("there is room again", lambda: works(thief), 5)


# ---- the thief: after its time, and in another's place


def test_a_kept_connection_is_of_no_use_after_leaving(v, thief):
    connection = thief.connection()
    authorization = {"Authorization": f"Bearer {thief.token}"}
    connection.request("GET", "/openai/v1/plain", headers=authorization)
    assert connection.getresponse().read()
    v.tell("leave", agent=thief.admission["agent"], boot_id=thief.admission["boot_id"])
    with contextlib.suppress(OSError):
        connection.request("GET", "/openai/v1/plain", headers=authorization)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["X-Multiclaw-Error"]) == (401, "token_refused")
        answer.read()
    assert len(v.provider.seen) == 1


def test_who_gets_an_address_gets_nothing_of_who_had_it(v, thief):
    """A connection that the one before left open is not the next one's to be asked through."""
    kept = thief.connection()
    kept.request("GET", "/openai/v1/plain", headers={"Authorization": f"Bearer {thief.token}"})
    assert kept.getresponse().read()
    half = thief.connect()
    half.sendall(head(v, thief))  # (its head is not whole yet)
    next_owner = v.new_owner()
    v.put(next_owner.token, "llm", "openai", key := random_key())
    v.tell("leave", agent=thief.admission["agent"], boot_id=thief.admission["boot_id"])
    other = v.container(next_owner, thief.address)
    with contextlib.suppress(OSError):
        half.sendall(b"Content-Length: 0\r\n\r\n")
        assert 200 not in statuses(half.recv(65536))
    with contextlib.suppress(OSError):
        kept.request("GET", "/openai/v1/plain", headers={"Authorization": f"Bearer {thief.token}"})
        assert kept.getresponse().status == 401
    assert other.ask("GET", "/openai/v1/plain")[0] == 200
    assert [s["headers"]["Authorization"] for s in v.provider.seen] == [f"Bearer {thief.key}", f"Bearer {key}"]
    half.close()


def test_many_agents_wait_for_one_key_and_the_vault_is_silent(v):
    owners = [v.new_owner() for _ in range(12)]
    containers = [v.container(each) for each in owners]
    v.operate("global_put", provider="openai", value=random_key().encode())
    answers, before = [], v.rss()

    def ask(container):
        try:
            answers.append(container.ask("POST", "/openai/v1/plain", b"{}", timeout=20)[0])
        except OSError as e:
            answers.append(type(e).__name__)

    threads = [threading.Thread(target=ask, args=(container,)) for container in containers for _ in range(10)]
    v.signal("secret-vault-1", signal.SIGSTOP)
    try:
        began = time.monotonic()
        [t.start() for t in threads]
        wait_until("all wait", lambda: v.metrics()["multiclaw_gateway_streams"] == len(threads), 4)
        assert SANITIZED or (v.rss() - before) / len(threads) < 128 << 10
        [t.join() for t in threads]
        assert set(answers) == {503} and time.monotonic() - began < 10 and not v.provider.seen
    finally:
        v.signal("secret-vault-1", signal.SIGCONT)
    answers.clear()
    wait_until("the vault answers", lambda: works(containers[0], "POST"), 15)
    calls = sum(n for name, n in v.metrics().items() if name.startswith("multiclaw_gateway_vault_calls_total"))
    threads = [threading.Thread(target=ask, args=(container,)) for container in containers for _ in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    v.operate("global_delete", provider="openai")
    assert answers == [200] * len(threads)
    again = sum(n for name, n in v.metrics().items() if name.startswith("multiclaw_gateway_vault_calls_total")) - calls
    assert again <= 2 * len(containers), "once for each agent, not for each request"


# ---- the provider: who it is


@pytest.mark.parametrize("name", ["expired", "unknown", "tls10", "tls11", "plain"])
def test_a_provider_that_cannot_show_who_it_is_gets_nothing(v, thief, name):
    v.put(thief.owner.token, "llm", name, random_key())
    status, code = told(thief.ask("GET", f"/{name}/v1/x"))
    assert (status, code) in ((502, "provider_unreachable"), (504, "provider_timeout")), (status, code)
    assert v.strangers[name].connections and not v.strangers[name].heads, "it was asked for its name, and told nothing"


def test_who_listens_and_says_nothing(v, thief):
    began = time.monotonic()
    v.hostile.plan = lambda connection, _: time.sleep(5)
    assert told(thief.ask("GET", "/hostile/v1/x")) == (504, "provider_timeout") and time.monotonic() - began < 4


# ---- the provider: answers that are none

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("name, data, code", [
    ("HTTP/0.9", b"<html>just this</html>", "provider_unreachable"),
    ("nothing", b"", "provider_unreachable"),
    ("half a line", b"HTTP/1.1 200", "provider_unreachable"),
    ("half a head", OK + b"Content-Type: text/plain\r\n", "provider_unreachable"),
    ("a line without a colon", OK + b"what\r\nContent-Length: 2\r\n\r\n{}", None),
    ("a folded field", OK + b"X-A: 1\r\n more\r\nContent-Length: 2\r\n\r\n{}", "provider_malformed"),
    ("a NUL", OK + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}", None),
    ("status 99", b"HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\n{}", None),
    ("status 999", b"HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\n{}", "provider_malformed"),
    ("another protocol", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + b"z" * 200000, None),
    ("103 without end", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5000, "provider_malformed"),
    ("a head of 100 KiB", OK + b"X-A: " + b"y" * 100000 + b"\r\n\r\n", "provider_malformed"),
    ("lengths that differ", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "provider_malformed"),
    ("a length and chunks", OK + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", "provider_malformed"),
    ("a length below zero", OK + b"Content-Length: -2\r\n\r\n{}", None),
    ("a length that is none", OK + b"Content-Length: two\r\n\r\n{}", None),
    ("gzip on the way", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "provider_encoded"),
    ("brotli", OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", "provider_encoded"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_answers_that_are_none(v, thief, name, data, code):
    v.hostile.answers(data)
    began = time.monotonic()
    answer = told(thief.ask("GET", "/hostile/v1/x", timeout=8))
    print(name, answer, f"{time.monotonic() - began:.1f} s")
    assert answer[0] in (502, 504) and (code is None or answer[1] == code), answer
    assert time.monotonic() - began < 5
    v.hostile.answers(OK + b"Content-Length: 2\r\n\r\n{}")
    assert thief.ask("GET", "/hostile/v1/x")[2] == b"{}"


@pytest.mark.parametrize("name, data", [
    ("fewer bytes than said", OK + b"Content-Length: 9\r\n\r\n{}"),
    ("a chunk that is not whole", OK + CHUNKED + b"\r\n9\r\n{}"),
    ("a chunk's size that is none", OK + CHUNKED + b"\r\n2\r\n{}\r\nzz\r\n"),
    ("a chunk's size too large", OK + CHUNKED + b"\r\n2\r\n{}\r\nffffffffffffffffff\r\n"),
    ("no last chunk", OK + CHUNKED + b"\r\n2\r\n{}\r\n"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_answers_that_break_off_do_not_end(v, thief, name, data):
    v.hostile.answers(data)
    answer = converse(thief, head(v, thief, "GET /hostile/v1/x HTTP/1.1") + b"\r\n", 4)
    assert answer.startswith(OK[:13]) and not answer.endswith(b"0\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", answer)
    assert not length or int(length[1]) > len(answer.split(b"\r\n\r\n", 1)[1])


def test_an_answer_until_the_end_of_the_connection(v, thief):
    def plan(connection, _):
        connection.sendall(OK + b"\r\nthe whole of it")
        connection.unwrap()

    v.hostile.plan = plan
    answer = converse(thief, head(v, thief, "GET /hostile/v1/x HTTP/1.1") + b"\r\n", 4)
    assert b"the whole of it" in answer and answer.endswith(b"0\r\n\r\n")


def test_what_a_provider_says_unasked_is_nobodys_answer(v, thief):
    poison = OK + b"Content-Length: 6\r\n\r\npoison"
    v.hostile.answers(OK + b"Content-Length: 2\r\n\r\n{}" + poison, then=True)
    assert [thief.ask("GET", f"/hostile/v1/{i}")[2] for i in range(3)] == [b"{}"] * 3

    def later(connection, _):
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
        time.sleep(0.2)
        connection.sendall(poison)
        return True

    v.hostile.plan = later
    for i in range(3):
        assert thief.ask("GET", f"/hostile/v1/{i}")[2] == b"{}"
        time.sleep(0.4)
    assert len(v.hostile.heads) == 6, "each was asked once"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_wherever_they_lead(v, thief, status):
    elsewhere = v.strangers["unknown"]
    before = elsewhere.connections
    for location in (elsewhere.url, v.provider.url + "/v1/plain", v.hostile.url + "/v1/again", f"http://127.0.0.1:{v.port}/openai/v1/plain", "file:///etc/passwd"):
        v.hostile.answers(b"HTTP/1.1 %d Go\r\nLocation: %s\r\nRefresh: 0;url=%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, location.encode(), location.encode()))
        v.hostile.heads.clear()
        got, headers, _ = thief.ask("POST", "/hostile/v1/x", b"")
        assert (got, headers["Location"], len(v.hostile.heads)) == (status, location, 1)
    assert elsewhere.connections == before and not v.provider.seen


def test_interim_answers_are_not_handed_on(v, thief):
    v.hostile.answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Early: 1\r\nSet-Cookie: a=b\r\n\r\n" + OK + b"Content-Length: 2\r\nX-Late: 1\r\n\r\n{}")
    answer = converse(thief, head(v, thief, "GET /hostile/v1/x HTTP/1.1") + b"\r\n")
    assert statuses(answer) == [200] and b"X-Late: 1" in answer and b"Early" not in answer and b"Cookie" not in answer, answer


def test_of_an_answers_head_only_what_is_the_clients(v, thief):
    v.hostile.answers(OK + b"Content-Length: 2\r\nSet-Cookie: a=b\r\nset-cookie2: c\r\nAlt-Svc: h3=\":443\"\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n"
                      b"Trailer: X-T\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nX-Multiclaw-Error: token_refused\r\nX-Multiclaw-Key-Source: global\r\n"
                      b"X-Request-Id: r\r\n\r\n{}")
    status, headers, body = thief.ask("GET", "/hostile/v1/x")
    assert (status, body, headers["X-Request-Id"]) == (200, b"{}", "r")
    assert {name.lower() for name in headers} <= {"x-request-id", "content-length", "date", "connection"}, headers


def test_ten_gigabytes_are_not_taken(v, thief):
    sent = 0

    def plan(connection, _):
        nonlocal sent
        connection.sendall(OK + b"Content-Length: 10737418240\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))
            sent += 65536

    v.hostile.plan = plan
    before = v.rss()
    connection, response = thief.begin("GET", "/hostile/v1/x")
    got = 0
    with contextlib.suppress(OSError, Exception):
        while piece := response.read1(65536):
            got += len(piece)
    assert 7 << 20 < got <= 8 << 20 and v.hostile.ended.wait(5) and sent < 32 << 20
    assert SANITIZED or v.rss() - before < 4 << 20
    connection.close()


def test_an_answer_before_the_request_is_whole(v, thief):
    def plan(connection, _):
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    v.hostile.plan = plan
    got = thief.ask("POST", "/hostile/v1/x", bytes(4 << 20), headers={"Content-Length": str(4 << 20)})
    assert got[0] in (413, 502), got

    # one that answers much, and takes nothing: neither side can go on
    def stuck(connection, _):
        connection.sendall(OK + CHUNKED + b"\r\n")
        with contextlib.suppress(OSError):
            for _ in range(64):
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        time.sleep(20)

    v.hostile.plan = stuck
    began = time.monotonic()
    converse(thief, head(v, thief, "POST /hostile/v1/x HTTP/1.1", b"Content-Length: 8388608\r\n\r\n") + bytes(8 << 20), 15)
    wait_until("nothing is under way", lambda: v.metrics()["multiclaw_gateway_streams"] == 0, 10)
    print(f"ended after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("when", ["handshake", "head", "body"])
def test_resets(v, thief, when):
    def plan(connection, _):
        if when == "body":
            connection.sendall(OK + CHUNKED + b"\r\n2\r\n{}\r\n")
            time.sleep(0.2)
        reset(connection)

    v.hostile.plan = plan
    if when == "body":
        answer = converse(thief, head(v, thief, "GET /hostile/v1/x HTTP/1.1") + b"\r\n", 4)
        assert answer.startswith(OK[:13]) and not answer.endswith(b"0\r\n\r\n")
    else:
        name = "hostile" if when == "head" else "resets"
        v.put(thief.owner.token, "llm", "resets", random_key())
        assert told(thief.ask("GET", f"/{name}/v1/x")) == (502, "provider_unreachable")


# ---- the provider: it sends the key back


def forms_of(key):
    yield "as it is", key
    for before in ("", "x", "xx", "Bearer ", "user:"):
        yield f"base64 behind {before!r}", base64.b64encode((before + key).encode()).decode()
        yield f"url-safe base64 behind {before!r}", base64.urlsafe_b64encode((before + key + "~").encode()).decode()
    yield "hex", key.encode().hex()
    yield "HEX", key.encode().hex().upper()
    yield "percent", urllib.parse.quote(key, safe="")
    yield "json", json.dumps(key)
    yield "json of others", json.dumps(key).replace("/", "\\/")


def reveals(text, key):
    """Does it hold the key, in whatever form? A base64 of it may show what it shares bits with: its first and last two bytes."""
    core = key[2:-3]
    found = core in text or core in urllib.parse.unquote(text) or core in text.replace("\\/", "/")
    for word in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
        for cut in range(4):
            part = word[cut:]
            part = part[: len(part) // 4 * 4].replace("-", "+").replace("_", "/")
            found |= core.encode() in base64.b64decode(part)
        with contextlib.suppress(ValueError):
            found |= core.encode() in bytes.fromhex(word)
    return found


@pytest.mark.parametrize("where", ["a body", "chunks", "a header", "a field's name", "a trailer", "an extension", "the reason"])
def test_a_key_comes_back_in_no_form(v, thief, where):
    for name, form in forms_of(thief.hostile):
        assert reveals(form, thief.hostile), "the test sees it"
        text = f"<{form}>".encode()

        def plan(connection, request):
            assert key_of(request) == thief.hostile.encode()
            if where == "a body":
                connection.sendall(OK + b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
            elif where == "chunks":
                connection.sendall(OK + CHUNKED + b"\r\n")
                for i in range(0, len(text), 7):
                    connection.sendall(b"%x\r\n%s\r\n" % (len(text[i:i + 7]), text[i:i + 7]))
                    time.sleep(0.001)
                connection.sendall(b"0\r\n\r\n")
            elif where == "a header":
                connection.sendall(OK + b"Content-Length: 2\r\nX-A: %s\r\nLocation: https://x/?k=%s\r\n\r\n{}" % (text, text))
            elif where == "a field's name":
                connection.sendall(OK + b"Content-Length: 2\r\nX-%s: 1\r\n\r\n{}" % text.strip(b'<>"'))
            elif where == "a trailer":
                connection.sendall(OK + CHUNKED + b"Trailer: X-T\r\n\r\n2\r\n{}\r\n0\r\nX-T: %s\r\n\r\n" % text)
            elif where == "an extension":
                connection.sendall(OK + CHUNKED + b"\r\n2;x=%s\r\n{}\r\n0\r\n\r\n" % text)
            else:
                connection.sendall(b"HTTP/1.1 200 %s\r\nContent-Length: 2\r\n\r\n{}" % text)

        v.hostile.plan = plan
        answer = converse(thief, head(v, thief, "GET /hostile/v1/x HTTP/1.1", b"Connection: close\r\n\r\n"), 4)
        assert statuses(answer) == [200], (name, answer)
        payload = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", answer) if where == "chunks" else answer
        assert not reveals(payload.decode("latin-1"), thief.hostile), (name, answer)
        if where in ("a body", "a header"):
            assert b"*" * 20 in answer, (name, answer)
    assert not reveals(v.gateway_log(), thief.hostile) and not reveals(v.gateway_log(), thief.key)


def test_a_key_in_a_refusal_is_covered_and_the_refusal_is_the_users(v, thief):
    body = f'{{"error":{{"message":"Incorrect API key provided: {thief.hostile}. See https://x."}}}}'.encode()
    v.hostile.answers(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error=\"%s\"\r\nContent-Length: %d\r\n\r\n%s" % (thief.hostile.encode(), len(body), body))
    status, headers, got = thief.ask("GET", "/hostile/v1/x")
    assert (status, headers["X-Multiclaw-Key-Source"]) == (401, "user") and thief.hostile not in str(headers) + got.decode()
    assert got.decode() == body.decode().replace(thief.hostile, "*" * len(thief.hostile))
