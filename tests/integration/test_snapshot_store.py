"""snapshot-store alone, with a folder and with OpenStack Swift: what both must do, and what the folder must."""

import contextlib
import os
import pathlib
import pwd
import select
import shutil
import subprocess
import threading
import time

import pytest

from store_parts import (
    AGENT, BUSY, CANCELLED, DAMAGED, DELETE, DONE, FAILED, FULL, GET, INVALID, MIB, NOT_FOUND, OTHER_AGENT, PROGRESS, PUT, SWEEP, TOO_LARGE,
    WALLET, Failed, S3Server, Store, digest_of, drain, feed, key_of,
)  # fmt: skip
from suite import SANITIZED, wait_until


@pytest.fixture(scope="module")
def s3():
    with S3Server() as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def store(request):
    settings = request.getfixturevalue("s3").settings() if request.param == "s3" else {}
    with Store(**settings) as daemon:
        yield daemon
        client = daemon.client()
        for agent in (AGENT, OTHER_AGENT):
            for period in (1, 10):
                client.sweep(key_of("", agent, period=period))


def refused(failure, call, *arguments, **more):
    with pytest.raises(Failed) as why:
        call(*arguments, **more)
    assert why.value.failure == failure, why.value
    return why.value.text


def is_absent(client, key):
    refused(NOT_FOUND, client.get, key)
    return True


# ---- both kinds


@pytest.mark.parametrize("size", [0, 1, 300_000, 33 * MIB + 7])
def test_what_is_put_is_got(store, size):
    client, data = store.client(), os.urandom(size)
    done = client.put(key_of(), data)
    assert (done.bytes, done.digest) == (size, digest_of(data))
    assert client.get(key_of()) == data


def test_says_which_storage_and_what_is_not_there(store):
    client = store.client()
    assert "the folder store" in client.ready.text or "the bucket snapshots" in client.ready.text
    is_absent(client, key_of("never.archive"))
    client.delete(key_of("never.archive"))
    assert client.sweep(key_of("")) == 0


def test_a_sweep_takes_one_period_of_one_owner(store):
    client = store.client()
    gone = [key_of(f"{i}.archive") for i in range(3)]
    kept = [key_of(period=10), key_of(agent=OTHER_AGENT), f"agents/{AGENT}/handed-over/x.archive"]
    for key in gone + kept:
        client.put(key, key.encode())
    assert client.sweep(key_of("")) == 3
    assert all(is_absent(client, key) for key in gone)
    assert all(client.get(key) == key.encode() for key in kept)
    assert client.sweep(f"agents/{AGENT}/handed-over/") == 1


def test_a_cancelled_put_is_not_there(store):
    client = store.client()
    ticket, fd = client.start_put(key_of())
    feeder = threading.Thread(target=feed, args=(fd, (os.urandom(MIB) for _ in range(1000))))
    feeder.start()
    assert client.wait(ticket, PROGRESS).bytes >= 0
    client.cancel(ticket)
    refused(CANCELLED, client.end, ticket)
    feeder.join()
    is_absent(client, key_of())
    client.cancel(ticket)  # of one that has ended
    client.put(key_of(), b"after")


def test_who_hangs_up_gives_up_what_it_asked(store):
    client = store.client()
    _, fd = client.start_put(key_of())
    os.write(fd, b"half")
    client.close()
    # the reader goes with the request
    poll = select.poll()
    poll.register(fd, select.POLLERR)
    assert poll.poll(20000)
    os.close(fd)
    is_absent(store.client(), key_of())


def test_a_reader_that_closes_its_pipe_ends_only_its_own(store):
    client = store.client()
    client.put(key_of(), os.urandom(4 * MIB))
    ticket, fd = client.start_get(key_of())
    os.read(fd, 1000)
    os.close(fd)
    assert "closed" in refused(CANCELLED, client.end, ticket)
    assert len(client.get(key_of())) == 4 * MIB


def test_what_is_larger_than_allowed_is_neither_put_nor_got(store):
    client = store.client()
    client.put(key_of(), b"x" * 1000, bytes_max=1000)
    refused(TOO_LARGE, client.put, key_of("2.archive"), b"x" * 1001, bytes_max=1000)
    is_absent(client, key_of("2.archive"))
    refused(TOO_LARGE, client.get, key_of(), bytes_max=999)
    assert client.get(key_of(), bytes_max=1000) == b"x" * 1000


def test_moves_much_in_little_memory(store):
    client, chunk = store.client(), os.urandom(MIB)
    ends = [client.start_put(key_of(f"{i}.archive")) for i in range(3)]
    threads = [threading.Thread(target=feed, args=(fd, (chunk for _ in range(20)))) for _, fd in ends]
    for thread in threads:
        thread.start()
    for ticket, _ in ends:
        assert client.end(ticket, 120).bytes == 20 * MIB
    is_s3 = "bucket" in client.ready.text
    if not SANITIZED:
        assert store.resident() < (90 if is_s3 else 24) * MIB
    names = store.metrics()
    assert f'multiclaw_store_bytes_total{{what="put"}} {60 * MIB}' in names
    assert 'multiclaw_store_requests_total{what="put",result="done"} 3' in names


# ---- the folder, and what is the same for both


@pytest.fixture
def folder():
    with Store() as daemon:
        yield daemon


def test_requests_run_side_by_side_up_to_a_number(folder):
    client = folder.client()
    puts = [client.start_put(key_of(f"{i}.archive")) for i in range(64)]
    refused(BUSY, client.put, key_of("65.archive"), b"")
    # the last that began ends first: none waits for another
    for i, (ticket, fd) in reversed(list(enumerate(puts))):
        feed(fd, [str(i).encode()])
        client.end(ticket)
    assert client.get(key_of("63.archive")) == b"63"


BAD_KEYS = [
    "", "/etc/passwd", f"agents/{AGENT}", f"agents/{AGENT}/{WALLET}/1/../2/x", f"agents/{AGENT}/{WALLET}/1/%2e%2e", f"agents/{AGENT}/{WALLET}/1/a/b",
    f"agents/{AGENT}/{WALLET}/1/A", f"agents/{AGENT[1:]}/{WALLET}/1/a", f"agents/{AGENT}/{WALLET}/01/a", "tmp/sandbox-1/a", "a" * 201,
    f"agents/{AGENT}%2f{WALLET}/1/a",
]  # fmt: skip


def test_refuses_keys_that_are_none(folder):
    client = folder.client()
    for key in BAD_KEYS + [key_of("")]:
        refused(INVALID, client.put, key, b"x")
        refused(INVALID, client.get, key)
        refused(INVALID, client.delete, key)
    for key in BAD_KEYS + [key_of(), f"agents/{AGENT}/{WALLET}/", f"agents/{AGENT}/", "agents/", "/"]:
        refused(INVALID, client.sweep, key)


def test_what_breaks_the_protocol_is_cut_off_and_the_next_is_served(folder):
    def ticket_twice(client):
        client.start_put(key_of(), ticket=7)
        client.send(DELETE, key_of(), ticket=7)

    null = os.open("/dev/null", os.O_RDWR)
    breaks = [
        lambda c: c.send(DELETE, key_of(), size=391),
        lambda c: c.send(DELETE, key_of(), version=2),
        lambda c: c.send(0, key_of()),
        lambda c: c.send(101, key_of()),
        lambda c: c.send(PUT, key_of()),
        lambda c: c.send(GET, key_of(), fds=[null, null]),
        lambda c: c.send(SWEEP, key_of(""), fds=[null]),
        lambda c: c.send(DELETE, key_of(), fds=[null] * 200),
        ticket_twice,
    ]
    for i, one in enumerate(breaks):
        client = folder.client()
        one(client)
        with pytest.raises(ConnectionResetError):
            while True:
                assert client.next().what in (FAILED, DONE), i
    client = folder.client()
    # neither are these pipes
    for fd in (null, folder.client().socket.fileno()):
        client = folder.client()
        ticket = client.send(PUT, key_of(), fds=[fd])
        refused(INVALID, client.end, ticket)
    os.close(null)
    client.put(key_of(), b"whole")


def test_objects_are_files_of_its_user_alone(folder):
    folder.client().put(key_of(), b"data")
    path = folder.state / "store" / key_of()
    assert path.read_bytes() == b"data" and path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert folder.objects() == {key_of(): b"data"}


def test_follows_no_link(folder):
    client = folder.client()
    elsewhere = folder.state / "elsewhere"
    parts = key_of().split("/")
    for depth in range(1, len(parts) + 1):
        shutil.rmtree(elsewhere, ignore_errors=True)
        shutil.rmtree(folder.state / "store/agents", ignore_errors=True)
        target = elsewhere.joinpath(*parts[depth:])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"somebody else's")
        link = folder.state.joinpath("store", *parts[:depth])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target if depth == len(parts) else elsewhere)
        with pytest.raises(Failed):
            client.get(key_of())
        for call in (lambda: client.put(key_of(), b"mine"), lambda: client.delete(key_of()), lambda: client.sweep(key_of(""))):
            with contextlib.suppress(Failed):
                call()
        assert target.read_bytes() == b"somebody else's", depth
        link.unlink(missing_ok=True)


def test_a_full_disk_is_told_and_leaves_nothing(folder):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    small = folder.state / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        with Store(MULTICLAW_STORE_FOLDER=small) as store:
            client = store.client()
            client.put(key_of("1.archive"), b"x" * MIB)
            refused(FULL, client.put, key_of("2.archive"), (b"x" * MIB for _ in range(20)))
            is_absent(client, key_of("2.archive"))
            assert client.get(key_of("1.archive")) == b"x" * MIB
            assert not [p for p in (small / "tmp").rglob("*") if p.is_file()]
            # there is room again at once
            client.put(key_of("3.archive"), b"x" * 5 * MIB)
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_file_that_is_cut_while_it_is_read_is_damaged(folder):
    client = folder.client()
    client.put(key_of(), os.urandom(8 * MIB))
    ticket, fd = client.start_get(key_of())
    os.read(fd, 1)
    os.truncate(folder.state / "store" / key_of(), 4 * MIB)
    assert len(drain(fd)) < 8 * MIB
    refused(DAMAGED, client.end, ticket)


def test_killed_at_any_moment_an_object_is_whole_or_absent(folder):
    data = os.urandom(3 * MIB)
    for i in range(10):
        key = key_of(f"{i}.archive")
        client = folder.client()
        ticket, fd = client.start_put(key)
        feeder = threading.Thread(target=feed, args=(fd, [data]))
        feeder.start()
        time.sleep(i * 0.003)
        folder.kill9()
        feeder.join()
        there = folder.objects().get(key)
        assert there in (None, data)
        folder.start()
        assert not [p for p in (folder.state / "store/tmp").rglob("*") if p.is_file()]
        client = folder.client()
        client.put(key, data)
        assert client.get(key) == data


def test_two_hosts_share_a_folder_and_one_name_is_one_hosts(folder):
    ours = folder.client()
    ticket, fd = ours.start_put(key_of())
    os.write(fd, b"half ")
    wait_until("the temporary", lambda: list((folder.state / "store/tmp/sandbox-1").glob("*")))
    shared = folder.state / "store"
    with Store(MULTICLAW_STORE_FOLDER=shared, MULTICLAW_STORE_REPLICA="sandbox-2") as other:
        theirs = other.client()
        theirs.put(key_of("theirs.archive"), b"theirs")
        assert ours.get(key_of("theirs.archive")) == b"theirs"
        feed(fd, [b"and half"])
        ours.end(ticket)
        assert theirs.get(key_of()) == b"half and half"
    same = Store(MULTICLAW_STORE_FOLDER=shared).launch()
    assert same.process.wait(20) == 1 and "another process keeps snapshots there as sandbox-1" in same.said()
    shutil.rmtree(same.state)


def test_a_folder_that_is_being_swept_takes_what_comes(folder):
    client = folder.client()
    for i in range(100):
        sweep = client.send(SWEEP, key_of(""))
        client.put(key_of(), str(i).encode())
        client.end(sweep)
    # whichever came last: nothing failed
    client.put(key_of(), b"last")
    assert client.get(key_of()) == b"last"


# ---- who it is, and who may speak to it


def connects(path, user):
    """As that user: what a connection says first, "" if it is refused."""
    script = f"import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(20); s.connect({str(path)!r}); print(len(s.recv(1000)))"
    ids = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", "--"]
    return subprocess.run([*ids, "/usr/bin/python3", "-c", script], capture_output=True, text=True).stdout.strip()


def test_is_a_user_without_privilege_and_hears_sandboxs_alone():
    if os.geteuid() != 0:
        pytest.skip("changing the user needs root")
    store = Store(MULTICLAW_USER="nobody", MULTICLAW_STORE_SANDBOX_USER="www-data")
    store.state.chmod(0o711)
    (store.state / "run").chmod(0o711)
    os.chown(store.state / "store", pwd.getpwnam("nobody").pw_uid, -1)
    with store:
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{store.process.pid}/status") if ":\t" in line)
        assert status["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
        assert all(int(status[f"Cap{kind}"], 16) == 0 for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb"))
        assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
        assert connects(store.socket, "www-data") == "392"
        assert connects(store.socket, "daemon") == ""
        # not by the socket's mode alone
        store.socket.chmod(0o666)
        assert connects(store.socket, "daemon") == "0"
        assert "a connection is refused" in store.said()
        store.client().put(key_of(), b"as nobody")
        assert (store.state / "store" / key_of()).stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_says_what_is_wrong_with_its_settings():
    for settings, word in [
        ({"MULTICLAW_STORE_KIND": "tape"}, "MULTICLAW_STORE_KIND"),
        ({"MULTICLAW_STORE_FOLDER": "no/such/folder"}, "MULTICLAW_STORE_FOLDER"),
        ({"MULTICLAW_STORE_KIND": "s3"}, "MULTICLAW_STORE_S3_ENDPOINT"),
        ({"MULTICLAW_STORE_KIND": "s3", "MULTICLAW_STORE_S3_ENDPOINT": "https://s3.example", "MULTICLAW_STORE_S3_BUCKET": "bbb"}, "KEY_ID_FILE"),
    ]:
        store = Store(**settings).launch()
        assert store.process.wait(20) == 1 and word in store.said(), store.said()
        shutil.rmtree(store.state)


def test_keys_that_others_can_read_are_refused(s3):
    settings = s3.settings()
    pathlib.Path(settings["MULTICLAW_STORE_S3_SECRET_KEY_FILE"]).chmod(0o644)
    store = Store(**settings).launch()
    assert store.process.wait(20) == 1 and "SECRET_KEY_FILE" in store.said() and s3.SECRET not in store.said()
    shutil.rmtree(store.state)


def test_stops_well_in_the_middle_of_requests(folder):
    client = folder.client()
    _, fd = client.start_put(key_of())
    os.write(fd, b"half")
    folder.stop()
    os.close(fd)
    assert folder.objects() == {} and not folder.socket.exists()
