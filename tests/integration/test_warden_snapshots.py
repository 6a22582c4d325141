"""What warden does for snapshots: volumes that are held, archives made of them by the real packer, and starts from an archive."""

import contextlib
import fcntl
import glob
import os
import pathlib
import signal
import statistics
import struct
import termios
import time

import pytest

from suite import wait_until
from warden_parts import (
    ENDED, FAILED, FAILURE_ARCHIVE, FAILURE_NO_VOLUME, FAILURE_OTHER, FAILURE_VOLUME, GONE, MADE, MIB, NOT_SAVED, PORT, PRESENT, SAVING, SNAPSHOTTED,
    SECRET_FOUND, STARTED, UNCHANGED, Left, Reader, Warden, Writer, agent_id, archive_of, get, memfd, wallet, wardens,
)  # fmt: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

CGROUPS = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
OLD, NEW = "old files", "new files"


@pytest.fixture(scope="module")
def warden():
    with Warden("o4", "10.221.192.0/20") as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere():
    """Another host: other user ids, other volumes."""
    with Warden("o5", "10.221.208.0/20", MULTICLAW_WARDEN_UID_BASE=2 << 30) as made:
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
    with wardens("o6", "10.221.240.0/20") as make:
        yield make


@pytest.fixture(scope="module")
def page(warden):
    return warden.shell("mkdir -p /data/kept/deep; [ -e /data/kept/a ] || echo kept > /data/kept/a; trap 'exit 7' TERM; httpd -f -p 18789 -h /data & wait")


def fill(client, agent, text=OLD, kib=2048, **more):
    """What no compression makes small: an archive of it does not fit into a pipe."""
    script = f"mkdir -p /data/kept; echo {text} > /data/kept/a; head -c {kib * 1024} /dev/urandom > /data/kept/large; sync"
    done = client.exec(agent, "/bin/sh", "-c", script, timeout_ms=30000, **more)
    assert done.status == 0 and done.why == "", done


def group(warden, name):
    return f"{CGROUPS}/multiclaw-{warden.prefix}/{name}"


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def pids(warden, name):
    return [int(line) for path in glob.glob(group(warden, name) + "/**/cgroup.procs", recursive=True) for line in read(path).split()]


def packers(warden, agent):
    return [pid for pid in pids(warden, f"packers/{agent}") if "multiclaw-packer" in read(f"/proc/{pid}/cmdline")]


def is_frozen(warden, agent):
    return "frozen 1" in read(group(warden, agent) + "/cgroup.events")


def volume(warden, agent, period=7):
    return warden.state / "volumes" / agent / wallet("owner") / str(period)


@contextlib.contextmanager
def stuck(warden, client, agent, **more):
    """A snapshot that is in the middle of its archive, and goes on once that is read."""
    with Reader() as reader:
        client.snapshot(agent, reader.end, **more)
        reader.close_end()

        def is_full():
            return struct.unpack("i", fcntl.ioctl(reader.read_end, termios.FIONREAD, bytes(4)))[0] > 32768

        wait_until("the pipe is full", is_full, 30)
        yield reader


def held(client, agent, hold_ms=60000, boot="b0", **more):
    client.stop(agent, boot, hold_ms=hold_ms, **more)
    ended = client.wait(ENDED, agent=agent)
    assert ended.is_held and ended.was_asked, ended
    return ended


# ---- held


def test_one_that_is_held_has_no_process_until_it_is_released(warden, client, page):
    agent = agent_id("held")
    client.started(agent, image=page)
    assert os.WEXITSTATUS(held(client, agent).status) == 7
    assert not pids(warden, agent) and pids(warden, f"volumes/{agent}")
    assert "held" in client.failed(agent, image=page, boot="b1")
    assert client.exec(agent, "/bin/echo").why == "it does not run"
    assert "open" in client.erase(agent)
    client.release(agent)
    assert client.wait(GONE, agent=agent).text == ""
    client.release(agent)  # late, not wrong
    assert client.wait(GONE, agent=agent).text == ""
    client.started(agent, image=page, volume=PRESENT)
    assert not client.killed(agent).is_held


@pytest.mark.parametrize("how", ["time", "kill", "release", "close", "replace", "unshown"])
def test_a_hold_ends_and_with_it_the_secrets(warden, page, how):
    left, client, agent = Left(warden), warden.client(), agent_id(f"hold {how}")
    client.started(agent, image=page)
    secrets = os.open(f"/proc/{pids(warden, agent)[0]}/root/run/secrets", os.O_RDONLY)
    held(client, agent, hold_ms=700 if how == "time" else 60000)
    if how != "time":
        assert os.listdir(secrets) == ["token"], "they are looked for in what is saved"
    if how == "kill":
        client.kill(agent)
    elif how == "release":
        client.release(agent)
    elif how == "close":
        client.close()
    elif how == "unshown":
        for pid in pids(warden, f"volumes/{agent}"):
            os.kill(pid, signal.SIGKILL)
    if how in ("close", "replace"):
        newer = warden.client()
        # to the newer one it is as any other that ends, if it is there still
        assert all(found.is_ending for found in newer.found if found.agent == agent)
        wait_until("it is gone", lambda: not pids(warden, f"volumes/{agent}"))
        newer.close()
    else:
        assert client.wait(GONE, agent=agent).text == ""
    assert os.listdir(secrets) == []
    os.close(secrets)
    left.check()


def test_one_that_ends_by_itself_or_by_force_after_a_stop_with_hold_is_held_and_one_that_is_killed_is_not(warden, client, page):
    deaf = warden.shell("trap '' TERM; httpd -p 18789 -h /data; while :; do sleep 0.1; done")
    agent = agent_id("deaf")
    client.started(agent, image=deaf)
    assert os.WTERMSIG(held(client, agent, grace_ms=300).status) == signal.SIGKILL
    client.kill(agent)
    client.wait(GONE, agent=agent)
    client.started(agent, image=deaf)
    client.stop(agent, hold_ms=60000, grace_ms=30000)
    os.kill(pids(warden, agent)[0], signal.SIGKILL)
    assert client.wait(ENDED, agent=agent).is_held
    client.release(agent)
    client.wait(GONE, agent=agent)
    for last in (client.kill, client.release):
        client.started(agent, image=deaf)
        client.stop(agent, hold_ms=60000, grace_ms=500)
        last(agent)
        assert not client.ended(agent).is_held
    client.start(agent, image=page)
    client.stop(agent, hold_ms=60000)
    assert not client.ended(agent).is_held


# ---- there and back


def test_files_come_back_on_another_host_from_one_that_runs_or_is_held(warden, elsewhere, client, page):
    agent, there, page_there = agent_id("round"), elsewhere.client(), elsewhere.shell("")
    left_there = Left(elsewhere)
    client.started(agent, image=page)
    fill(client, agent)
    client.exec(agent, "/bin/sh", "-c", "chmod 640 /data/kept/a; echo no > /data/other; ls -l /data/kept > /data/kept/deep/list")
    snapshots = [client.saved(agent), client.saved(agent, freeze=True)]
    held(client, agent)
    snapshots.append(client.saved(agent))
    client.release(agent)
    client.wait(GONE, agent=agent)
    for event, archive in snapshots:
        assert event.outcome == MADE and event.files >= 3 and event.bytes > 2 * MIB and event.stored_bytes == len(archive), event
        with Writer(archive) as writer:
            there.fill(agent, writer, image=page_there)
            started = there.wait(STARTED, FAILED, agent=agent, timeout=60)
            assert started.what == STARTED, started
        assert get(started.address, "/kept/a") == (200, b"old files\n") and get(started.address, "/other")[0] == 404
        said = there.exec(agent, "/bin/sh", "-c", "stat -c '%a %u %g %s' /data /data/kept/a /data/kept/large; echo x >> /data/kept/a && echo writes").output
        assert said.split(b"\n")[0].startswith(b"700 1000 1000 ")
        assert said.split(b"\n")[1:4] == [b"640 1000 1000 10", b"644 1000 1000 2097152", b"writes"], said
        there.killed(agent)
        assert [p.name for p in volume(elsewhere, agent).iterdir()] == ["data.ext4"]
    there.close()
    left_there.check()


def test_what_did_not_change_is_not_written_again(client, page):
    agent = agent_id("same")
    client.started(agent, image=page)
    first, _ = client.saved(agent)
    assert first.outcome == MADE and any(first.fingerprint)
    again, archive = client.saved(agent, fingerprint=first.fingerprint)
    assert again.outcome == UNCHANGED, again
    client.exec(agent, "/bin/sh", "-c", "echo more >> /data/kept/a")
    assert client.saved(agent, fingerprint=first.fingerprint)[0].outcome == MADE
    client.killed(agent)


def test_a_snapshot_that_cannot_be_says_why(warden, client, page):
    agent = agent_id("cannot")

    def why(**more):
        with Reader() as reader:
            client.snapshot(agent, more.pop("pipe", reader.end), **more)
            event = client.wait(SNAPSHOTTED, agent=agent)
            assert event.outcome == NOT_SAVED
            return event.text

    assert "does not run" in why()
    client.started(agent, image=page)
    fill(client, agent)
    assert "another owner" in why(archive=archive_of(owner="other"))
    assert "another owner" in why(archive=archive_of(period=8))
    assert "sealed" in why(fd=memfd({"a": b"x"}, seal=False))
    with open("/dev/null", "wb") as null, Writer(b"") as writer:
        assert "pipe" in why(pipe=null.fileno())
        assert "pipe" in why(pipe=writer.end)
    with stuck(warden, client, agent) as reader:
        assert "another" in why()
        # it has a limit of memory of its own
        (limit,) = {*glob.glob(f"/sys/fs/cgroup/memory/multiclaw-o4/packers/{agent}/*/memory.limit_in_bytes")} or {*glob.glob(
            group(warden, f"packers/{agent}/*/memory.max"))}  # fmt: skip
        assert int(read(limit)) == 512 * MIB
        client.release(agent)
        assert client.wait(SNAPSHOTTED, agent=agent).outcome == NOT_SAVED
        reader.begin()
    with stuck(warden, client, agent) as reader:
        os.kill(packers(warden, agent)[0], signal.SIGKILL)
        event = client.wait(SNAPSHOTTED, agent=agent)
        assert event.outcome == NOT_SAVED and "ended before" in event.text
    assert client.exec(agent, "/bin/echo", "runs").output == b"runs\n"
    client.killed(agent)


def test_snapshots_leave_no_descriptor_behind(warden, client, page):
    agent, folder = agent_id("fds"), f"/proc/{warden.process.pid}/fd"
    client.started(agent, image=page)
    assert client.saved(agent)[0].outcome == MADE
    before = len(os.listdir(folder))
    for _ in range(3):
        assert client.saved(agent)[0].outcome == MADE
    assert len(os.listdir(folder)) <= before
    client.killed(agent)


def memory(pid):
    """All of it that can be read."""
    whole = b""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            first, last = (int(number, 16) for number in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and "[v" not in line:
                with contextlib.suppress(OSError):
                    mem.seek(first)
                    whole += mem.read(last - first)
    return whole


def test_keys_are_in_no_process_of_wardens_once_they_are_used(warden, client, page, archive):
    agent, save_key, volume_key = agent_id("keys"), os.urandom(32), os.urandom(32)
    client.started(agent, image=page, key=volume_key)
    fill(client, agent)
    with stuck(warden, client, agent, archive=archive_of(key=save_key)) as reader:
        own_ones = {warden.process.pid, *pids(warden, f"packers/{agent}")} - set(packers(warden, agent))
        assert len(own_ones) == 2
        for pid in own_ones:
            held_by_it = memory(pid)
            assert agent.encode() in held_by_it and save_key not in held_by_it and volume_key not in held_by_it
        reader.begin()
        assert client.wait(SNAPSHOTTED, agent=agent).outcome == MADE
    client.killed(agent)
    with Writer(archive, limit=1000) as writer:
        client.fill(agent, writer, archive_of(key=save_key), image=page, key=volume_key)
        wait_until("it is filled", lambda: packers(warden, agent), 30)
        time.sleep(0.3)  # until it has read its order
        for pid in (warden.process.pid, *pids(warden, f"jobs/{agent}")):
            held_by_it = memory(pid)
            assert agent.encode() in held_by_it and save_key not in held_by_it and volume_key not in held_by_it
        client.kill(agent)
        client.ended(agent)


# ---- what must not be in it

OLD_KEY, NEW_KEY, URL = b"sk-old-" + b"7f3a9c" * 6, b"sk-new-" + b"e41b05" * 6, b"http://10.9.8.7:18790/openai/v1"


def finds(client, agent, text, files):
    """Which of them, in a file of that text."""
    if text is not None:
        client.exec(agent, "/bin/sh", "-c", f"mkdir -p /data/kept; echo {text.decode()} > /data/kept/a")
    event, _ = client.saved(agent, files=files)
    assert event.outcome in (MADE, SECRET_FOUND), event
    return (event.path, event.kind.split(":")[0]) if event.outcome == SECRET_FOUND else None


def test_what_it_was_given_is_looked_for_beside_what_is_named_until_it_is_gone(own):
    warden = own()
    client, left, agent = warden.client(), Left(warden), agent_id("given")
    given = {"deep/er/key": OLD_KEY, "llm/X_BASE_URL": URL, "same": b"sk-same-" + b"0a1b2c" * 6}
    now = {"custom/new": NEW_KEY, "llm/X_BASE_URL": b"", "same": given["same"]}
    client.started(agent, image=warden.shell(""), files=given)
    old, new, same = ("kept/a", "deep/er/key"), ("kept/a", "custom/new"), ("kept/a", "same")
    assert [finds(client, agent, text, now) for text in (OLD_KEY, NEW_KEY, given["same"])] == [old, new, same]
    # the name of no bytes: where something listens is no secret
    assert finds(client, agent, URL, now) is None
    assert finds(client, agent, URL, {}) == ("kept/a", "llm/X_BASE_URL")
    assert finds(client, agent, OLD_KEY, {"deep/er/key": NEW_KEY}) == old
    assert finds(client, agent, NEW_KEY, {"deep/er/key": NEW_KEY}) == old
    warden.kill9()
    warden.start()
    client = warden.client()
    assert finds(client, agent, OLD_KEY, now) == old
    held(client, agent)
    assert finds(client, agent, None, now) == old and finds(client, agent, None, {"a": b"x"}) == old
    client.release(agent)
    client.wait(GONE, agent=agent)
    client.started(agent, image=warden.shell(""), files={})
    assert finds(client, agent, None, now) is None
    client.killed(agent)
    left.check()


# ---- standing still


def test_processes_stand_still_while_they_are_saved_but_not_for_long(warden, client, page):
    agent = agent_id("still")
    client.started(agent, image=page)
    fill(client, agent)
    with stuck(warden, client, agent, freeze=True) as reader:
        assert is_frozen(warden, agent)
        wait_until("it goes on", lambda: not is_frozen(warden, agent), 20)
        assert client.exec(agent, "/bin/echo", "runs").output == b"runs\n"
        reader.begin()
        assert client.wait(SNAPSHOTTED, agent=agent).outcome == MADE
    with stuck(warden, client, agent, freeze=True) as reader:
        assert is_frozen(warden, agent)
        reader.begin()
        assert client.wait(SNAPSHOTTED, agent=agent).outcome == MADE
        assert not is_frozen(warden, agent)
    with stuck(warden, client, agent, freeze=True):
        os.kill(packers(warden, agent)[0], signal.SIGKILL)
        assert client.wait(SNAPSHOTTED, agent=agent).outcome == NOT_SAVED
        assert not is_frozen(warden, agent)
    # what has to end must hear it
    with stuck(warden, client, agent, freeze=True):
        client.stop(agent, grace_ms=10000)
        assert os.WIFEXITED(client.ended(agent).status)
    assert client.wait(SNAPSHOTTED, agent=agent).outcome == NOT_SAVED


def test_one_that_stood_still_when_warden_died_goes_on_with_the_next(own):
    warden = own()
    client, left, agent = warden.client(), Left(warden), agent_id("dies")
    client.started(agent, image=warden.shell(""))
    fill(client, agent)
    with stuck(warden, client, agent, freeze=True):
        assert is_frozen(warden, agent) and packers(warden, agent)
        warden.kill9()
        warden.start()
        assert not is_frozen(warden, agent)
        wait_until("what saved it has ended", lambda: not packers(warden, agent))
    client = warden.client()
    assert client.exec(agent, "/bin/echo", "runs").output == b"runs\n"
    # found again, it can be saved as before
    assert client.saved(agent)[0].outcome == MADE
    held(client, agent)
    assert client.saved(agent)[0].outcome == MADE
    client.release(agent)
    client.wait(GONE, agent=agent)
    left.check()


def test_a_kill_does_not_wait_for_a_snapshot(warden, client, page):
    agent, took = agent_id("fast"), {False: [], True: []}
    for is_saved in (False, True) * 3:
        client.started(agent, image=page)
        fill(client, agent)
        with stuck(warden, client, agent, freeze=True) if is_saved else contextlib.nullcontext():
            client.kill(agent)
            took[is_saved].append(client.wait(ENDED, agent=agent).us)
            assert client.wait(GONE, agent=agent).text == ""
        if is_saved:
            assert client.wait(SNAPSHOTTED, agent=agent).outcome == NOT_SAVED
    # of a machine that has other work
    assert statistics.median(took[True]) < 2 * statistics.median(took[False]) + 100000, took


# ---- filled


@pytest.fixture(scope="module")
def archive(warden, page):
    """Of an agent whose files are NEW ones."""
    client, agent = warden.client(), agent_id("fills")
    client.started(agent, image=page)
    fill(client, agent, NEW)
    event, data = client.saved(agent)
    assert event.outcome == MADE
    client.killed(agent)
    client.close()
    return data


def whose(client, agent, boot="b0", **more):
    """Which files it has: all of the old, or all of the new."""
    started = client.started(agent, boot=boot, **more)
    texts = client.exec(agent, "/bin/sh", "-c", "cat /data/kept/a; stat -c %s /data/kept/large", boot=boot).output.decode().split("\n")
    assert get(started.address, "/kept/a")[0] == 200 and texts[1] == "2097152", texts
    client.killed(agent, boot)
    return texts[0]


def test_without_a_volume_nothing_is_made_where_one_must_be(warden, client, page):
    agent = agent_id("present")
    client.start(agent, image=page, volume=PRESENT)
    failed = client.wait(FAILED, STARTED, agent=agent)
    assert failed.what == FAILED and failed.failure == FAILURE_NO_VOLUME
    assert not (warden.state / "volumes" / agent).exists()
    client.started(agent, image=page)
    client.killed(agent)
    client.started(agent, image=page, volume=PRESENT)
    client.killed(agent)
    client.start(agent, image=page, volume=PRESENT, key=b"x" * 32)
    assert client.wait(FAILED, STARTED, agent=agent).failure == FAILURE_VOLUME


def test_an_archive_that_is_not_whole_leaves_the_old_volume(warden, client, page, archive):
    agent = agent_id("fills")
    client.started(agent, image=page)
    fill(client, agent)
    client.killed(agent)
    file = volume(warden, agent) / "data.ext4"
    before = file.read_bytes(), file.stat().st_ino
    middle = len(archive) // 2
    flipped = archive[:middle] + bytes([archive[middle] ^ 1]) + archive[middle + 1 :]
    for name, data, about in [
        ("nothing", b"", {}), ("garbage", os.urandom(100000), {}), ("cut", archive[:-1], {}), ("more", archive + b"x", {}),
        ("flipped", flipped, {}), ("number", archive, {"number": 2}),
    ]:  # fmt: skip
        with Writer(data) as writer:
            client.fill(agent, writer, archive_of(**about), image=page)
            failed = client.wait(FAILED, STARTED, agent=agent, timeout=60)
        assert failed.what == FAILED and failed.failure == FAILURE_ARCHIVE, (name, failed)
        assert [p.name for p in volume(warden, agent).iterdir()] == ["data.ext4"], name
        assert (file.read_bytes(), file.stat().st_ino) == before, name
    with open("/dev/null", "rb") as null:
        client.start(agent, image=page, volume=2, pipe=null.fileno(), archive=archive_of())
        failed = client.wait(FAILED, agent=agent)
        assert "pipe" in failed.text and failed.failure == FAILURE_OTHER
    assert whose(client, agent, image=page, volume=PRESENT) == OLD
    with Writer(archive, limit=200000) as writer:
        client.fill(agent, writer, image=page)
        wait_until("it is filled", lambda: packers(warden, agent), 30)
        assert (volume(warden, agent) / "data.new").exists()
        time.sleep(1.2)  # then how far it is is worth a word
        writer.go()
        assert client.wait(SAVING, agent=agent, timeout=60).bytes > 0
        assert client.wait(STARTED, FAILED, agent=agent, timeout=60).what == STARTED
    client.killed(agent)
    assert whose(client, agent, image=page, volume=PRESENT) == NEW


def test_what_makes_no_progress_is_ended(own, archive):
    warden = own(PACKER_STALL_S=1)
    client, left, agent, image = warden.client(), Left(warden), agent_id("fills"), warden.shell("")
    client.started(agent, image=image)
    fill(client, agent)
    with stuck(warden, client, agent):
        event = client.wait(SNAPSHOTTED, agent=agent)
        assert event.outcome == NOT_SAVED and "no progress" in event.text
    client.killed(agent)
    with Writer(archive, limit=200000) as writer:
        client.fill(agent, writer, image=image)
        failed = client.wait(FAILED, STARTED, agent=agent, timeout=60)
        assert failed.failure == FAILURE_OTHER and "no progress" in failed.text
    assert whose(client, agent, image=image, volume=PRESENT) == OLD
    left.check()


@pytest.mark.parametrize("victim", ["warden", "packer", "agent"])
def test_a_volume_is_the_old_one_or_the_new_one_whenever_its_filling_is_killed(own, archive, victim):
    warden = own()
    left, image, agent, found = Left(warden), warden.shell(""), agent_id("fills"), NEW
    for i in range(4):
        client = warden.client()
        if found == NEW:
            client.started(agent, image=image, boot=f"b{i}a")
            fill(client, agent, boot=f"b{i}a")
            client.killed(agent, f"b{i}a")
        # each second time it is killed in the middle of the archive, else at any moment up to its start
        with Writer(archive, limit=1000 + 100000 * i) as writer:
            client.fill(agent, writer, image=image, boot=f"b{i}")
            wait_until("it is filled", lambda: packers(warden, agent), 30)
            if i % 2:
                writer.go()
            time.sleep((0.02, 0.1, 0.2, 0.3)[i])
            if victim == "warden":
                warden.kill9()
                warden.start()
                client = warden.client()
                for _ in client.found:
                    client.kill(agent, f"b{i}")
                    client.wait(GONE, agent=agent, timeout=30)
            elif victim == "packer":
                for pid in packers(warden, agent):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                if client.wait(STARTED, FAILED, agent=agent).what == STARTED:
                    client.killed(agent, f"b{i}")
            else:
                client.killed(agent, f"b{i}")
        client = warden.client()
        found = whose(client, agent, image=image, volume=PRESENT, boot=f"b{i}c")
        assert found == OLD or (found == NEW and i % 2), (i, found)
        assert [p.name for p in volume(warden, agent).iterdir()] == ["data.ext4"]
    client.close()
    left.check()
