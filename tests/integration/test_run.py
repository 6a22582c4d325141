"""deploy/run as an operator meets it: a second start, taken ports, signals at a bad moment, a killed supervisor."""

import os
import pathlib
import signal
import socket
import stat
import subprocess
import time

import pytest

from suite import BIN, ROOT, Suite, wait_until


def run(env):
    return subprocess.Popen(
        [ROOT / "deploy/run"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    )


def refusal(env):
    process = run(env)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def processes_in(folder):
    """Everything whose working directory is in the state folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:
            pass
    return found


def until_ready(process):
    for line in process.stdout:
        if line.startswith("ready "):
            return
    raise AssertionError("deploy/run ended before it was ready")


@pytest.fixture
def suite():
    """One that was not started, and its folder's end."""
    s = Suite()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def running():
    with Suite() as s:
        yield s


def test_a_second_start_with_the_same_state_folder_is_refused_and_harms_nothing(running):
    code, out = refusal(running.env)
    assert code == 1 and "already running" in out
    assert running.process.poll() is None
    assert running.cli("status").returncode == 0


def test_no_process_may_leave_a_core_dump(running):
    for path in (running.state / "run").glob("*.pid"):
        limits = pathlib.Path(f"/proc/{path.read_text().strip()}/limits").read_text()
        assert next(line for line in limits.splitlines() if "core" in line).split()[4:6] == ["0", "0"], path.name


def test_daemons_killed_at_the_same_moment_are_all_started_again(running):
    names = ["router-1", "auth-1", "session-1", "secret-vault-1"]
    for _ in range(3):
        pids = {name: running.pid(name) for name in names}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        wait_until("all of them are back", lambda pids=pids: all(running.pid(name) != pid for name, pid in pids.items()), 15)
        running.wait_ready()


def test_a_suite_that_holds_the_port_does_not_answer_for_another(running, suite):
    code, out = refusal({**suite.env, "MULTICLAW_PUBLIC_URL": running.url})
    assert code == 1 and f"port {running.port} of 127.0.0.1 is taken" in out and "ready" not in out
    assert processes_in(suite.state) == []


def test_a_taken_port_of_the_development_chain_is_named_and_nothing_is_left(suite):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out = refusal({**suite.env, "MULTICLAW_DEVCHAIN_PORT": str(port)})
    assert code == 1 and f"port {port} of 127.0.0.1 is taken; set MULTICLAW_DEVCHAIN_PORT" in out
    assert processes_in(suite.state) == []


def test_a_daemon_that_cannot_start_ends_the_start_at_once_and_says_why(suite):
    code, out = refusal({**suite.env, "MULTICLAW_CHALLENGES_LIVE": "many"})
    assert code == 1 and "auth-1 ended" in out and "MULTICLAW_CHALLENGES_LIVE" in out
    assert processes_in(suite.state) == []


@pytest.mark.parametrize("after_s", [0.05, 0.15, 0.3, 0.6, 1.2])
def test_a_signal_while_starting_leaves_no_process(suite, after_s):
    process = run(suite.env)
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert processes_in(suite.state) == []
    run_folder = suite.state / "run"
    assert not run_folder.exists() or list(run_folder.iterdir()) == []


def test_a_killed_supervisor_takes_its_children_along_and_a_start_right_after_waits_for_them(suite):
    first, second = run(suite.env), None
    try:
        until_ready(first)
        first.kill()
        first.wait()
        second = run(suite.env)
        until_ready(second)
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=60)
        assert second.returncode == 0
        wait_until("no process is left", lambda: processes_in(suite.state) == [])
    finally:
        for process in (first, second):
            if process and process.poll() is None:
                process.terminate()
                process.communicate(timeout=20)


def made_before_containers(keys):
    """No keys of sandbox's, and nobody may touch tickets."""
    for path in ("curve/sandbox.key", "redis/sandbox.password"):
        (keys / path).unlink()
    for path in ("curve/peers", "redis/users.acl"):
        lines = (keys / path).read_text().splitlines(keepends=True)
        (keys / path).write_text("".join(line for line in lines if "sandbox" not in line))


def made_before_tickets(keys):
    acl = keys / "redis/users.acl"
    acl.write_text(acl.read_text().replace("(%RW~mc:ticket:* +set +getdel) ", ""))


@pytest.mark.parametrize("age", [made_before_containers, made_before_tickets])
def test_a_state_folder_of_an_older_version_is_told_what_to_do_and_starts_then(suite, age):
    keys = suite.state / "keys"
    subprocess.run([BIN / "multiclaw", "keys", "init", keys], check=True, stdout=subprocess.DEVNULL)
    kept = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file() and path.name not in ("peers", "users.acl", "sandbox.key", "sandbox.password", "sentinel.conf")}
    age(keys)
    code, out = refusal(suite.env)
    assert code == 1 and "made by an older version?" in out and "ready" not in out, out
    assert processes_in(suite.state) == []
    # as README says
    (keys / "curve/peers").rename(suite.state / "old-peers")
    (keys / "redis/users.acl").rename(suite.state / "old-users")
    suite.start()
    assert suite.sign_in(suite.wallet("alice"), suite.asset_of("alice"))
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_state_folder_with_spaces_works_and_is_private(suite):
    state = suite.state / "a state folder"
    suite.state.chmod(0o711)
    env = {**suite.env, "MULTICLAW_STATE_DIR": str(state)}
    process = run(env)
    try:
        until_ready(process)
        for path in [state, *(p for p in state.rglob("*") if not p.is_symlink())]:
            mode = stat.S_IMODE(path.lstat().st_mode)
            if path.is_dir() and path != state:
                assert mode & 0o007 == 0, f"{path} {mode:o}"
        assert stat.S_IMODE(state.lstat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert processes_in(state) == []


def test_the_nodes_addresses_with_their_keys_are_in_no_environment_command_line_or_log(running, suite):
    nodes = f"http://127.0.0.1:{running.chain_ports['rpc_a']}/?api-key=0123456789abcdef"
    env = {
        **suite.env,
        "SOLANA_RPC_URL": nodes,
        "SOLANA_WS_URL": f"ws://127.0.0.1:{running.chain_ports['ws_a']}",
        "MULTICLAW_COLLECTION": running.collection,
    }
    process = run(env)
    try:
        until_ready(process)
        for entry in processes_in(suite.state):
            pid, name = entry.split(" ", 1)
            if int(pid) == process.pid or name == "bash":  # itself, and a fork of it that is about to exec
                continue
            for what in ("environ", "cmdline"):
                assert b"0123456789abcdef" not in pathlib.Path(f"/proc/{pid}/{what}").read_bytes(), f"{name} {what}"
        for log in (suite.state / "log").iterdir():
            assert b"0123456789abcdef" not in log.read_bytes(), log
    finally:
        process.terminate()
        process.communicate(timeout=20)
