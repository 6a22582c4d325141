"""The image of probes (tests/sandbox) in a real warden or a real suite, and a network of the test's own that stands in for the host's."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import subprocess

from suite import BIN, BUILD, ROOT, Suite
from warden_parts import Warden

SANDBOX = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "sandbox"
PROBE = SANDBOX / "probe"
TOKEN = b"gateway-token-of-these-tests"
SECRET = b"nobody-may-find-this-secret-0123456789"
FILES = {"gateway-token": TOKEN, "custom/secret": SECRET}


def import_image(state, name, layout=SANDBOX / "image", tag="latest"):
    """By the real command line; its digest."""
    done = subprocess.run([BIN / "multiclaw", "--json", "image", "import", f"{layout}:{tag}", "--name", name, "--images", state / "images"],
                          capture_output=True, text=True, env={**os.environ, "MULTICLAW_STATE_DIR": str(state)}, umask=0o022)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["digest"].removeprefix("sha256:")


def with_entry(folder, *entry):
    """A layout like the probes' with another entry point."""
    layout = pathlib.Path(folder) / "layout"
    if not layout.exists():
        shutil.copytree(SANDBOX / "image", layout)
    words = [word for part in entry for word in ("--config.entrypoint", part)]
    subprocess.run(["umoci", "config", "--image", f"{layout}:latest", "--tag", "other", "--clear=config.entrypoint", *words],
                   check=True, capture_output=True, env={**os.environ, "HOME": str(folder)})
    return layout


class ProbeWarden(Warden):
    """A real warden whose agents are demo agents with probes beside them."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.probes = import_image(self.state, "probe")


def lines(output):
    """{what was tried: what came of it}"""
    text = output.decode() if isinstance(output, bytes) else output
    return dict(line.rsplit(" ", 1) for line in text.splitlines())


# ---- networks

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_of_our_own():
    """This process and what it starts have a network namespace of their own: the test's machine, whose rules may be flushed."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        ip("link", "set", "lo", "up")
        yield
    finally:
        assert libc.setns(before, CLONE_NEWNET) == 0
        os.close(before)


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True)


def inside(pid, *command, **more):
    """As root in a process' network: more than an agent may."""
    return subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "--", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **more)


def run_inside(pid, *command):
    process = inside(pid, *command)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, (command, out)
    return out


def first_process(prefix, agent):
    """The container's first process that has its network: the init, as the host sees it."""
    for procs in pathlib.Path("/sys/fs/cgroup").glob(f"**/multiclaw-{prefix}/{agent}/cgroup.procs"):
        pids = sorted(map(int, procs.read_text().split()))
        if pids:
            return pids[0]
    raise AssertionError(f"no process of {agent}")


# ---- the suite

ROLES = "operator-read+operator-revoke+operator-vault"


class ContainerSuite(Suite):
    """The real suite; agents are started in the image of probes, operators may exec."""

    def __init__(self, **settings):
        super().__init__(containers=True, MULTICLAW_SANDBOX_IMAGE="probe", **settings)

    def allow_admin(self):
        super().allow_admin()
        peers = self.state / "keys/curve/peers"
        peers.write_text(peers.read_text().replace(ROLES, ROLES + "+operator-exec"))
        import_image(self.state, "probe")

    def exec(self, asset, *command, check=True):
        return self.cli("agent", "exec", "--raw", asset, "--", *command, check=check)

    def use(self, folder, *entry):
        """What agents are started with from now on."""
        import_image(self.state, "probe", with_entry(folder, *entry), "other")

    @property
    def prefix(self):
        conf = (self.state / "conf/warden.conf").read_text()
        return next(line.split("=")[1] for line in conf.splitlines() if line.startswith("MULTICLAW_WARDEN_PREFIX="))
