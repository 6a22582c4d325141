"""The root half of a host's container service, alone, with a client that plays sandbox."""

import ipaddress
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from suite import BIN, wait_until
from warden_parts import (
    ENDED, ERASE, ERASED, EXEC, FAILED, GONE, MIB, PORT, SIZE, START, STARTED, UNION, Client, Left, Warden, agent_id, get, memfd, wallet,
    wardens,
)  # fmt: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")


@pytest.fixture(scope="module")
def warden():
    with Warden() as made:
        yield made


@pytest.fixture
def client(warden):
    made = warden.client()
    left = Left(warden)
    yield made
    made.close()
    left.check()


@pytest.fixture
def own():
    with wardens("o1", "10.221.128.0/18") as make:
        yield make


@pytest.fixture(scope="module")
def page(warden):
    return warden.shell("[ -e /data/index.html ] || echo first > /data/index.html; echo it runs")


def output(fd, seconds=5.0):
    """What is in a log by now, at least a byte."""
    got = b""

    def more():
        nonlocal got
        try:
            got += os.read(fd, 65536)
        except BlockingIOError:
            pass
        return got

    wait_until("output", more, seconds)
    return got.decode()


def cgroup_pids(warden, agent):
    path = f"/sys/fs/cgroup/unified/multiclaw-{warden.prefix}/{agent}/cgroup.procs"
    if not os.path.isdir("/sys/fs/cgroup/unified"):
        path = path.replace("/unified", "")
    try:
        return [int(line) for line in open(path)]
    except OSError:
        return []


# ---- a life


def test_a_start_answers_http_and_a_kill_leaves_nothing(warden, client, page):
    agent = agent_id("life")
    started = client.started(agent, image=page)
    assert started.port == PORT and started.address.startswith("10.221.")
    assert get(started.address) == (200, b"first\n")
    assert "it runs" in output(started.fd)
    assert client.count(agent) == 0
    with socket.create_connection((started.address, PORT)):
        wait_until("counted", lambda: client.count(agent) == 1)
        assert client.reset(agent) == ""
        assert client.count(agent) == 0, "answered once it is done"
    ended = client.killed(agent)
    assert ended.was_asked and not ended.was_oom and os.WTERMSIG(ended.status) == signal.SIGKILL
    with pytest.raises(OSError):
        get(started.address, timeout=1)


def test_data_persists_and_is_unreadable_on_disk(warden, client, page):
    agent = agent_id("data")
    client.started(agent, image=page)
    done = client.exec(agent, "/bin/sh", "-c", "echo plain-words-of-the-owner > /data/kept; sync")
    assert done.why == "" and done.status == 0, done
    client.killed(agent)
    started = client.started(agent, image=page, boot="b1")
    assert get(started.address, "/kept") == (200, b"plain-words-of-the-owner\n")
    client.killed(agent, "b1")
    folder = warden.state / "volumes" / agent / wallet("owner") / "7"
    assert [p.name for p in folder.iterdir()] == ["data.ext4"]
    whole = (folder / "data.ext4").read_bytes()
    assert b"plain-words" not in whole and b"kept" not in whole
    for path in (warden.state / "volumes", *folder.parents[:2], folder):
        if path != warden.state and "volumes" in str(path):
            assert path.stat().st_mode & 0o777 == 0o700, path


def test_another_key_or_damage_opens_nothing_and_changes_nothing(warden, client, page):
    agent = agent_id("key")
    client.started(agent, image=page)
    client.killed(agent)
    file = warden.state / "volumes" / agent / wallet("owner") / "7" / "data.ext4"
    before = file.read_bytes()
    assert "the key is another one" in client.failed(agent, image=page, key=b"x" * 32)
    assert file.read_bytes() == before
    file.write_bytes(os.urandom(65536))
    damaged = file.read_bytes()
    assert "damaged" in client.failed(agent, image=page)
    assert file.read_bytes() == damaged
    file.write_bytes(before)
    client.started(agent, image=page)
    client.killed(agent)


def test_each_owner_and_period_has_a_volume_of_its_own(warden, client, page):
    agent = agent_id("periods")
    client.started(agent, image=page)
    client.exec(agent, "/bin/sh", "-c", "echo mine > /data/mine")
    client.killed(agent)
    for owner, period in (("other", 7), ("owner", 8)):
        started = client.started(agent, image=page, owner=owner, period=period)
        assert get(started.address, "/mine")[0] == 404
        client.killed(agent)


def test_erase_deletes_a_closed_volume_and_refuses_an_open_one(warden, client, page):
    agent = agent_id("erase")
    client.started(agent, image=page)
    assert "open" in client.erase(agent)
    client.killed(agent)
    assert client.erase(agent) == ""
    assert not (warden.state / "volumes" / agent).exists()
    assert client.erase(agent) == ""


# ---- secrets


def test_secrets_are_the_agents_own_on_a_tmpfs_and_wiped_at_the_end(warden, client, page):
    agent = agent_id("secrets")
    client.started(agent, image=page, files={"token": b"s3cret", "llm/KEY": b"k" * 5000})
    script = "stat -c '%a %u %g' /run/secrets /run/secrets/token /run/secrets/llm /run/secrets/llm/KEY; stat -f -c %T /run/secrets; cat /run/secrets/token; echo x > /run/secrets/token || echo denied"
    said = client.exec(agent, "/bin/sh", "-c", script).output.decode()
    assert said.startswith("500 1000 1000\n400 1000 1000\n500 1000 1000\n400 1000 1000\ntmpfs\ns3cret"), said
    assert "denied" in said
    (pid,) = [p for p in cgroup_pids(warden, agent)][:1]
    assert "s3cret" not in open(f"/proc/{pid}/environ").read() + open(f"/proc/{pid}/cmdline").read()
    folder = os.open(f"/proc/{pid}/root/run/secrets", os.O_RDONLY)
    file = os.open("token", os.O_RDONLY, dir_fd=folder)
    client.kill(agent)
    client.wait(ENDED, agent=agent)
    # who still had them open sees what the wiping left
    assert os.listdir(folder) == [] and os.pread(file, 100, 0) == b""
    os.close(file), os.close(folder)
    client.wait(GONE, agent=agent)


@pytest.mark.parametrize(
    "why, make",
    [
        ("sealed", lambda: memfd({"a": b"x"}, seal=False)),
        ("path", lambda: memfd({"../a": b"x"})),
        ("path", lambda: memfd({"/a": b"x"})),
        ("path", lambda: memfd({"a//b": b"x"})),
        ("path", lambda: memfd({"a b": b"x"})),
        ("mode", lambda: memfd({"a": (0o4400, b"x")})),
        ("header", lambda: memfd(None, raw=b"abc")),
        ("cut off", lambda: memfd(None, raw=struct.pack("=IHH", 100, 0o400, 1) + b"a" + b"x")),
        ("more than 64 MiB", lambda: memfd(None, raw=bytes(65 * MIB))),
        ("cannot make", lambda: memfd({"a": b"x", "a/b": b"x"})),
        ("cannot make", lambda: memfd(None, raw=2 * (struct.pack("=IHH", 1, 0o400, 1) + b"ax"))),
    ],
)
def test_secrets_that_are_not_as_they_should_be_are_refused(client, page, why, make):
    assert why in client.failed(agent_id("bad secrets"), image=page, fd=make())


# ---- inside


def test_a_container_has_no_privilege(client, page):
    agent = agent_id("inside")
    client.started(agent, image=page)

    def sh(script):
        return client.exec(agent, "/bin/sh", "-c", script).output.decode()

    status = sh("cat /proc/self/status")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(rf"^{name}:\t0+$", status, re.M), status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert sh("id -u").strip() == "1000"
    assert "Read-only" in sh("echo x > /bin/x 2>&1")
    assert "denied" in sh("mount -t tmpfs x /tmp 2>&1")
    assert "not permitted" in sh("unshare -U /bin/sh 2>&1")
    assert sh("cat /proc/1/cmdline").startswith("/dev/init")
    assert sh("cat /etc/resolv.conf").startswith("nameserver 10.221.")
    assert agent in sh("cat /etc/hostname; cat /etc/hosts")
    assert set(sh("ls /dev").split()) == {
        "fd", "full", "init", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    }  # fmt: skip
    assert "HOME=/data" in sh("cat /proc/1/environ") and f"MULTICLAW_AGENT_PORT={PORT}" in sh("cat /proc/1/environ")
    assert "No space" in sh("dd if=/dev/zero of=/tmp/x bs=1M count=20 2>&1")
    assert "No space" in sh("dd if=/dev/zero of=/data/x bs=1M count=80 2>&1; rm /data/x")
    client.killed(agent)


def test_an_openclaw_image_is_told_where_its_files_are(client, page):
    agent = agent_id("openclaw")
    client.started(agent, image=page, kind="openclaw")
    said = client.exec(agent, "/bin/cat", "/proc/1/environ").output.decode().split("\0")
    assert {"OPENCLAW_CONFIG_PATH=/run/secrets/openclaw.json", "OPENCLAW_STATE_DIR=/data/.openclaw", f"OPENCLAW_GATEWAY_PORT={PORT}"} <= set(said)
    client.killed(agent)


def test_exec_gives_status_and_bounded_output_and_ends_in_time(client, page):
    agent = agent_id("exec")
    client.started(agent, image=page)
    done = client.exec(agent, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert os.WEXITSTATUS(done.status) == 3 and sorted(done.output.split()) == [b"err", b"out"] and not done.was_cut
    done = client.exec(agent, "/bin/sh", "-c", "head -c 100000 /dev/zero")
    assert done.was_cut and len(done.output) == 65536
    before = time.monotonic()
    done = client.exec(agent, "/bin/sleep", "30", timeout_ms=300)
    assert "did not end" in done.why and time.monotonic() - before < 10
    assert b"sleep\x0030" not in client.exec(agent, "/bin/sh", "-c", "cat /proc/[0-9]*/cmdline").output
    assert client.exec(agent, "/bin/none").status != 0
    client.send(EXEC, agent, "b0", struct.pack("=I8192s4xQ", 13, b"/bin/sleep\x005\0", 9000))
    client.killed(agent)
    assert client.wait(108, agent=agent).status != 0
    assert client.exec(agent, "/bin/echo").why == "it does not run"


# ---- ends


def test_stop_lets_it_end_and_kills_what_does_not_listen(warden, client):
    polite = warden.shell("trap 'echo bye; exit 7' TERM; httpd -p 18789 -h /data; while :; do sleep 0.1; done")
    deaf = warden.shell("trap '' TERM; httpd -p 18789 -h /data; while :; do sleep 0.1; done")
    agent = agent_id("stop")
    client.started(agent, image=polite)
    client.stop(agent)
    ended = client.ended(agent)
    assert ended.was_asked and os.WIFEXITED(ended.status) and os.WEXITSTATUS(ended.status) == 7
    client.started(agent, image=deaf)
    before = time.monotonic()
    client.stop(agent, grace_ms=500)
    ended = client.ended(agent)
    assert os.WTERMSIG(ended.status) == signal.SIGKILL and time.monotonic() - before >= 0.5


def test_its_own_end_is_noticed(warden, client):
    agent = agent_id("crash")
    client.started(agent, image=warden.shell("(sleep 1; kill -9 $$) &"))
    ended = client.ended(agent)
    assert not ended.was_asked and not ended.was_oom and ended.status not in (0, -1)


def test_one_whose_volume_nobody_shows_any_more_ends(warden, client, page):
    agent = agent_id("unshown")
    client.started(agent, image=page)
    for pid in cgroup_pids(warden, f"volumes/{agent}"):
        os.kill(int(pid), signal.SIGKILL)
    assert not client.ended(agent, timeout=10).was_asked
    client.started(agent, image=page)
    client.killed(agent)


def test_an_end_for_want_of_memory_is_told(warden, client):
    agent = agent_id("oom")
    image = warden.image("/bin/sh", "-c", f"httpd -p {PORT} -h /data; sleep 0.5; tail /dev/zero; exit 5")
    client.started(agent, image=image, memory=24 * MIB)
    ended = client.ended(agent)
    assert ended.was_oom and not ended.was_asked


def test_a_fork_bomb_is_killed_at_once(warden, client):
    agent = agent_id("bomb")
    image = warden.shell("b() { while :; do (b) & (:) & done; }; (sleep 0.2; b) &")
    client.started(agent, image=image, pids=200, cpu=50)
    wait_until("the bomb", lambda: len(cgroup_pids(warden, agent)) > 150, 20)
    before = time.monotonic()
    ended = client.killed(agent)
    # on a machine that has other work; the aim is 0.5 s
    assert ended.us < 2_000_000, ended
    assert time.monotonic() - before < 15


def test_a_kill_in_the_middle_of_a_start_ends_it(warden, client, page):
    for i in range(8):
        agent = agent_id(f"middle {i}")
        client.start(agent, image=page)
        time.sleep(0.05 * i)
        client.kill(agent)
        ended = client.wait(ENDED, agent=agent)
        assert ended.was_asked and client.wait(GONE, agent=agent).text == ""
    client.events.clear()


def test_a_kill_while_the_volume_opens_leaves_nothing(warden, client, page):
    """What shows it opens a file of its own mount for a moment; killed just then, it waits for itself for ever."""
    for i in range(60):
        agent = agent_id(f"opens {i}")
        client.start(agent, image=page)
        group = f"volumes/{agent}"
        wait_until("it opens", lambda: cgroup_pids(warden, group), 5, every=0)
        time.sleep(0.001 * i)
        client.kill(agent)
        client.wait(ENDED, agent=agent)
        assert client.wait(GONE, agent=agent).text == ""
    client.events.clear()


# ---- starts that cannot be


def test_a_start_that_does_not_accept_connections_fails_with_what_it_said(warden, client):
    dies = warden.image("/bin/sh", "-c", "echo no configuration found; exit 1")
    why = client.failed(agent_id("dies"), image=dies)
    assert "ended before" in why and "no configuration found" in why
    hangs = warden.image("/bin/sleep", "100")
    assert "did not accept" in client.failed(agent_id("hangs"), image=hangs, ready_ms=300)
    missing = warden.image("/bin/none")
    assert client.failed(agent_id("none"), image=missing)


def test_images_that_are_missing_or_hostile_are_refused(warden, client):
    agent, store = agent_id("images"), warden.state / "images"
    assert "not on this host" in client.failed(agent, image="0" * 64)

    def changed(**fields):
        image = warden.shell("")
        about = json.loads((store / image / "image.json").read_text())
        about.update({"digest": image, **fields})
        (store / image / "image.json").write_text(json.dumps(about))
        return image

    for field, values in {
        "cwd": ["/proc/self/fd/7", "/../..", "data", "/dev", "/data/../proc", "/etc/../proc", "/none", "/data/x"],
        "user": ["70000", "root", "-1", "0:99999", "1:2:3"],
        "env": [["A"], ["=x"], ["_LIBCONTAINER_INITPIPE=3"], "PATH=/", [1], ["1A=b"], ["A=" + "x" * 40000]],
        "cmd": [[], [1], ["x"] * 300],
        "digest": ["0" * 64],
    }.items():
        for value in values:
            why = client.failed(agent, image=changed(**{field: value}))
            assert "image.json" in why, (field, value, why)
    for change in (
        lambda f: (f / "image.json").write_text("{"),
        lambda f: ((f / "image.json").unlink(), (f / "image.json").symlink_to("/etc/passwd")),
        lambda f: ((f / "image.json").unlink(), os.mkfifo(f / "image.json")),
        lambda f: (f / "image.json").write_text(" " * 300000),
        lambda f: ((f / "rootfs").rename(f / "real"), (f / "rootfs").symlink_to("real")),
        lambda f: ((f / "rootfs/data").rmdir(), (f / "rootfs/data").symlink_to("/etc")),
        lambda f: ((f / "rootfs/run/secrets").rmdir(), (f / "rootfs/run").rmdir(), (f / "rootfs/run").symlink_to("/tmp")),
    ):
        image = warden.shell("")
        change(store / image)
        assert "image" in client.failed(agent, image=image)


def test_a_runtime_that_is_missing_stops_the_start_and_one_that_fails_fails_the_agent(own, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo broken version 1 && exit 0\necho \'{"level":"error","msg":"it is broken"}\' > "$4"\nexit 1\n')
    broken.chmod(0o755)
    warden = own(RUNTIME=broken)
    client, left = warden.client(), Left(warden)
    assert client.ready.runtime == "broken 1"
    assert "it is broken" in client.failed(agent_id(1), image=warden.shell(""))
    left.check()
    warden.stop()
    ran = subprocess.run([BIN / "multiclaw-warden"], env={**warden.env, "MULTICLAW_WARDEN_RUNTIME": "nonesuch"}, capture_output=True, text=True)
    assert ran.returncode == 1 and "there is no nonesuch" in ran.stderr


def test_a_start_that_hangs_is_ended(own, tmp_path):
    hanging = tmp_path / "hanging"
    hanging.write_text('#!/bin/sh\n[ "$1" = --version ] && echo hanging version 1 && exit 0\n[ "$1" = delete ] && exit 0\nexec sleep 1000\n')
    hanging.chmod(0o755)
    warden = own(RUNTIME=hanging)
    client, left, agent = warden.client(), Left(warden), agent_id("hangs")
    client.start(agent, image=warden.shell(""), ready_ms=1000)
    assert not client.wait(ENDED, agent=agent, timeout=60).was_asked
    client.wait(GONE, agent=agent)
    left.check()


def test_settings_that_cannot_be_stop_the_start():
    env = {**os.environ, "MULTICLAW_COLLECTION": "1" * 32}
    for name, value in {
        "NETWORK": "10.0.0.1/16", "PREFIX": "A b", "PROXY_USER": "www-data,nobody-of-this-name", "USER": "nobody-of-this-name", "REPLICA": "../x",
        "UID_BASE": "4294901760",
    }.items():  # fmt: skip
        ran = subprocess.run([BIN / "multiclaw-warden", "-n"], env={**env, f"MULTICLAW_WARDEN_{name}": value}, capture_output=True, text=True)
        assert ran.returncode == 1 and f"MULTICLAW_WARDEN_{name}" in ran.stderr, ran
    assert subprocess.run([BIN / "multiclaw-warden", "-n"], env=env).returncode == 0


def test_an_agent_is_never_started_twice_and_no_more_than_there_are_slots(own):
    warden = own(SLOTS=2)
    client, page = warden.client(), warden.shell("")
    a, b, c = (agent_id(f"slots {i}") for i in range(3))
    first = client.started(a, image=page)
    assert "runs" in client.failed(a, image=page, boot="b1")
    second = client.started(b, image=page)
    assert first.address != second.address
    assert "as many agents" in client.failed(c, image=page)
    client.killed(b)
    client.started(c, image=page)
    client.killed(a), client.killed(c)


def test_addresses_rest_before_they_are_used_again(own):
    warden = own(NETWORK="10.221.224.0/29", QUARANTINE_S=600)
    client, page, agent = warden.client(), warden.shell(""), agent_id("rest")
    addresses = set()
    while True:
        client.start(agent, image=page)
        event = client.wait(STARTED, FAILED, agent=agent)
        if event.what == FAILED:
            break
        assert event.address not in addresses and len(addresses) < 4
        addresses.add(event.address)
        client.killed(agent)
    assert "no address of this host is free" in event.text and addresses
    warden.stop()
    warden.start()
    assert "no address of this host is free" in warden.client().failed(agent, image=page)


# ---- crashes


def test_a_warden_that_was_killed_finds_its_agents_and_their_logs_again(own):
    warden = own()
    client, left = warden.client(), Left(warden)
    image = warden.shell("(while :; do echo tick; sleep 0.2; done) &")
    agent, other = agent_id("adopt"), agent_id("adopt too")
    started = client.started(agent, image=image)
    client.started(other, image=image)
    pids = cgroup_pids(warden, agent)
    warden.kill9()
    assert cgroup_pids(warden, agent)
    os.kill(cgroup_pids(warden, other)[0], signal.SIGKILL)
    warden.start()
    client = warden.client()
    wait_until("the dead one is gone", lambda: not cgroup_pids(warden, other))
    (found,) = [f for f in client.found if f.agent == agent]
    assert found.boot == "b0" and found.address == started.address and not found.is_ending and found.wallet == wallet("owner")
    assert pids[0] in cgroup_pids(warden, agent)
    os.set_blocking(found.fd, False)
    assert "tick" in output(found.fd)
    assert get(found.address)[0] in (200, 404)
    assert client.exec(agent, "/bin/echo", "x").output == b"x\n"
    folder = os.open(f"/proc/{pids[0]}/root/run/secrets", os.O_RDONLY)
    assert os.listdir(folder) == ["token"]
    ended = client.killed(agent)
    assert ended.was_asked and os.listdir(folder) == []
    os.close(folder)
    left.check()


def test_a_warden_killed_in_the_middle_of_a_start_leaves_nothing_for_long(own):
    warden = own()
    left, image = Left(warden), warden.shell("")
    for i in range(6):
        client = warden.client()
        client.start(agent_id(f"crash {i}"), image=image)
        time.sleep(0.08 * i)
        warden.kill9()
        warden.start()
    client = warden.client()
    for event in client.found:
        if not event.is_ending:
            client.killed(event.agent)
    wait_until("all gone", lambda: not warden.client().found, 30)
    left.check()


def test_a_record_that_was_written_by_half_is_removed_by_the_next_warden(own):
    warden = own()
    left = Left(warden)
    warden.kill9()
    half = warden.state / f"run/warden-{warden.prefix}/agents/{agent_id('half')}.new"
    half.write_text('{"agent"')
    warden.start()
    assert warden.client().found == []
    left.check()


def test_no_agent_has_user_ids_of_the_host(own):
    """However many were started: the numbers of user ids end, and would begin again at root."""
    base = 4294901760 - 2 * 65536
    warden = own(UID_BASE=base, SLOTS=2)
    client, image = warden.client(), warden.shell("")
    seen = []
    for i in range(4):
        client.started(agent_id("ids"), boot=f"b{i}", image=image)
        seen.append(int(client.exec(agent_id("ids"), "/bin/cat", "/proc/self/uid_map", boot=f"b{i}").output.split()[1]))
        client.killed(agent_id("ids"), boot=f"b{i}")
    assert seen == [base, base + 65536] * 2


def test_a_folder_that_others_may_write_is_refused(own):
    """What stands there says what root writes and runs."""
    warden = own()
    warden.stop()
    folder = warden.state / "run/warden-o1"
    for uid, mode in (65534, 0o700), (0, 0o770):
        os.chown(folder, uid, 0)
        folder.chmod(mode)
        warden.start(wait=False)
        assert warden.process.wait(10) == 1 and "MULTICLAW_WARDEN_RUN" in warden.said()
        (warden.state / "warden.log").write_text("")
    os.chown(folder, 0, 0)
    folder.chmod(0o700)
    warden.start()


def test_what_an_agent_made_of_its_output_is_not_opened(own):
    """A terminal would be warden's own from then on, and its end warden's: an agent can make its first process do anything."""
    warden = own()
    warden.stop()
    master, slave = os.openpty()
    with subprocess.Popen(["sleep", "60"], stdout=slave) as sleeper:
        stat = pathlib.Path(f"/proc/{sleeper.pid}/stat").read_text()
        record = {"boot": "b0", "image": "0" * 64, "wallet": wallet("owner"), "kind": "", "period": 7, "connections": 9, "slot": 0, "is_ready": True,
                  "pid": sleeper.pid, "pid_number": int(stat.rsplit(")", 1)[1].split()[19]), "log_device": 0, "log_inode": 0}
        (warden.state / f"run/warden-o1/agents/{agent_id('tty')}.json").write_text(json.dumps(record))
        warden.start(session=True)
        os.close(slave)
        os.close(master)  # hangs up on who has it for a terminal
        wait_until("it is cleaned up", lambda: not list((warden.state / "run/warden-o1/agents").glob("*.json")), 10)
        assert pathlib.Path(f"/proc/{warden.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[4] == "0"  # tty_nr
        assert warden.client().ready
        sleeper.kill()


def test_a_second_warden_of_the_same_folder_does_not_start(warden):
    ran = subprocess.run([BIN / "multiclaw-warden"], env=warden.env, capture_output=True, text=True, timeout=10)
    assert ran.returncode == 1 and "another warden runs" in ran.stderr


def test_no_more_than_a_few_volumes_are_erased_at_once(own):
    warden = own()
    client = warden.client()
    for i in range(64):
        client.send(ERASE, agent_id(f"erase{i}"), "", struct.pack("=45s3xQ", wallet("owner").encode(), 7))
    said = [client.wait(ERASED, agent=agent_id(f"erase{i}")).text for i in range(64)]
    assert any("busy" in text for text in said) and any("busy" not in text for text in said)
    assert "busy" not in client.erase(agent_id("erase0"))


def test_a_stop_that_comes_as_soon_as_it_listens_takes_the_agents_along(own):
    warden = own(STOP_ON_EXIT="no")
    image, agent = warden.shell(""), agent_id("early")
    for _ in range(10):
        warden.client().started(agent, image=image)
        warden.kill9()
        warden.start(wait=False, MULTICLAW_WARDEN_STOP_ON_EXIT="yes")
        while not warden.answers():
            pass
        warden.process.terminate()
        assert warden.process.wait(20) == 0
        assert not cgroup_pids(warden, agent)
        warden.start()


def addresses_of_lo():
    return subprocess.run(["ip", "-4", "addr", "show", "dev", "lo"], capture_output=True, text=True, check=True).stdout


def resolver_of(warden):
    """The last /31's host end."""
    return f"inet {ipaddress.ip_network(warden.network)[-2]}/32"


def test_agents_outlive_a_stop_that_says_so_and_end_with_one_that_says_otherwise(own):
    warden = own(STOP_ON_EXIT="no")
    client, left, agent = warden.client(), Left(warden), agent_id("outlive")
    client.started(agent, image=warden.shell(""))
    warden.stop()
    assert cgroup_pids(warden, agent)
    warden.start(MULTICLAW_WARDEN_STOP_ON_EXIT="yes")
    ready = warden.client()
    assert [f.agent for f in ready.found] == [agent]
    assert resolver_of(warden) in addresses_of_lo()
    warden.stop()
    assert not cgroup_pids(warden, agent)
    left.check()
    assert resolver_of(warden) not in addresses_of_lo()
    assert subprocess.run(["nft", "list", "table", "inet", f"{warden.prefix}_agents"], capture_output=True).returncode != 0


def test_orphans_are_ended(own):
    warden = own(ORPHAN_S=2)
    client, left, agent = warden.client(), Left(warden), agent_id("orphan")
    client.started(agent, image=warden.shell(""))
    for _ in range(8):
        client.alive()
        time.sleep(0.4)
    assert cgroup_pids(warden, agent)
    ended = client.ended(agent)
    assert ended.was_asked
    left.check()


def test_without_the_hosts_rules_all_end(own):
    warden = own()
    client, agent, image = warden.client(), agent_id("rules"), warden.shell("")
    client.started(agent, image=image)
    subprocess.run(["nft", "delete", "table", "inet", f"{warden.prefix}_agents"], check=True)
    assert client.ended(agent).was_asked

    def starts():
        client.start(agent, image=image)
        return client.wait(STARTED, FAILED, agent=agent).what == STARTED

    wait_until("rules are back", starts, every=0.3)
    client.killed(agent)


# ---- the connection


def test_a_reset_is_answered_also_of_what_is_not_there(client):
    assert client.reset(agent_id("nobody")) == ""


def test_packets_that_are_not_as_they_should_be_close_the_connection(warden, page):
    good = agent_id(1)
    for name, send in {
        "version": lambda c: c.send(1, version=2),
        "kind": lambda c: c.send(77, good, "b0"),
        "event": lambda c: c.send(STARTED, good, "b0"),
        "agent": lambda c: c.send(4, "../" + good[3:], "b0"),
        "no agent": lambda c: c.send(4, "", "b0"),
        "boot": lambda c: c.send(4, good, "xyz"),
        "short": lambda c: c.socket.send(b"x" * 100),
        "long": lambda c: c.socket.send(bytes(SIZE + 1)),
        "no NUL": lambda c: c.socket.send(c.packet(4)[:8] + b"a" * 66 + bytes(SIZE - 74)),
        "behind NUL": lambda c: c.socket.send(c.packet(4, good, "b0")[:44] + b"x" + c.packet(4)[45:]),
        "no secrets": lambda c: c.send(START, good, "b0", bytes(100)),
        "fd": lambda c: c.send(4, good, "b0", fds=[0]),
        "fds": lambda c: c.send(START, good, "b0", fds=[0, 0, 0]),
        "exec": lambda c: c.send(EXEC, good, "b0", struct.pack("=I", 9000)),
    }.items():
        client = warden.client()
        send(client)
        with pytest.raises(ConnectionResetError):
            client.next(5)
            pytest.fail(name)
    client = warden.client()
    assert client.ready.slots == 256


def test_the_newest_connection_is_served_and_strangers_are_not(warden):
    first = warden.client()
    second = warden.client()
    with pytest.raises(ConnectionResetError):
        first.next(5)
    second.alive()
    stranger = f"import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect({str(warden.socket)!r})"
    os.chmod(warden.state, 0o711), os.chmod(warden.state / "run", 0o711)
    ran = subprocess.run(["/usr/bin/python3", "-c", stranger], user=65534, capture_output=True, text=True)
    assert "PermissionError" in ran.stderr
    os.chmod(warden.socket, 0o666)
    ran = subprocess.run(["/usr/bin/python3", "-c", stranger + "; print(s.recv(10))"], user=65534, capture_output=True, text=True)
    assert ran.stdout == "b''\n", ran
    second.alive()
    assert warden.process.poll() is None


def test_a_word_about_another_boot_does_nothing(client, page):
    agent = agent_id("boots")
    client.started(agent, image=page)
    client.kill(agent, "b9")
    assert client.wait(GONE, agent=agent).boot == "b9"
    assert client.exec(agent, "/bin/echo", "x").output == b"x\n"
    client.killed(agent)
