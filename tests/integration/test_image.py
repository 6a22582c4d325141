"""`multiclaw image`: what becomes of an image layout that somebody else made. As root and, where it can be, as nobody in particular."""

import atexit
import functools
import json
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile
import time

import pytest

from layouts import LAYER, MANIFEST, PROGRAM, Layout, folder, hardlink, member, symlink, tar
from suite import BIN

DEMO = BIN.parent / "demo-agent/image"
ORDINARY = 65533
IS_ROOT = os.geteuid() == 0

pytestmark = pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed")


@functools.cache
def program():
    """A copy that everybody may run: the build may be closed to others."""
    where = pathlib.Path(tempfile.mkdtemp(prefix="mc-image-program-"))
    where.chmod(0o755)
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    return shutil.copy(BIN / "multiclaw", where / "multiclaw")


class Host:
    """A store, and who uses it."""

    def __init__(self, base, uid):
        self.base, self.uid = base, uid
        self.images = base / "images"
        self.n = 0

    def layout(self, *args, **kwargs):
        self.n += 1
        return Layout(self.base / f"layout-{self.n}", *args, **kwargs)

    def command(self, *words):
        return [str(program()), "image", *map(str, words), "--images", str(self.images)]

    def run(self, *words):
        for path in [self.base, *self.base.rglob("*")]:
            if self.uid and not path.is_symlink() and self.images not in [path, *path.parents]:
                os.chown(path, self.uid, self.uid)
        return subprocess.run(self.command(*words), capture_output=True, text=True, errors="replace", timeout=120, **self.who())

    def who(self):
        return {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}

    def take(self, layout, *words, name="x"):
        done = self.run("import", layout.path, "--name", name, "--json", *words)
        assert done.returncode == 0, done.stderr
        return self.images / layout.digest / "rootfs", json.loads(done.stdout)

    def refuse(self, layout, *words, code=1, name="x"):
        done = self.run("import", layout.path if isinstance(layout, Layout) else layout, "--name", name, *words)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert self.is_empty(), sorted(self.images.rglob("*"))
        return done.stderr

    def is_empty(self):
        return not self.images.exists() or [p for p in self.images.rglob("*") if p.name != "names"] == []

    def described(self, layout):
        return json.loads((self.images / layout.digest / "image.json").read_text())


def in_memory():
    """An import waits for its whole file system to be on the disk, with what everybody else writes: hundreds of them are quick in memory alone."""
    return "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 2 << 30 else None


def made(uid):
    base = pathlib.Path(tempfile.mkdtemp(prefix="mc-image-", dir=in_memory()))
    base.chmod(0o755)
    yield Host(base, uid)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(params=["root", "ordinary"])
def host(request):
    """What is unpacked, and what becomes of it, differs by who imports."""
    if not IS_ROOT and request.param == "root":
        pytest.skip("not root")
    yield from made(ORDINARY if IS_ROOT and request.param == "ordinary" else 0)


@pytest.fixture
def reader():
    """What is only read does not."""
    yield from made(ORDINARY if IS_ROOT else 0)


def modes(tree):
    return {str(p.relative_to(tree)): stat.S_IMODE(p.lstat().st_mode) for p in tree.rglob("*")}


def test_takes_the_demo_agents_image(host):
    shutil.copytree(DEMO, host.base / "demo")
    done = host.run("import", host.base / "demo", "--name", "demo")
    assert done.returncode == 0, done.stderr
    digest = (host.images / "names/demo").read_text().strip()
    image = json.loads((host.images / digest / "image.json").read_text())
    assert image == {"digest": digest, "name": "demo", "entrypoint": ["/demo-agent"], "cmd": [], "env": [],
                     "cwd": "/data", "user": "1000:1000", "kind": ""}
    assert digest == json.loads((DEMO / "index.json").read_text())["manifests"][0]["digest"].removeprefix("sha256:")
    assert (host.images / digest / "rootfs/demo-agent").read_bytes() == (BIN.parent / "demo-agent/demo-agent").read_bytes()
    assert sorted(p.name for p in host.images.iterdir()) == sorted([digest, "names"])


def test_makes_every_mount_point_and_lets_every_uid_read(host):
    layout = host.layout([PROGRAM, folder("private", 0o700), member("private/key", data=b"k", mode=0o600), member("tool", mode=0o700)])
    tree, _ = host.take(layout)
    found = modes(tree)
    for name in ["proc", "sys", "dev", "data", "run", "run/secrets", "etc", "private"]:
        assert found[name] == 0o755, name
    assert found["tmp"] == 0o1777
    assert found["private/key"] == 0o644 and found["tool"] == 0o755
    for name in ["etc/resolv.conf", "etc/hosts", "etc/hostname"]:
        assert stat.S_ISREG((tree / name).lstat().st_mode) and found[name] == 0o644
    owner = host.uid or 0
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in [tree, *tree.rglob("*")]} == {(owner, owner)}


def test_device_nodes_sockets_and_fifos_are_not_in_it(host):
    layout = host.layout([PROGRAM, member("dev/sda", tarfile.BLKTYPE, devmajor=8, devminor=0),
                          member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), member("pipe", tarfile.FIFOTYPE)])
    tree, report = host.take(layout)
    assert report["devices"] == 2
    assert not [p for p in tree.rglob("*") if stat.S_IFMT(p.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)]
    assert report["fifos"] == 1 and not (tree / "pipe").exists()


def test_setuid_setgid_sticky_and_the_right_of_others_to_write_are_taken_away(host):
    layout = host.layout([PROGRAM, member("su", mode=0o4755), member("sg", mode=0o2755), member("all", mode=0o6777),
                          folder("drop", 0o1777), folder("group", 0o2775), member("open", mode=0o666)])
    tree, report = host.take(layout)
    found = modes(tree)
    assert [found[n] for n in ["su", "sg", "all", "drop", "group", "open"]] == [0o755, 0o755, 0o755, 0o755, 0o755, 0o644]
    assert report["bits"] == 4
    assert not [n for n, m in found.items() if n != "tmp" and (tree / n).lstat().st_mode & 0o7022 and not (tree / n).is_symlink()]


def test_capabilities_and_other_extended_attributes_are_dropped(host):
    capable = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    layout = host.layout([PROGRAM, member("ping", mode=0o755, pax_headers={"SCHILY.xattr.security.capability": capable}),
                          member("note", pax_headers={"SCHILY.xattr.user.note": "hello"}), member("owned", uid=33, gid=33)])
    tree, _ = host.take(layout)
    assert [os.listxattr(p, follow_symlinks=False) for p in tree.rglob("*") if os.listxattr(p, follow_symlinks=False)] == []


@pytest.mark.parametrize("name", ["../escaped", "/../../escaped", "a/../../../escaped", "/tmp/../../../../escaped"])
def test_a_path_that_leads_out_ends_inside_or_is_refused(host, name):
    layout = host.layout([PROGRAM, member(name, data=b"out")])
    before = {p for p in host.base.rglob("*") if "escaped" in p.name}
    done = host.run("import", layout.path, "--name", "x")
    found = {p for p in [*host.base.rglob("*"), *pathlib.Path("/").glob("escaped"), *pathlib.Path("/tmp").glob("escaped")] if "escaped" in p.name} - before
    inside = host.images / layout.digest / "rootfs"
    assert all(inside in p.parents for p in found), found
    assert done.returncode in (0, 1)


def test_a_link_is_never_written_through(host):
    victim = host.base / "victim"
    victim.mkdir()
    layout = host.layout([PROGRAM, symlink("out", str(victim)), member("out/owned", data=b"x"),
                          symlink("up", "../../../../.."), member("up/owned2", data=b"x")])
    host.run("import", layout.path, "--name", "x")
    assert list(victim.iterdir()) == []
    assert not pathlib.Path("/owned2").exists()


def test_a_link_to_anywhere_stays_a_link(host):
    layout = host.layout([PROGRAM, symlink("abs", "/etc/shadow"), symlink("rel", "../../../etc/shadow"), symlink("loop", "loop")])
    tree, _ = host.take(layout)
    assert [os.readlink(tree / n) for n in ["abs", "rel", "loop"]] == ["/etc/shadow", "../../../etc/shadow", "loop"]


def test_links_where_mount_points_have_to_be_are_replaced_and_not_followed(host):
    victim = host.base / "victim"
    victim.mkdir()
    victim.chmod(0o700)
    layout = host.layout([PROGRAM, symlink("run", str(victim)), symlink("tmp", str(victim)), symlink("data", "/etc"), member("proc"),
                          folder("etc"), symlink("etc/resolv.conf", "/etc/passwd"), folder("etc/hosts"), member("etc/hosts/x")])
    before = pathlib.Path("/etc").stat().st_mode, pathlib.Path("/etc/passwd").stat().st_mode
    tree, report = host.take(layout)
    for name in ["run", "run/secrets", "tmp", "data", "proc"]:
        assert stat.S_ISDIR((tree / name).lstat().st_mode), name
    for name in ["etc/resolv.conf", "etc/hosts"]:
        assert stat.S_ISREG((tree / name).lstat().st_mode), name
    assert report["replaced"] == 6
    assert list(victim.iterdir()) == [] and stat.S_IMODE(victim.stat().st_mode) == 0o700
    assert before == (pathlib.Path("/etc").stat().st_mode, pathlib.Path("/etc/passwd").stat().st_mode)


def test_hard_links_stay_inside(host):
    layout = host.layout([PROGRAM, member("one", data=b"1"), hardlink("two", "one")])
    tree, _ = host.take(layout)
    assert (tree / "one").stat().st_ino == (tree / "two").stat().st_ino


def test_a_hard_link_to_a_file_of_the_host_is_none(host):
    outside = host.base / "outside"
    outside.write_text("mine")
    before = outside.stat()
    layout = host.layout([PROGRAM, hardlink("stolen", "../../../../../.." + str(outside)), hardlink("stolen2", str(outside))])
    host.run("import", layout.path, "--name", "x")
    assert outside.stat().st_nlink == 1 and outside.stat().st_mode == before.st_mode and outside.read_text() == "mine"


def test_folders_closed_to_their_owner_are_opened_and_can_be_removed(host):
    layout = host.layout([PROGRAM, folder("a"), member("a/f", data=b"x", mode=0), folder("a/b", 0o500), member("a/b/c"), folder("shut", 0)])
    tree, _ = host.take(layout)
    assert modes(tree)["shut"] == 0o755 and modes(tree)["a/f"] == 0o444
    assert host.run("rm", "x").returncode == 0
    assert host.is_empty()


# ---- limits


def test_too_many_files_are_refused(host):
    layout = host.layout([PROGRAM, *[member(f"d/{i}") for i in range(600)]])
    assert "more files than the limit" in host.refuse(layout, "--max-files", "400")
    tree, report = host.take(layout, "--max-files", "700")
    assert report["files"] > 600


@functools.cache
def bomb():
    return tar([PROGRAM, *[member(f"{i % 100}/{i}") for i in range(40000)]])


def test_a_bomb_of_empty_files_is_stopped_on_the_way(host):
    layout = host.layout(raw_layers=[bomb()])
    began = time.monotonic()
    assert "more files than the limit" in host.refuse(layout, "--max-files", "1000")
    assert time.monotonic() - began < 60


def test_a_decompression_bomb_is_stopped_on_the_way(host):
    layout = host.layout([PROGRAM, *[member(f"zeros{i}", data=bytes(8 << 20)) for i in range(12)]])
    assert sum(layer["size"] for layer in layout.layers) < 2 << 20
    assert "more than the limit" in host.refuse(layout, "--max-size", "16M")


def test_one_huge_file_is_stopped_by_its_size(host):
    layout = host.layout([PROGRAM, member("zeros", data=bytes(64 << 20))])
    assert "limit" in host.refuse(layout, "--max-size", "16M")


def test_a_sparse_file_of_terabytes_is_stopped(host):
    info, _ = member("sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "GNU.sparse.realsize": str(1 << 42)}
    data = b"1\n%d\n0\n" % (1 << 42)
    info.size = 512
    layout = host.layout([PROGRAM, (info, data.ljust(512, b"\0"))])
    host.refuse(layout, "--max-size", "16M")


def test_layers_larger_than_the_limit_are_refused_before_they_are_read(reader):
    layout = reader.layout([PROGRAM, member("noise", data=os.urandom(1 << 20))])
    assert "larger than the limit" in reader.refuse(layout, "--max-size", "512K")


def test_a_file_overwritten_layer_after_layer_counts_each_time(host):
    layers = [tar([PROGRAM, member("zeros", data=bytes(4 << 20))]) + bytes(i) for i in range(0, 16 * 512, 512)]
    layout = host.layout(raw_layers=layers)
    assert "more than the limit" in host.refuse(layout, "--max-size", "16M")


def test_folders_without_end_are_refused(host):
    layout = host.layout([PROGRAM, member("/".join(["d"] * 300) + "/f")])
    assert "too deep" in host.refuse(layout)


def test_folders_deeper_than_descriptors_are_taken_away_again(host):
    layout = host.layout([PROGRAM, member("/".join(["d"] * 1500) + "/f")])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        host.refuse(layout)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- layouts that lie


def test_a_blob_that_holds_something_else_is_refused(reader):
    layout = reader.layout()
    blob = layout.blob(layout.layers[0])
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    assert "digest_mismatch" in reader.refuse(layout)


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_a_truncated_or_longer_or_missing_blob_is_refused(reader, part):
    for change in ["cut", "more", "gone", "folder", "fifo"]:
        layout = reader.layout()
        blob = layout.blob({"layer": layout.layers[0], "config": layout.manifest["config"], "manifest": layout.entry}[part])
        data = blob.read_bytes()
        if change == "cut":
            blob.write_bytes(data[:-1])
        elif change == "more":
            blob.write_bytes(data + b" ")
        else:
            blob.unlink()
            if change == "folder":
                blob.mkdir()
            elif change == "fifo":
                os.mkfifo(blob)
        reader.refuse(layout)


@pytest.mark.parametrize("what", ["blobs", "blobs/sha256", "index.json", "blob"])
def test_links_in_a_layout_are_not_followed(reader, what):
    layout = reader.layout()
    path = layout.blob(layout.layers[0]) if what == "blob" else layout.path / what
    path.rename(reader.base / "elsewhere")
    path.symlink_to(reader.base / "elsewhere")
    reader.refuse(layout)


@pytest.mark.parametrize("digest", [
    "sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:" + "a" * 65, "sha512:" + "a" * 128,
    "a" * 64, "", "sha256:" + "a" * 63 + "/", "sha256:" + "a" * 64 + "/../x"])
def test_a_digest_of_any_other_form_is_refused(reader, digest):
    layout = reader.layout()
    layout.finish(manifest={"layers": [{**layout.layers[0], "digest": digest}]})
    assert "no SHA-256 digest" in reader.refuse(layout)


@pytest.mark.parametrize("change", [
    {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"},
    {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
    {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"},
    {"mediaType": LAYER, "urls": ["https://example.org/layer"]},
    {"mediaType": None},
    {"size": -1}, {"size": "5"}, {"size": 1.5}, {"size": 2**62}])
def test_layers_of_other_kinds_are_refused(reader, change):
    layout = reader.layout()
    layout.finish(manifest={"layers": [{**layout.layers[0], **change}]})
    reader.refuse(layout)


def test_other_manifests_and_indexes_are_refused(reader):
    layout = reader.layout()
    nested = {**layout.entry, "mediaType": "application/vnd.oci.image.index.v1+json"}
    for index in [{"manifests": [nested]}, {"manifests": []}, {"manifests": "x"}, {"schemaVersion": 1}, {"manifests": [None]}]:
        layout.finish(index=index)
        reader.refuse(layout)
    for manifest in [{"layers": []}, {"layers": layout.layers * 200}, {"schemaVersion": 1}, {"config": None}, {"mediaType": "x/y"},
                     {"config": {**layout.manifest["config"], "mediaType": LAYER}}]:
        layout.finish(manifest=manifest)
        reader.refuse(layout)


def test_json_that_is_huge_deep_double_or_none_is_refused(reader):
    for text in [b"", b"{", b"[]", b"null", b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}', b"[" * 500000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
                 b'{"x":"' + b"a" * (2 << 20) + b'"}', b'{"schemaVersion":2,"manifests":[{"digest":"a\\u0000b"}]}', b"\xff\xfe", b"\0" * 100]:
        layout = reader.layout()
        (layout.path / "index.json").write_bytes(text)
        reader.refuse(layout)
    layout = reader.layout()
    reader.refuse(layout.finish(config_bytes=json.dumps(layout.config).encode() + b" " * (2 << 20)))
    reader.refuse(layout.finish(config_bytes=b'{"os":"linux","architecture":"amd64","config":{"Cmd":["/a"],"Cmd":["/b"]}}'))


def test_a_layer_whose_tar_is_not_what_the_configuration_says_is_refused(host):
    layout = host.layout()
    layout.config["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    host.refuse(layout.finish())


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"not gzip at all" * 100])
def test_a_layer_that_is_no_tar_is_refused(host, data):
    layout = host.layout()
    layout.layers = [layout.descriptor(data, LAYER)]
    host.refuse(layout.finish())


@pytest.mark.parametrize("change", [
    {"Entrypoint": None}, {"Entrypoint": []}, {"Entrypoint": [""]}, {"Entrypoint": "/app"}, {"Entrypoint": ["/app", 5]}, {"Entrypoint": ["/app"] * 300},
    {"Entrypoint": ["/app", "a" * 5000]}, {"Cmd": [None]}, {"Env": ["NOVALUE"]}, {"Env": ["=x"]}, {"Env": ["A B=x"]}, {"Env": {"A": "b"}},
    {"Env": [f"A{i}=" + "a" * 4000 for i in range(20)]}, {"WorkingDir": "relative"}, {"WorkingDir": "/a/../b"}, {"WorkingDir": "/./a"},
    {"WorkingDir": "/proc/self/fd/8"}, {"WorkingDir": "//proc/self/fd/8"}, {"WorkingDir": "/" + "a" * 2000}, {"WorkingDir": 5}, {"WorkingDir": "/a\nb"},
    {"User": "somebody"}, {"User": "70000"}, {"User": "0:nogroup9"}, {"User": "-1"}, {"User": "a" * 100}, {"User": ["root"]}, {"User": "1000:70000"}])
def test_a_configuration_that_asks_for_what_it_may_not_is_refused(reader, change):
    reader.refuse(reader.layout(**change))


def test_an_image_of_another_machine_is_refused(reader):
    for change in [{"architecture": "s390x"}, {"os": "windows"}, {"os": None}]:
        layout = reader.layout()
        layout.config.update(change)
        assert "this machine is linux/" in reader.refuse(layout.finish())


# ---- what is described


PASSWD = member("etc/passwd", data=b"root:x:0:0::/:/bin/sh\nbroken\nnode:x:1001:1002::/home/node:/bin/sh\nbig:x:99999:5::/:\n")
GROUP = member("etc/group", data=b"root:x:0:\nstaff:x:50:\n")


@pytest.mark.parametrize("user,expected", [
    ("", "0:0"), ("node", "1001:1002"), ("node:staff", "1001:50"), ("1001", "1001:1002"), ("7", "7:0"), ("7:8", "7:8"), (":staff", "0:50"), ("root", "0:0")])
def test_the_user_is_found_in_the_images_own_files(reader, user, expected):
    layout = reader.layout([PROGRAM, folder("etc"), PASSWD, GROUP], User=user)
    reader.take(layout)
    assert reader.described(layout)["user"] == expected


def test_a_passwd_that_leads_out_of_the_image_is_the_images_own(host):
    layout = host.layout([PROGRAM, folder("etc"), symlink("etc/passwd", "../../../../../../etc/passwd"), symlink("etc/group", "/etc/group")], User="daemon")
    assert "neither a number" in host.refuse(layout)
    layout = host.layout([PROGRAM, folder("etc"), symlink("etc/passwd", "/real"), member("real", data=PASSWD[1])], User="node")
    host.take(layout)
    assert host.described(layout)["user"] == "1001:1002"


def test_what_is_run_is_kept(reader):
    layout = reader.layout(Entrypoint=["/app", "a b"], Cmd=["c", ""], Env=["PATH=/bin", "EMPTY="], WorkingDir="/srv/app")
    reader.take(layout, "--kind", "openclaw", name="open-claw.1")
    assert reader.described(layout) == {"digest": layout.digest, "name": "open-claw.1", "entrypoint": ["/app", "a b"], "cmd": ["c", ""],
                                      "env": ["PATH=/bin", "EMPTY="], "cwd": "/srv/app", "user": "0:0", "kind": "openclaw"}


# ---- names


def test_a_tag_is_chosen_and_one_that_is_not_there_is_refused(reader):
    layout = reader.layout()
    other = {**layout.entry, "annotations": {"org.opencontainers.image.ref.name": "v2"}}
    unnamed = {**layout.entry, "annotations": {}}
    layout.finish(index={"manifests": [other, unnamed]})
    reader.refuse(layout)
    reader.refuse(f"{layout.path}:v3")
    assert reader.run("import", f"{layout.path}:v2", "--name", "x").returncode == 0
    layout.finish(index={"manifests": [other, other]})
    assert reader.run("import", f"{layout.path}:v2", "--name", "y").returncode == 1


def test_imported_twice_it_is_there_once(host):
    layout = host.layout()
    _, first = host.take(layout)
    tree, second = host.take(layout, name="y")
    assert (first["was_there"], second["was_there"]) == (False, True)
    listed = json.loads(host.run("list", "--json").stdout)
    assert [(i["name"], i["digest"]) for i in listed] == [("x", layout.digest), ("y", layout.digest)]
    assert host.run("rm", "x").returncode == 0
    assert tree.exists()
    assert host.run("rm", "y").returncode == 0
    assert host.is_empty()


def test_a_name_moves_to_a_new_image_and_a_failed_import_moves_nothing(host):
    one, two = host.layout(), host.layout([PROGRAM, member("new")])
    host.take(one)
    bad = host.layout(User="nobody-known")
    assert host.run("import", bad.path, "--name", "x").returncode == 1
    assert (host.images / "names/x").read_text().strip() == one.digest
    host.take(two)
    assert (host.images / "names/x").read_text().strip() == two.digest
    assert sorted(p.name for p in host.images.iterdir()) == sorted([one.digest, two.digest, "names"])
    assert [i["name"] for i in json.loads(host.run("list", "--json").stdout)] == ["x", ""]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../x", "A", "a" * 65, "a b", "a\nb"])
def test_names_that_are_no_names_are_wrong_words(reader, name):
    reader.refuse(reader.layout(), code=2, name=name)
    assert reader.run("rm", name).returncode == 2


def test_wrong_words(reader):
    layout = reader.layout()
    for words in [["import"], ["import", layout.path], ["import", "--name", "x"], ["import", layout.path, "--name", "x", "--kind", "docker"],
                  ["import", layout.path, "--name", "x", "--max-size", "0"], ["import", layout.path, "--name", "x", "--max-size", "4X"],
                  ["import", layout.path, "--name", "x", "--max-files", "-1"], ["import", layout.path, "more", "--name", "x"], ["frob"], [], ["list", "x"],
                  ["rm"], ["import", layout.path, "--name", "x", "--force"]]:
        assert reader.run(*words).returncode == 2, words
    assert reader.run("rm", "nothing").returncode == 1
    assert reader.run("import", reader.base / "nowhere", "--name", "x").returncode == 1


def test_whatever_the_umask_sandbox_can_read_the_store(host):
    layout = host.layout()
    host.run("list")
    done = subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *host.command("import", layout.path, "--name", "x")], capture_output=True, text=True, **host.who())
    assert done.returncode == 0, done.stderr
    mode = lambda path: stat.S_IMODE((host.images / path).stat().st_mode)  # noqa: E731
    assert [mode(p) for p in ("", "names", layout.digest, f"{layout.digest}/rootfs")] == [0o755] * 4
    assert [mode(p) for p in ("names/x", f"{layout.digest}/image.json")] == [0o644] * 2
    # and what its owner closed stays closed
    host.images.chmod(0o750)
    host.take(layout, name="y")
    assert mode("") == 0o750


def test_interrupted_it_leaves_nothing(host):
    layout = host.layout([PROGRAM, *[member(f"noise{i}", data=os.urandom(1 << 20)) for i in range(24)]])
    assert host.run("list").returncode == 1
    process = subprocess.Popen(host.command("import", layout.path, "--name", "x"), stderr=subprocess.PIPE, **host.who())
    deadline = time.monotonic() + 30
    while not (host.images / ".import/work/layout").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert host.is_empty()


def test_what_a_killed_import_left_is_taken_away_by_the_next(host):
    layout = host.layout([PROGRAM, *[member(f"noise{i}", data=os.urandom(1 << 20)) for i in range(24)]])
    host.run("list")
    process = subprocess.Popen(host.command("import", layout.path, "--name", "x"), **host.who())
    deadline = time.monotonic() + 30
    while not (host.images / ".import/work/bundle").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert stat.S_IMODE((host.images / ".import").stat().st_mode) == 0o700
    host.take(layout)
    assert sorted(p.name for p in host.images.iterdir()) == sorted([layout.digest, "names"])


@pytest.mark.skipif(not IS_ROOT, reason="mounts need root")
def test_an_image_in_use_is_removed_by_force_alone():
    base = pathlib.Path(tempfile.mkdtemp(prefix="mc-image-", dir=in_memory()))
    host = Host(base, 0)
    layout = host.layout()
    tree, _ = host.take(layout)
    (base / "mnt").mkdir()
    script = f"mount --bind {tree} {base / 'mnt'} && echo there && exec sleep 60"
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"there\n"
        done = host.run("rm", "x")
        assert done.returncode == 1 and "image_in_use" in done.stderr
        assert tree.exists() and (host.images / "names/x").exists()
        assert host.run("rm", "x", "--force").returncode == 0
    finally:
        holder.kill()
        holder.wait()
    assert host.is_empty()
    shutil.rmtree(base)


@pytest.mark.skipif(not IS_ROOT, reason="there is no privilege to give up")
def test_as_root_nothing_of_the_image_runs_or_unpacks_as_root():
    """umoci is replaced by one that says who it is and what it can reach."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="mc-image-"))
    base.chmod(0o755)
    host = Host(base, 0)
    spy = base / "umoci"
    spy.write_text("#!/bin/sh\nexec >&2\necho \"$(id -u) $(id -g) $(id -G) $(cat /sys/class/net/*/operstate 2>/dev/null | tr '\\n' ' ')"
                   " $(grep -E 'CapEff|CapPrm|NoNewPrivs' /proc/self/status | tr '\\t\\n' '  ') $(ls -d /tmp/*) $(cat /proc/net/dev | grep -c :) $(ulimit -f) end\" >&2\nexit 126\n")
    spy.chmod(0o755)
    layout = host.layout()
    subprocess.run(["mount", "--version"], check=True, capture_output=True)
    script = f"mount --bind {spy} {shutil.which('umoci')} && exec " + " ".join(host.command("import", layout.path, "--name", "x"))
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    said = done.stderr
    assert done.returncode == 4, said
    assert said.startswith("multiclaw: cannot unpack: 65534 65534 65534 ") or "multiclaw-image" in pathlib.Path("/etc/passwd").read_text(), said
    assert "CapPrm: 0000000000000000 CapEff: 0000000000000000" in said and "NoNewPrivs: 1" in said.replace("NoNewPrivs:1", "NoNewPrivs: 1")
    assert "/tmp/layout " in said, said
    assert host.is_empty()
    shutil.rmtree(base)
