"""multiclaw-packer: what it saves comes back, what is hostile or damaged does not come in, and it holds nothing that it could misuse."""

import base64
import hashlib
import io
import os
import pathlib
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import time

import pytest

import packer_parts as packer
from packer_parts import MADE, NOT_SAVED, SECRET_FOUND, TOO_LARGE, UNCHANGED, UID, archive_of, entry, pack, place, sealed, tar_of, unpack, zstd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the packer is started by root")


@pytest.fixture
def here(tmp_path):
    """A folder that others may pass through, with `src/data` in it."""
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == "root" and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    place(tmp_path / "src")
    place(tmp_path / "src/data")
    yield tmp_path
    subprocess.run(["chmod", "-R", "u+rwX", tmp_path], check=False)


def own(tree):
    subprocess.run(["chown", "-Rh", f"{UID}:{UID}", tree], check=True)


def look(tree):
    """All of a tree that is kept."""
    seen, names = {}, {}
    for folder, folders, files in os.walk(os.fsencode(tree)):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [stat.S_IFMT(st.st_mode), st.st_mode & 0o777, st.st_uid]
            if stat.S_ISREG(st.st_mode):
                digest = hashlib.sha256()
                with open(path, "rb") as file:
                    at = 0
                    while at < st.st_size:
                        try:
                            data = os.lseek(file.fileno(), at, os.SEEK_DATA)
                        except OSError:
                            break
                        at = os.lseek(file.fileno(), data, os.SEEK_HOLE)
                        piece = os.pread(file.fileno(), at - data, data).rstrip(b"\0")
                        digest.update(b"%d " % data + piece if piece else b"")
                what += [st.st_size, int(st.st_mtime), digest.hexdigest()]
                names.setdefault(st.st_ino, set()).add(os.path.relpath(path, os.fsencode(tree)))
            elif stat.S_ISLNK(st.st_mode):
                what[1] = 0
                what += [os.readlink(path)]
            else:
                what += [int(st.st_mtime)]
            seen[os.path.relpath(path, os.fsencode(tree))] = what
    return seen, sorted(map(sorted, (same for same in names.values() if len(same) > 1)))


def there_and_back(here, **how):
    report, archive = pack(here / "src", **how)
    assert (report.outcome, report.text) == (MADE, b"")
    assert packer.pack.last.status == 0 and bytes(report.digest) == hashlib.blake2b(archive, digest_size=32).digest()
    back = unpack(place(here / "back"), archive)
    assert (back.outcome, back.text) == (MADE, b"") and packer.unpack.last.status == 0
    assert bytes(back.digest) == bytes(report.digest) and back.bytes == report.bytes and back.files == report.files
    return report, archive


# ---- what is saved comes back ----


def test_a_tree_comes_back_as_it_was(here):
    data = here / "src/data"
    (data / "sub/empty").mkdir(parents=True)
    (data / "sub/file").write_bytes(b"x" * 3_000_001)
    (data / "nothing").touch()
    (data / "größe 💾\n\x7f").write_bytes(b"unicode")
    with open(os.fsencode(data) + b"/\xff\xfe odd", "wb") as file:
        file.write(b"odd")
    (data / ("long" * 60)).mkdir()
    (data / ("long" * 60) / ("n" * 250)).write_bytes(b"long")
    os.link(data / "sub/file", data / "sub/second name")
    os.link(data / "nothing", data / "sub/other nothing")
    os.symlink("/etc/passwd", data / "out")
    os.symlink("../" * 30 + "x", data / "sub/up")
    os.symlink(b"\xff\xfe", data / "odd target")
    for mode in (0o000, 0o400, 0o777, 0o4755, 0o2755):
        (data / f"mode-{mode:o}").write_bytes(b"m")
        (data / f"mode-{mode:o}").chmod(mode)
    with open(data / "sparse", "wb") as file:
        file.truncate(1 << 40)
        os.pwrite(file.fileno(), b"begin", 0)
        os.pwrite(file.fileno(), b"middle" * 10000, 1 << 39)
    with open(data / "hole alone", "wb") as file:
        file.truncate(50 << 20)
    with open(data / "hole at the end", "wb") as file:
        file.write(b"y" * 100_000)
        file.truncate(20 << 20)
    own(data)
    (data / "mode-4755").chmod(0o4755)
    (data / "sub/empty").chmod(0o500)
    (data / "sub").chmod(0o555)
    os.utime(data / "sub/file", (5, 1_600_000_000))
    before = look(data)
    report, archive = there_and_back(here)
    assert look(data) == before
    assert look(here / "back/data") == before
    assert (here / "back/data/mode-4755").stat().st_mode & 0o7000 == 0
    assert report.bytes < 5_000_000 and (here / "back/data/sparse").stat().st_blocks < 10_000
    # and another's tar reads it
    tar = tar_of(archive)
    assert tar.getmember("data/sub/second name").islnk() and tar.extractfile("data/sub/file").read() == b"x" * 3_000_001


def test_many_small_files_come_back(here):
    for i in range(200):
        os.mkdir(here / f"src/data/{i}")
        for k in range(100):
            with open(here / f"src/data/{i}/{k}", "wb") as file:
                file.write(b"%d %d" % (i, k))
    own(here / "src/data")
    report, _ = there_and_back(here)
    assert report.files == 20_000 and report.unsettled == report.skipped == 0
    assert (here / "back/data/199/99").read_bytes() == b"199 99"
    again, archive = pack(here / "src", fingerprint=bytes(report.fingerprint))
    assert (again.outcome, archive, packer.pack.last.status) == (UNCHANGED, b"", 0)
    (here / "src/data/5/5").write_bytes(b"5 6")
    again, archive = pack(here / "src", fingerprint=bytes(report.fingerprint))
    assert again.outcome == MADE and len(archive) > 1000


def test_saves_the_roots_but_not_what_is_excluded(here):
    for path in ("a/in", "b/in", "b/not/in", "c/d/in", "c/out", "e"):
        (here / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (here / "src" / path).write_bytes(b"1")
    own(here / "src")
    (here / "src/c").chmod(0o750)
    report, archive = pack(here / "src", roots=("b", "a", "c/d", "e", "missing"), excluded=("b/not", "a/in"))
    assert tar_of(archive).getnames() == ["a", "b", "b/in", "c", "c/d", "c/d/in", "e"]
    assert tar_of(archive).getmember("c").mode == 0o750
    report, archive = pack(here / "src", roots=(".",))
    assert len(tar_of(archive).getnames()) == 12
    for roots in (("../x",), ("/etc",), ("a//b",), ("a/../../b",)):
        report, archive = pack(here / "src", roots=roots)
        assert report is None and archive == b"" and packer.pack.last.status == 1


def test_leaves_devices_sockets_and_depths_out_and_counts_them(here):
    data = here / "src/data"
    os.mkfifo(data / "fifo")
    os.mknod(data / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    place(data / "deep")
    at = os.open(data / "deep", os.O_RDONLY)
    for i in range(400):
        os.mkdir("d", dir_fd=at)
        at, below = os.open("d", os.O_RDONLY, dir_fd=at), at
        os.close(below)
    os.close(at)
    (data / "file").write_bytes(b"1")
    report, archive = pack(here / "src")
    assert (report.outcome, report.skipped, report.files) == (MADE, 3, 1)
    shutil.rmtree(data / "deep")


# ---- databases ----

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma journal_mode=" + sys.argv[2])
db.execute("create table t(n integer primary key, text)")
i = 0
while True:
    db.execute("begin")
    for k in range(10):
        i += 1
        db.execute("insert into t values(?, ?)", (i, str(i) * 50))
    db.execute("commit")
    print(i, flush=True)
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_is_saved_whole_while_it_is_written(here, mode):
    path = here / "src/data/live.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", "import os; os.setgid(%d); os.setuid(%d)\n" % (UID, UID) + WRITER, str(path), mode], stdout=subprocess.PIPE, text=True
    )
    try:
        committed = 0
        while committed < 500:
            committed = int(writer.stdout.readline())
        drained = threading.Thread(target=writer.stdout.read, daemon=True)
        drained.start()
        report, archive = pack(here / "src")
    finally:
        writer.kill()
        writer.wait()
    assert (report.outcome, report.unsettled, report.files) == (MADE, 0, 1)
    assert [name for name in tar_of(archive).getnames()] == ["data", "data/live.db"]
    unpack(place(here / "back"), archive)
    db = sqlite3.connect(here / "back/data/live.db")
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    rows, last = db.execute("select count(*), max(n) from t").fetchone()
    assert rows == last >= committed and rows % 10 == 0


def test_what_a_crash_left_of_a_database_is_saved_too(here):
    data = here / "src/data"
    path = data / "live.db"
    live = sqlite3.connect(path, isolation_level=None)
    live.execute("pragma journal_mode=wal")
    live.execute("create table t(n)")
    live.execute("insert into t values(1), (2)")
    shutil.copy(path, data / "crashed.db")
    shutil.copy(data / "live.db-wal", data / "crashed.db-wal")
    other = sqlite3.connect(data / "other.db", isolation_level=None)
    other.execute("create table t(n)")
    other.execute("insert into t values(1), (2)")
    other.execute("pragma cache_size=2")
    other.execute("begin")
    other.executemany("insert into t values(?)", [("x" * 1000,)] * 1000)
    shutil.copy(data / "other.db", data / "hot.db")
    shutil.copy(data / "other.db-journal", data / "hot.db-journal")
    other.execute("rollback")
    (data / "hostile.db").write_bytes(b"SQLite format 3\0" + os.urandom(20000))
    closed = sqlite3.connect(data / "closed.db", isolation_level=None)
    closed.execute("pragma journal_mode=wal")
    closed.execute("create table t as select 1 union select 2")
    closed.close()
    with open(data / "hole.db", "wb") as file:
        file.write((data / "closed.db").read_bytes())
        file.truncate(1 << 40)
    own(data)
    before = sorted(os.listdir(data))
    there_and_back(here)
    # nothing of it was touched
    assert sorted(os.listdir(data)) == before
    for name in ("live", "crashed", "hot", "other", "closed"):
        db = sqlite3.connect(here / f"back/data/{name}.db")
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)], name
        assert db.execute("select count(*) from t").fetchone() == (2,), name
    assert (here / "back/data/hostile.db").read_bytes() == (data / "hostile.db").read_bytes()


def test_a_large_database_is_copied_by_way_of_an_unlinked_file(here):
    path = here / "src/data/large.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("create table t(n, b)")
    db.execute("begin")
    db.executemany("insert into t values(?, ?)", ((i, os.urandom(4000)) for i in range(9000)))
    db.execute("commit")
    own(here / "src/data")
    there_and_back(here)
    assert 0 < packer.pack.last.peak_kb < 150_000
    copy = sqlite3.connect(here / "back/data/large.db")
    assert copy.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert copy.execute("select count(*) from t").fetchone() == (9000,)


# ---- files that change ----


def test_a_file_that_changes_while_it_is_read_is_read_again(here):
    data = here / "src/data"
    for i in range(16):
        (data / f"f{i:02}").write_bytes(os.urandom(3 << 20))
    own(data)
    run, reads = packer.start_pack(here / "src", level=1)
    taken = os.read(reads, 100_000)  # it has begun, and stands at a full pipe
    with open(data / "f15", "r+b") as file:
        file.truncate(1 << 20)
    os.truncate(data / "f12", 100)
    collector = packer.Collector(reads)
    stop = threading.Event()

    def append():
        while not stop.is_set():
            with open(data / "f13", "ab") as file:
                file.write(b"more")

    appender = threading.Thread(target=append)
    appender.start()
    report = run.wait()
    stop.set()
    appender.join()
    collector.join()
    archive = taken + collector.to.getvalue()
    assert (report.outcome, report.unsettled) == (MADE, 1)
    back = unpack(place(here / "back"), archive)
    assert back.outcome == MADE
    for i in set(range(16)) - {13}:
        assert (here / f"back/data/f{i:02}").read_bytes() == (data / f"f{i:02}").read_bytes()
    assert (here / "back/data/f13").read_bytes()[: 3 << 20] == (data / "f13").read_bytes()[: 3 << 20]


def test_the_size_is_bounded(here):
    (here / "src/data/one").write_bytes(os.urandom(2 << 20))
    (here / "src/data/two").write_bytes(os.urandom(2 << 20))
    own(here / "src/data")
    report, archive = pack(here / "src", bytes_max=3 << 20)
    assert report.outcome == TOO_LARGE and archive == b"" and b"exclude" in report.text
    report, archive = pack(here / "src", bytes_max=4 << 20)
    assert report.outcome == MADE
    back = unpack(place(here / "back"), archive, bytes_max=3 << 20)
    assert back.outcome == TOO_LARGE and packer.unpack.last.status == 1


def test_a_store_that_gives_up_is_no_crash(here):
    (here / "src/data/file").write_bytes(os.urandom(8 << 20))
    own(here / "src/data")
    run, reads = packer.start_pack(here / "src")
    os.read(reads, 1000)
    os.close(reads)
    report = run.wait()
    assert (report.outcome, run.status) == (NOT_SAVED, 1) and b"store" in report.text


# ---- secrets ----

SECRET = b"sk-live-9f8Qw7ErT6yUi5Op4As3Df2G"


def plant_across_a_read(data):
    (data / "large").write_bytes(os.urandom((1 << 20) - 10) + SECRET + os.urandom(1 << 20))


def plant_encoded(data):
    (data / "sub").mkdir()
    (data / "sub/note.md").write_bytes(b"key: " + base64.b64encode(b"xy" + SECRET + b"z"))


def plant_in_a_log(data):
    plant_in_a_log.db = db = sqlite3.connect(data / "live.db", isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("create table t(text)")
    # in two pages of a value that is longer than one
    db.execute("insert into t values(?)", ("x" * 4070 + SECRET.decode() + "x" * 9000,))


def plant_in_a_name(data):
    (data / SECRET.decode()).mkdir()


def plant_in_a_link(data):
    os.symlink(b"/tmp/" + SECRET, data / "link")


@pytest.mark.parametrize(
    "plant, where", [(plant_across_a_read, b"data/large"), (plant_encoded, b"data/sub/note.md"), (plant_in_a_log, b"data/live.db"), (plant_in_a_name, b"data"), (plant_in_a_link, b"data/link")]
)
def test_a_secret_ends_it(here, plant, where):
    plant(here / "src/data")
    own(here / "src/data")
    report, archive = pack(here / "src", secrets={"llm/openai": SECRET})
    assert (report.outcome, report.path, packer.pack.last.status) == (SECRET_FOUND, where, 1)
    assert b"openai" in report.kind_of_secret and SECRET not in bytes(report) and bytes(report.digest) == bytes(32)
    refused(here, archive)
    report, archive = pack(here / "src", secrets={"llm/openai": b"another-one-altogether"}, excluded=())
    assert report.outcome == MADE
    if where != b"data":
        report, archive = pack(here / "src", secrets={"llm/openai": SECRET}, excluded=(where.decode(),))
        assert report.outcome == MADE and where.decode() not in tar_of(archive).getnames()


# ---- hostile and damaged archives ----


def refused(here, archive, is_damaged=True, **how):
    tree = place(here / f"tree{len(os.listdir(here))}")
    report = unpack(tree, archive, **how)
    assert report.outcome == NOT_SAVED and report.is_damaged == is_damaged and packer.unpack.last.status == 1, report.text
    return tree, report


def test_refuses_entries_that_would_leave_the_tree(here):
    here.joinpath("outside").mkdir()
    link, hard, folder = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
    for entries in (
        [entry("../evil", b"x")],
        [entry("a/../../evil", b"x")],
        [entry("/evil", b"x")],
        [entry("a//evil", b"x")],
        [entry("./evil", b"x")],
        [entry("", b"x")],
        [entry("..", kind=folder)],
        [entry("up", kind=link, link="../outside"), entry("up/evil", b"x")],
        [entry("up", kind=link, link="/"), entry("up/evil", b"x")],
        [entry("a", kind=link, link="."), entry("a/evil", b"x")],
        [entry("evil", kind=hard, link="../outside/x")],
        [entry("evil", kind=hard, link="/etc/passwd")],
        [entry("evil", kind=hard, link="missing")],
        [entry("up", kind=link, link="/etc"), entry("evil", kind=hard, link="up/passwd")],
        [entry("dev", kind=tarfile.CHRTYPE)],
        [entry("dev", kind=tarfile.BLKTYPE)],
        [entry("fifo", kind=tarfile.FIFOTYPE)],
        [entry("a" * 5000, b"x")],
        [entry("/".join(["d"] * 2500), b"x")],
    ):
        tree, _ = refused(here, archive_of(entries))
        assert not any("evil" in name for _, _, names in os.walk(tree) for name in names)
    assert os.listdir(here / "outside") == []


def test_a_link_that_leads_out_is_kept_and_never_followed(here):
    report = unpack(place(here / "back"), archive_of([entry("out", kind=tarfile.SYMTYPE, link="/etc/passwd"), entry("file", b"1", mode=0o6755)]))
    assert report.outcome == MADE and os.readlink(here / "back/out") == "/etc/passwd"
    assert (here / "back/file").stat().st_mode & 0o7777 == 0o755 and (here / "back/file").stat().st_uid == UID


def test_bombs_are_bounded(here):
    archive = archive_of([entry("zeros", bytes(60 << 20))])
    assert len(archive) < 60_000
    report = unpack(place(here / "one"), archive, bytes_max=5 << 20)
    assert report.outcome == TOO_LARGE and (here / "one/zeros").stat().st_blocks * 512 <= 6 << 20
    # a window that only much memory could unfold
    plain = os.urandom(1 << 20)
    tree, report = refused(here, sealed(zstd(plain, "-1", "--long=27", "--single-thread", "--no-content-size")))
    assert 0 < packer.unpack.last.peak_kb < 150_000
    # a file of more than a disk has, all of it a hole
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "GNU.sparse.realsize": str(1 << 62)}
    refused(here, archive_of([(info, b"0\n".ljust(512, b"\0"))]))


def test_refuses_what_is_not_a_tar_in_zstd(here):
    whole = tar_bytes([entry("a", b"1")])
    for plain in (b"", b"x", whole, zstd(b""), zstd(b"garbage" * 1000), zstd(whole)[:-3], zstd(whole) + b"x", zstd(whole) + zstd(whole), zstd(whole + bytes(200_000) + b"x"), zstd(zstd(whole))):
        refused(here, sealed(plain))
    cpio = subprocess.run(["cpio", "-o", "--quiet"], input=b"/etc/hostname\n", capture_output=True) if shutil.which("cpio") else None
    if cpio and cpio.stdout:
        refused(here, sealed(zstd(cpio.stdout)))
    report = unpack(place(here / "good"), sealed(zstd(whole)))
    assert report.outcome == MADE


def tar_bytes(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_refuses_what_is_damaged_cut_off_or_anothers(here):
    (here / "src/data/file").write_bytes(os.urandom(300_000))
    own(here / "src/data")
    _, archive = pack(here / "src")
    assert packer.opened(archive)
    for cut in (0, 10, 24, 41, 24 + 65553, 24 + 2 * 65553, len(archive) - 1):
        refused(here, archive[:cut])
    refused(here, archive + b"x")
    for at in (0, 23, 24, 40, 70_000, len(archive) - 1):
        refused(here, archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :])
    for change in ({"agent": "b" * 32}, {"wallet": "x"}, {"period": 78}, {"number": 4}, {"boot": "f"}, {"key": b"k" * 32}):
        tree, _ = refused(here, archive, name=packer.Name(**change))
        assert os.listdir(tree) == []


def test_a_full_volume_is_no_damage(here):
    image, mounted = here / "image", here / "mounted"
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    place(mounted)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        os.chown(mounted, UID, UID)
        (here / "src/data/file").write_bytes(os.urandom(12 << 20))
        own(here / "src/data")
        _, archive = pack(here / "src")
        report = unpack(mounted, archive)
        assert (report.outcome, report.is_damaged) == (NOT_SAVED, False) and b"room" in report.text
    finally:
        subprocess.run(["umount", mounted], check=True)


# ---- what it holds ----


def test_holds_nothing_it_could_misuse(here):
    """Looked at from outside while it stands at a full pipe."""
    (here / "src/data/file").write_bytes(os.urandom(8 << 20))
    own(here / "src/data")
    for is_packing in (True, False):
        if is_packing:
            run, end = packer.start_pack(here / "src")
            assert os.read(end, 1)
        else:
            reads, end = os.pipe()
            os.set_inheritable(end, False)
            run = packer.Run(packer.order_of(packer.Name(), True), place(here / "back"), reads)
        status = wait_for_filter(run.pid)
        assert status["Uid"].split() == [str(UID)] * 4 and status["Gid"].split() == [str(UID)] * 4
        assert status["Groups"].strip() == "" and status["NoNewPrivs"].strip() == "1"
        # to read all of the tree, and nothing else
        want = "0000000000000004" if is_packing else "0" * 16
        assert [status[f"Cap{kind}"].strip() for kind in ("Prm", "Eff", "Inh", "Bnd", "Amb")] == [want, want, "0" * 16, "0" * 16, "0" * 16]
        assert os.readlink(f"/proc/{run.pid}/root") == str(here / ("src" if is_packing else "back"))
        limits = pathlib.Path(f"/proc/{run.pid}/limits").read_text()
        assert "Max core file size        0 " in limits and "Max address space         1073741824" in limits
        open_now = {int(fd): os.readlink(f"/proc/{run.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{run.pid}/fd")}
        assert open_now[0] == open_now[1] == "/dev/null" and sum("socket:" in to for to in open_now.values()) == 1
        assert not any("order" in to for to in open_now.values()) and os.stat(f"/proc/{run.pid}/environ").st_uid == 0
        os.close(end)
        run.wait()


def wait_for_filter(pid):
    for _ in range(1000):
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        if status["Seccomp"].strip() == "2":
            return status
        time.sleep(0.02)
    raise AssertionError("it never confined itself")


def test_refuses_orders_that_warden_would_not_give(here):
    for how in ({"uid": 0}, {"version": 2}, {"level": 0}, {"level": 20}, {"name": packer.Name(key=bytes(32))}, {"name": packer.Name(agent="")}):
        report, archive = pack(here / "src", **how)
        assert report is None and archive == b"" and packer.pack.last.status == 1
    # secrets have no place where archives are read
    reads, writes = os.pipe()
    run = packer.Run(packer.order_of(packer.Name(), True), here / "src", reads, packer.secret_files({"a": b"b"}))
    os.close(writes)
    assert run.wait() is None and run.status == 1


def test_killed_at_any_moment_leaves_no_whole_archive(here):
    for i in range(5):
        (here / f"src/data/{i}").write_bytes(os.urandom(1 << 20))
    own(here / "src/data")
    before = look(here / "src/data")
    _, whole = pack(here / "src")
    for i in range(6):
        run, reads = packer.start_pack(here / "src")
        taken = b""
        while len(taken) < i * len(whole) // 7:
            taken += os.read(reads, 100_000)
        run.kill()
        collector = packer.Collector(reads)
        assert run.wait() is None and run.status == -signal.SIGKILL
        collector.join()
        refused(here, taken + collector.to.getvalue())
    assert look(here / "src/data") == before


def test_memory_is_flat(here):
    peaks = []
    for size in (32, 256):
        tree = here / f"tree{size}"
        place(tree), place(tree / "data")
        piece = os.urandom(1 << 20)
        for i in range(size // 16):
            with open(tree / f"data/{i}", "wb") as file:
                for k in range(16):
                    file.write(bytes([i % 256, k]) + piece)
        own(tree)
        with open(here / "archive", "w+b") as to:
            report, _ = pack(tree, to=to)
            assert report.outcome == MADE
            to.seek(0)
            assert unpack(place(here / f"back{size}"), to).outcome == MADE
        peaks.append((packer.pack.last.peak_kb, packer.unpack.last.peak_kb))
        shutil.rmtree(tree), shutil.rmtree(here / f"back{size}")
    assert peaks[1][0] < peaks[0][0] + 16_000 and peaks[1][1] < peaks[0][1] + 8_000, peaks
    assert max(map(max, peaks)) < 200_000, peaks


def test_tells_how_far_it_is(here):
    (here / "src/data/file").write_bytes(os.urandom(30 << 20))
    own(here / "src/data")
    run, reads = packer.start_pack(here / "src")
    total = 0
    while piece := os.read(reads, 1 << 16):
        if total < 2 << 20 <= total + len(piece):
            time.sleep(1.2)
        total += len(piece)
    report = run.wait()
    os.close(reads)
    told = [r for r in run.reports if r.kind == packer.PROGRESS]
    assert told and all(0 < r.bytes <= r.total_bytes == 30 << 20 for r in told) and report.stored_bytes == total
