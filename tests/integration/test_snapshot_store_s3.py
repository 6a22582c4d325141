"""snapshot-store and object storage: a real one (OpenStack Swift, which checks signatures and checksums), and what goes wrong on the way to it."""

import os
import pathlib
import shutil
import ssl
import subprocess
import threading
import time

import pytest

from store_parts import (
    DAMAGED, DENIED, FULL, MIB, NOT_FOUND, OTHER_AGENT, TOO_LARGE, UNAVAILABLE, Failed, FaultyProxy, S3Server, Store, answer, digest_of, drain, feed,
    key_of,
)  # fmt: skip
from suite import wait_until

PART = 16 * MIB


@pytest.fixture(scope="module")
def s3():
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def way(s3):
    """A store whose way to the storage is a proxy: (store, client, proxy), without faults until the test sets some."""
    with FaultyProxy(s3.port) as proxy, Store(**s3.settings(proxy.url, MULTICLAW_STORE_S3_TRIES=3, MULTICLAW_STORE_S3_STALL_S=2)) as store:
        yield store, store.client(), proxy


@pytest.fixture
def client(way, s3):
    _, client, proxy = way
    proxy.faults, proxy.always, proxy.seen = [], None, []
    yield client
    proxy.faults, proxy.always = [], None
    for key in s3.keys():
        s3.request("DELETE", f"/{s3.BUCKET}/{key}")


@pytest.fixture
def proxy(way):
    return way[2]


def refused(failure, call, *arguments, **more):
    with pytest.raises(Failed) as why:
        call(*arguments, **more)
    assert why.value.failure == failure, why.value
    return why.value.text


# ---- the storage itself


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_objects_are_under_their_keys_in_both_styles(s3, style):
    with Store(**s3.settings(style=style)) as store:
        client, data = store.client(), os.urandom(PART + 5 * MIB)
        client.put(key_of("small.manifest"), b"manifest")
        client.put(key_of("large.archive"), data)
        assert s3.object(key_of("small.manifest")) == b"manifest" and s3.object(key_of("large.archive")) == data
        assert s3.uploads() == []
        client.delete(key_of("small.manifest"))
        assert s3.keys() == [key_of("large.archive")]
        assert client.sweep(key_of("")) == 1 and s3.keys() == []


def test_a_wrong_secret_is_denied_by_the_storage(s3):
    with Store(**s3.settings(secret="wrong")) as store:
        client = store.client()
        for call in (lambda: client.put(key_of(), b"x"), lambda: client.get(key_of()), lambda: client.delete(key_of()), lambda: client.sweep(key_of(""))):
            assert "SignatureDoesNotMatch" in refused(DENIED, call)
        assert "wrong" not in store.said() and s3.keys() == []


def test_a_bucket_that_is_not_there_is_no_lost_snapshot(s3):
    with Store(**s3.settings(MULTICLAW_STORE_S3_BUCKET="other-bucket")) as store:
        assert "NoSuchBucket" in refused(UNAVAILABLE, store.client().get, key_of())


def test_a_sweep_ends_interrupted_uploads_of_that_folder(client, s3):
    for key in (key_of(), key_of(agent=OTHER_AGENT)):
        assert s3.request("POST", f"/{s3.BUCKET}/{key}", {"uploads": ""})[0] == 200
    assert sorted(s3.uploads()) == [key_of(), key_of(agent=OTHER_AGENT)]
    assert client.sweep(key_of("")) == 0
    assert s3.uploads() == [key_of(agent=OTHER_AGENT)]
    client.sweep(key_of("", agent=OTHER_AGENT))
    assert s3.uploads() == []


def test_killed_in_a_multipart_upload_nothing_is_there_and_a_sweep_clears_up(s3):
    with Store(**s3.settings()) as store:
        client = store.client()
        ticket, fd = client.start_put(key_of())
        feeder = threading.Thread(target=feed, args=(fd, (bytes(MIB) for _ in range(1000))))
        feeder.start()
        wait_until("an upload", s3.uploads, 60)
        store.kill9()
        feeder.join()
        assert s3.object(key_of()) is None and s3.keys() == []
        client = store.start().client()
        refused(NOT_FOUND, client.get, key_of())
        client.sweep(key_of(""))
        assert s3.uploads() == []


# ---- trouble on the way


def test_trouble_that_passes_is_not_noticed(client, proxy, s3):
    data = os.urandom(2 * MIB)
    for faults in ([answer(503, "SlowDown")] * 2, [answer(500)], [answer(429)], ["reset"], [b""], [answer(400, "BadDigest")]):
        proxy.faults, proxy.seen = list(faults), []
        client.put(key_of(), data)
        assert len(proxy.seen) == len(faults) + 1
        proxy.faults = list(faults)
        assert client.get(key_of()) == data
        proxy.faults = list(faults)
        client.delete(key_of())
        assert s3.object(key_of()) is None


def test_trouble_that_stays_is_told_after_some_tries(client, proxy):
    for always in (answer(503, "SlowDown"), "reset", b""):
        proxy.always, proxy.seen = always, []
        refused(UNAVAILABLE, client.put, key_of(), b"x")
        assert len(proxy.seen) == 3


def test_a_storage_that_says_nothing_is_given_up_and_can_be_cancelled(client, proxy):
    proxy.always = "hang"
    assert "nothing for 2 s" in refused(UNAVAILABLE, client.get, key_of())
    ticket, fd = client.start_put(key_of())
    feed(fd, [b"x"])
    client.cancel(ticket)
    began = time.monotonic()
    with pytest.raises(Failed):
        client.end(ticket)
    assert time.monotonic() - began < 15


def test_refusals_are_final(client, proxy):
    for given, failure, word in [
        (answer(403, "AccessDenied"), DENIED, "AccessDenied"),
        (answer(401), DENIED, "401"),
        (answer(404, "NoSuchKey"), NOT_FOUND, "no such object"),
        (answer(404, "NoSuchBucket"), UNAVAILABLE, "NoSuchBucket"),
        (answer(404), UNAVAILABLE, "404"),
        (answer(507), FULL, "full"),
        (answer(507, "XMinioStorageFull"), FULL, "full"),
        (answer(403, "QuotaExceeded"), FULL, "full"),
        (answer(400, "EntityTooLarge"), TOO_LARGE, "too large"),
        (answer(413), TOO_LARGE, "too large"),
        (answer(501, "NotImplemented"), UNAVAILABLE, "NotImplemented"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n", UNAVAILABLE, "how long"),
    ]:
        proxy.always, proxy.seen = given, []
        text = refused(failure, client.get, key_of())
        assert word in text and (failure == UNAVAILABLE or len(proxy.seen) == 1)


def test_goes_nowhere_else(client, proxy, s3):
    s3.put(key_of(), b"here")
    for status in (301, 302, 307, 308):
        proxy.seen, proxy.always = [], answer(status, "PermanentRedirect", f"Location: http://127.0.0.1:{s3.port}/{s3.BUCKET}/{key_of()}\r\n")
        assert "elsewhere" in refused(UNAVAILABLE, client.get, key_of())
        assert len(proxy.seen) == 1


def test_a_wrong_clock_is_told_by_how_much(client, proxy):
    proxy.always = answer(403, "RequestTimeTooSkewed", "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n")
    text = refused(DENIED, client.put, key_of(), b"x")
    assert "the clock of this machine is" in text and "s behind that of the storage" in text


def test_goes_on_where_an_object_was_broken_off(client, proxy, s3):
    data = os.urandom(3 * MIB)
    s3.put(key_of(), data)
    proxy.faults = [("cut", MIB), ("reset-after", MIB), None]
    assert client.get(key_of()) == data
    assert b"\nrange: bytes=" in proxy.seen[1].head.lower() and b"\nif-match: " in proxy.seen[1].head.lower()
    proxy.faults = [("cut", 10), answer(503), None]
    assert client.get(key_of()) == data


def test_an_object_that_stays_short_is_damaged(client, proxy, s3):
    s3.put(key_of(), os.urandom(MIB))
    proxy.always = ("cut", 0)
    ticket, fd = client.start_get(key_of())
    drain(fd)
    refused(DAMAGED, client.end, ticket)


def test_the_rest_of_another_object_is_not_joined_to_the_first(client, proxy, s3):
    s3.put(key_of(), b"a" * MIB)

    def replaced(_):
        s3.put(key_of(), b"b" * MIB)

    proxy.faults = [("cut", 1000), replaced]
    ticket, fd = client.start_get(key_of())
    assert drain(fd) == b"a" * 1000
    refused(DAMAGED, client.end, ticket)


def test_another_object_shows_in_the_digest(client, proxy, s3):
    done = client.put(key_of(), b"mine")
    proxy.always = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: \"x\"\r\nConnection: close\r\n\r\nothers"
    data, got = client.get_event(key_of())
    assert got.digest == digest_of(b"others") != done.digest and got.bytes == 6


def test_more_than_is_allowed_is_not_read(client, proxy):
    proxy.always = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\nConnection: close\r\n\r\n" + bytes(1000)
    refused(TOO_LARGE, client.get, key_of(), bytes_max=1000)
    proxy.always = b"HTTP/1.1 403 No\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n" + bytes(MIB)
    refused(DENIED, client.get, key_of())


# ---- multipart


def test_a_part_is_tried_again_and_an_upload_that_fails_leaves_nothing(client, proxy, s3):
    data = os.urandom(PART + MIB)

    faults = {"?uploads": answer(500), "partNumber=1": "reset", "partNumber=2": answer(503), "?uploadId=": answer(200, "InternalError")}

    def once(exchange):
        return next((faults.pop(wanted) for wanted in list(faults) if wanted in exchange.target), None)

    proxy.always = once
    client.put(key_of(), data)
    assert s3.object(key_of()) == data and not faults
    proxy.always = lambda exchange: answer(403, "AccessDenied") if "partNumber=2" in exchange.target else None
    refused(DENIED, client.put, key_of("2.archive"), data)
    assert s3.object(key_of("2.archive")) is None and s3.uploads() == []


def test_a_lost_answer_to_the_end_of_an_upload_is_looked_up(client, proxy, s3):
    data, lost = os.urandom(PART + MIB), []

    def lose(exchange):
        if exchange.method == "POST" and "?uploadId=" in exchange.target and not lost:
            lost.append(True)
            return ("reset-after", -1000000)
        return None

    proxy.always = lose
    client.put(key_of(), data)
    assert lost and s3.object(key_of()) == data and s3.uploads() == []


def test_an_upload_that_is_too_large_or_cancelled_is_given_up(client, s3):
    refused(TOO_LARGE, client.put, key_of(), (bytes(MIB) for _ in range(40)), bytes_max=20 * MIB)
    assert s3.uploads() == [] and s3.keys() == []
    ticket, fd = client.start_put(key_of())
    feeder = threading.Thread(target=feed, args=(fd, (bytes(MIB) for _ in range(1000))))
    feeder.start()
    wait_until("an upload", s3.uploads, 60)
    client.cancel(ticket)
    with pytest.raises(Failed):
        client.end(ticket)
    feeder.join()
    assert s3.uploads() == [] and s3.keys() == []


# ---- lists


def listing(keys, more=""):
    body = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    cut = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else "<IsTruncated>false</IsTruncated>"
    whole = f"<?xml version='1.0'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{cut}{body}</ListBucketResult>"
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\nConnection: close\r\n\r\n{whole}".encode()


def test_a_list_of_many_pages_is_read_to_its_end(client, proxy, s3):
    keys = [key_of(f"{i}.archive") for i in range(3)]
    for key in keys:
        s3.put(key, b"x")
    pages = [listing(keys[:2], "a/b+c=="), listing(keys[2:])]
    proxy.always = lambda exchange: pages.pop(0) if "list-type" in exchange.target else None
    assert client.sweep(key_of("")) == 3
    targets = [e.target for e in proxy.seen if "list-type" in e.target]
    assert "continuation-token=a%2Fb%2Bc%3D%3D&list-type=2&prefix=" in targets[1] and s3.keys() == []


def test_what_a_storage_lists_falsely_is_not_removed(client, proxy, s3):
    others = key_of(agent=OTHER_AGENT)
    s3.put(others, b"x")
    for lie in (others, "agents/", key_of("") + "../../x", key_of("") + "a%2fb", "x" * 5000, key_of("") + "sub/x"):
        proxy.always = lambda exchange: listing([lie]) if "list-type" in exchange.target else None
        proxy.seen = []
        refused(UNAVAILABLE, client.sweep, key_of(""))
        assert not [e for e in proxy.seen if e.method == "DELETE"]
    assert s3.object(others) == b"x"


def test_a_storage_without_lists_of_uploads_can_be_swept(client, proxy, s3):
    s3.put(key_of(), b"x")
    proxy.always = lambda exchange: answer(501, "NotImplemented") if "uploads=" in exchange.target else None
    assert client.sweep(key_of("")) == 1


# ---- https


def certificate(folder, name):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test"]
    alternative = ["-addext", f"subjectAltName={name}", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*command, *alternative], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_trusts_the_certificates_that_it_was_told_alone(s3, tmp_path):
    context = certificate(tmp_path, "IP:127.0.0.1")
    with FaultyProxy(s3.port, tls=context) as proxy:
        with Store(**s3.settings(proxy.url, MULTICLAW_STORE_S3_CA_FILE=tmp_path / "cert.pem")) as store:
            client = store.client()
            client.put(key_of(), b"over tls")
            assert client.get(key_of()) == b"over tls"
            client.delete(key_of())
        with Store(**s3.settings(proxy.url)) as store:
            assert "not trusted" in refused(UNAVAILABLE, store.client().get, key_of())
    with FaultyProxy(s3.port, tls=certificate(tmp_path, "DNS:other.example")) as proxy:
        with Store(**s3.settings(proxy.url, MULTICLAW_STORE_S3_CA_FILE=tmp_path / "cert.pem")) as store:
            assert "not trusted" in refused(UNAVAILABLE, store.client().get, key_of())


def test_plain_http_is_for_addresses_that_are_near(s3):
    store = Store(**s3.settings("http://s3.example")).launch()
    assert store.process.wait(20) == 1 and "use https" in store.said()
    shutil.rmtree(store.state)


def test_secrets_are_not_where_others_look(s3):
    with Store(**s3.settings()) as store:
        store.client().put(key_of(), b"x")
        pid = store.process.pid
        shown = store.said().encode() + pathlib.Path(f"/proc/{pid}/environ").read_bytes() + pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        assert s3.SECRET.encode() not in shown
        store.client().delete(key_of())
