"""Who is who: as root every process of the suite is a user of its own and reaches its own keys alone; not as root deploy/run says what is missing."""

import grp
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import tempfile

import pytest

from suite import BUILD, ROOT, Suite, wait_until

DAEMONS = ("router", "auth", "session", "chain-oracle", "secret-vault", "agent-wallet")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: processes become other users")


@pytest.fixture(scope="module")
def running():
    with Suite() as suite:
        yield suite


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def uid(user):
    return pwd.getpwnam(user).pw_uid


def try_as(user, *command):
    return subprocess.run(["setpriv", "--reuid", user, "--regid", "multiclaw", "--clear-groups", "--", *command], capture_output=True, text=True)


@as_root
@pytest.mark.parametrize("name", [*DAEMONS, "redis", "devchain"])
def test_a_process_is_its_own_user_without_any_privilege(running, name):
    of = status(running.pid(f"{name}-1" if name in DAEMONS else name))
    assert of["Uid"] == [str(uid(f"multiclaw-{name}"))] * 4
    assert of["Gid"] == [str(grp.getgrnam("multiclaw").gr_gid)] * 4
    assert set(of["Groups"]) <= {of["Gid"][0]}
    assert all(int(of[caps][0], 16) == 0 for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert of["NoNewPrivs"] == ["1"]


@as_root
def test_no_two_processes_share_a_user(running):
    users = [status(running.pid(f"{name}-1" if name in DAEMONS else name))["Uid"][0] for name in (*DAEMONS, "redis", "devchain")]
    assert len(set(users)) == len(users) and "0" not in users


@as_root
def test_nginx_serves_as_www_data_with_the_suites_group_and_nothing_else(running):
    master = running.pid("nginx")
    workers = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
    assert workers
    for worker in workers:
        of = status(worker)
        assert of["Uid"] == [str(uid("www-data"))] * 4 and of["Gid"] == [str(grp.getgrnam("multiclaw").gr_gid)] * 4
        assert int(of["CapEff"][0], 16) == 0


def key_files():
    """What deploy/systemd says, of which deploy/run keeps the same."""
    for line in (ROOT / "deploy/systemd/multiclaw.tmpfiles.conf").read_text().splitlines():
        if line.startswith("z /var/lib/multiclaw/keys/"):
            _, path, mode, user, group = line.split()[:5]
            yield path.removeprefix("/var/lib/multiclaw/"), int(mode, 8), "multiclaw-secret-vault" if path.endswith("/vault.key") else user


@as_root
def test_every_key_file_belongs_to_its_daemon_alone(running):
    listed = dict((path, (mode, user)) for path, mode, user in key_files())
    listed["keys/redis/users.acl"] = (0o600, "multiclaw-redis")
    listed["keys/curve/operator.key"] = (0o600, "root")
    for path in (running.state / "keys").rglob("*"):
        if path.is_file():
            mode, user = listed.pop(str(path.relative_to(running.state)))
            of = path.stat()
            assert (stat.S_IMODE(of.st_mode), of.st_uid) == (mode, uid(user)), path
    assert not listed


@as_root
@pytest.mark.parametrize("who", [*(f"multiclaw-{d}" for d in (*DAEMONS, "sandbox", "snapshot-store", "llm-gateway", "redis", "devchain")), "www-data", "nobody"])
def test_nobody_reads_what_is_anothers(running, who):
    private = [running.state / path for path, mode, user in key_files() if mode == 0o600 and user != who]
    private += [running.state / "keys/curve/operator.key", running.state / "conf/chain-oracle.conf", running.state / "conf/secret-vault.conf"]
    folders = {"vault": "multiclaw-secret-vault", "vault-marks": "multiclaw-secret-vault", "redis": "multiclaw-redis", "chain/wallets": "root", "log": "root",
               "sandbox": "multiclaw-sandbox", "store": "multiclaw-snapshot-store", "volumes": "root"}
    for path in private:
        assert path.exists() and "Permission denied" in try_as(who, "cat", path).stderr, path
    for folder, user in folders.items():
        if user != who:
            assert "Permission denied" in try_as(who, "ls", running.state / folder).stderr, folder


@as_root
def test_a_daemon_takes_no_socket_away_and_makes_no_key(running):
    for path in ("run/router-1.bus", "keys/curve/peers", "conf/suite.conf"):
        assert try_as("multiclaw-auth", "rm", "-f", running.state / path).returncode != 0
        assert (running.state / path).exists()
    assert try_as("multiclaw-auth", "touch", running.state / "keys/curve/mine.key").returncode != 0


@as_root
def test_who_typed_sudo_uses_the_command_line_without_it(own):
    human = pwd.getpwnam("nobody")
    suite = own(SUDO_UID=human.pw_uid, SUDO_GID=human.pw_gid)

    def run(*command):
        done = subprocess.run(
            ["setpriv", "--reuid", "nobody", "--regid", str(human.pw_gid), "--clear-groups", "--", *command],
            capture_output=True, text=True, cwd=suite.state, env={**suite.env, "HOME": str(home), "XDG_CONFIG_HOME": str(home)})
        assert done.returncode == 0, f"{command} {done.stdout}{done.stderr}"
        return done.stdout

    home = pathlib.Path(tempfile.mkdtemp(prefix="mc-home-"))
    multiclaw = home / "multiclaw"  # the build folder may be where others cannot go
    try:
        shutil.copy(ROOT / BUILD / "bin/multiclaw", multiclaw)
        os.chown(home, human.pw_uid, human.pw_gid)
        os.chown(multiclaw, human.pw_uid, human.pw_gid)
        assert "alice" in run("cat", suite.state / "chain/demo.json")
        run(multiclaw, "--url", suite.url, "--session", home / "s.json", "login", "--keypair", suite.state / "chain/wallets/alice.json",
            "--asset", suite.asset_of("alice"))
        run(multiclaw, "status")
        assert suite.url in run("cat", suite.state / "conf/suite.conf")
        run("cat", suite.state / "log/router-1.log")
        assert "unavailable" not in run("curl", "-s", "--unix-socket", suite.state / "run/router-1.ops", "http://localhost/healthz")
        for private in ("keys/jwt.keys", "keys/vault.key", "conf/secret-vault.conf", "keys/curve/router.key"):
            assert try_as("nobody", "cat", suite.state / private).returncode != 0
    finally:
        shutil.rmtree(home)


def run_as(user, env):
    command = [ROOT / "deploy/run"]
    if user:
        command = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", "--", *command]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


@pytest.fixture
def not_root():
    """The environment of somebody without privileges, and the user to become."""
    suite = Suite()
    suite.env.pop("MULTICLAW_SANDBOX")
    suite.env.update(HOME=str(suite.state), MULTICLAW_STATE_DIR=str(suite.state / "state"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        os.chown(suite.state, uid(user), -1)
        if try_as(user, "test", "-x", ROOT / BUILD / "bin/multiclaw-router").returncode:
            pytest.skip(f"{user} cannot reach {ROOT}")
    yield user, suite.env
    suite.stop()


def test_not_as_root_everything_but_containers_runs_and_what_is_missing_is_said(not_root):
    user, env = not_root
    process = run_as(user, env)
    text = []
    try:
        for line in process.stdout:
            text.append(line)
            if line.startswith("ready "):
                break
        assert text[-1].startswith("ready "), "".join(text)
        said = next(line for line in text if line.startswith("not root"))
        assert "no containers" in said and "sudo make run" in said
        assert not any("open the agent" in line for line in text)
        mine = uid(user) if user else os.geteuid()
        for path in (pathlib.Path(env["MULTICLAW_STATE_DIR"]) / "run").glob("*.pid"):
            assert status(path.read_text().strip())["Uid"][0] == str(mine), path
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_containers_that_were_asked_for_are_refused_to_who_is_not_root(not_root):
    user, env = not_root
    out, _ = (process := run_as(user, {**env, "MULTICLAW_SANDBOX": "yes"})).communicate(timeout=20)
    assert process.returncode == 1 and "containers need root" in out


@as_root
def test_a_state_folder_that_the_daemons_cannot_reach_is_refused_with_what_helps():
    suite = Suite()
    try:
        inner = suite.state / "inner"
        process = run_as(None, {**suite.env, "MULTICLAW_STATE_DIR": str(inner)})
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 1 and f"cannot pass through {suite.state}: chmod o+x it" in out and "MULTICLAW_STATE_DIR" in out
    finally:
        suite.stop()


@as_root
def test_a_state_folder_of_somebody_else_is_refused_to_root_too():
    suite = Suite()
    try:
        os.chown(suite.state, uid("www-data"), -1)
        out, _ = (process := run_as(None, suite.env)).communicate(timeout=20)
        assert process.returncode == 1 and "belongs to somebody else" in out
    finally:
        suite.stop()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_units_are_what_systemd_understands(tmp_path):
    units = tmp_path / "etc/systemd/system"
    shutil.copytree(ROOT / "deploy/systemd", units)
    shutil.copytree("/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    for program in [*(f"lib/multiclaw/multiclaw-{unit.name.split('@')[0].removeprefix('multiclaw-')}" for unit in units.glob("*@.service")), "bin/kill"]:
        for prefix in ("usr", "."):
            path = tmp_path / prefix / program
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/bin/true", path)
    names = [unit.name.replace("@", "@1") for unit in units.glob("*@.service")]
    assert len(names) == 10
    done = subprocess.run(["systemd-analyze", "verify", f"--root={tmp_path}", "multiclaw.target", *names], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@as_root
def test_links_of_a_daemon_do_not_lead_root(running, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("whole")
    before = running.pid("router-1")
    for name in ("router-1.pid.new", "nginx.master.pid", "router-1.pid.new.new"):
        assert try_as("multiclaw-auth", "ln", "-s", victim, running.state / f"run/{name}").returncode == 0
    os.kill(before, 9)
    wait_until("router runs again", lambda: running.pid("router-1") != before, 15)
    assert victim.read_text() == "whole"
    # and what root has put there stays
    assert try_as("multiclaw-auth", "rm", "-f", running.state / "run/router-1.pid").returncode != 0
    assert not (running.state / "run/nginx.master.pid").exists() or (running.state / "run/nginx.master.pid").is_symlink()


def left_of(prefix, state):
    """What a suite with containers could leave on the host."""
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout.splitlines()
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines()
    found = [line for line in links if line.startswith(prefix)] + [line for line in tables if f" {prefix}_agents" in line]
    found += [line for line in mounts if str(state) in line or f"/run/multiclaw-{prefix}" in line]
    found += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/multiclaw-{prefix}/*") if path.is_dir()]
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"/run/multiclaw-{prefix}".encode() in (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            pass
    return found


def test_an_agent_starts_and_stopping_the_suite_leaves_nothing_of_it(containers, own):
    suite = own(containers=True)
    settings = dict(line.split("=", 1) for line in (suite.state / "conf/warden.conf").read_text().splitlines() if line)
    prefix, network = settings["MULTICLAW_WARDEN_PREFIX"], settings["MULTICLAW_WARDEN_NETWORK"]
    assert prefix != "mc" and network.startswith("10.214.") and f"AGENTS_NETWORK={network}" in (suite.state / "conf/router.conf").read_text()
    of = status(suite.pid("sandbox-1"))
    assert of["Uid"] == [str(uid("multiclaw-sandbox"))] * 4 and int(of["CapEff"][0], 16) == 0 and of["NoNewPrivs"] == ["1"]
    assert status(suite.pid("warden-1"))["Uid"][0] == "0"
    of = status(suite.pid("snapshot-store-1"))
    assert of["Uid"] == [str(uid("multiclaw-snapshot-store"))] * 4 and int(of["CapEff"][0], 16) == 0 and of["NoNewPrivs"] == ["1"]
    wait_until("the socket of snapshots", (suite.state / "run/sandbox-1.store").exists)

    suite.cli("login", "--keypair", suite.state / "chain/wallets/alice.json", "--asset", suite.asset_of("alice"))
    suite.cli("agent", "start")
    wait_until("it runs", lambda: "running" in suite.cli("agent", check=False).stdout, 30, every=0.2)
    agents = [p for p in pathlib.Path("/proc").glob("[0-9]*/comm") if p.exists() and p.read_text() == "demo-agent\n"]
    base = int(settings["MULTICLAW_WARDEN_UID_BASE"])
    assert any(base <= int(status(p.parent.name)["Uid"][0]) < base + 256 * 65536 for p in agents)
    assert left_of(prefix, suite.state)

    suite.stop(keep=True)
    wait_until(f"nothing is left: {left_of(prefix, suite.state)}", lambda: not left_of(prefix, suite.state))


def test_two_suites_of_one_host_share_no_name_no_network_and_no_user_ids(containers, own):
    confs = [(own(containers=True).state / "conf/warden.conf").read_text().splitlines() for _ in range(2)]
    for name in ("PREFIX", "NETWORK", "UID_BASE"):
        values = [line for conf in confs for line in conf if line.startswith(f"MULTICLAW_WARDEN_{name}=")]
        assert len(values) == 2 and values[0] != values[1]
