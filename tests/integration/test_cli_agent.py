"""`multiclaw agent`, the owner's words and the operators', against the whole suite with real containers and the demo agent."""

import base64
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from suite import BIN, Suite, b58encode, replace_text, wait_until

ROLES = "operator-read+operator-revoke+operator-vault"


@pytest.fixture(scope="module")
def suite(containers):
    with Suite(containers=True) as s:
        yield s


@pytest.fixture(scope="module")
def alice(suite):
    asset = suite.asset_of("alice")
    shown = json.loads(suite.cli("--json", "login", "--keypair", suite.state / "chain/wallets/alice.json", "--asset", asset).stdout)
    return {"asset": asset, "agent_id": shown["agent_id"]}


@pytest.fixture
def running(suite, alice):
    suite.cli("agent", "start")
    wait_for(suite, "running")
    return alice


@pytest.fixture
def may_exec(suite):
    """The operator's line with the role that it has not by default."""
    peers = suite.state / "keys/curve/peers"
    before = peers.read_text()
    replace_text(peers, before.replace(ROLES, ROLES + "+operator-exec"))
    yield
    replace_text(peers, before)


def state(suite):
    return json.loads(suite.cli("agent", "status", "--json").stdout)


def wait_for(suite, wanted, seconds=30):
    wait_until(f"the agent is {wanted}", lambda: state(suite)["state"] == wanted, seconds, every=0.1)


def on_terminal(suite, *words):
    """What a terminal gets to see."""
    ours, theirs = pty.openpty()
    command = [BIN / "multiclaw", "--url", suite.url, "--session", suite.state / "session.json", "-c", suite.state / "conf/suite.conf", *words]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=suite.env)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    process.wait(30)
    return seen


# ---- the owner


def test_an_agent_is_started_shown_restarted_and_stopped(suite, alice):
    assert json.loads(suite.cli("agent", "start", "--json").stdout)["state"] in ("starting", "running")
    wait_for(suite, "running")
    first = state(suite)
    assert first["agent_id"] == alice["agent_id"] and first["image"].startswith("demo@sha256:") and first["started_at"]
    text = suite.cli("agent").stdout
    assert text.startswith("state    running\n") and first["boot_id"] in text and first["url"] in text
    suite.cli("agent", "restart")
    wait_until("another boot", lambda: (s := state(suite))["state"] == "running" and s["boot_id"] != first["boot_id"], 30, every=0.1)
    suite.cli("agent", "stop")
    wait_for(suite, "stopped")
    assert "'multiclaw agent start' starts it" in suite.cli("agent", "status").stdout


def test_open_prints_an_address_of_the_agents_own_origin_that_is_new_each_time(suite, running):
    one, two = (suite.cli("agent", "open", "--print").stdout.strip() for _ in range(2))
    assert one != two
    for url in (one, two, json.loads(suite.cli("agent", "open", "--json").stdout)["url"]):
        assert re.fullmatch(rf"http://{running['agent_id']}\.{re.escape(suite.authority)}/\.multiclaw/enter#[A-Za-z0-9_-]{{43}}", url), url


def test_logs_are_shown_and_followed(suite, running):
    wait_until("it wrote something", lambda: "demo-agent: boot" in suite.cli("agent", "logs").stdout, 10, every=0.2)
    assert "demo-agent: boot" in json.loads(suite.cli("agent", "logs", "--json").stdout)["logs"]
    command = [BIN / "multiclaw", "--session", suite.state / "session.json", "agent", "logs", "-f"]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=suite.env)
    try:
        assert "demo-agent: " in follower.stdout.readline()
        boot = state(suite)["boot_id"]
        suite.cli("agent", "restart")
        wait_until("another boot", lambda: (s := state(suite))["state"] == "running" and s["boot_id"] != boot, 30, every=0.1)
        deadline = time.monotonic() + 20
        seen = ""
        while "demo-agent: ended" not in seen and time.monotonic() < deadline and select.select([follower.stdout], [], [], 20)[0]:
            seen += follower.stdout.readline()
        assert "demo-agent: ended" in seen
    finally:
        follower.kill()
        follower.wait()


def test_without_a_session_each_word_says_so(suite, alice):
    for words in (["status"], ["start"], ["stop"], ["restart"], ["open", "--print"], ["logs"], ["logs", "-f"]):
        done = suite.cli("agent", *words, session="nobody.json", check=False)
        assert done.returncode == 3, (words, done.stderr)


def test_a_session_that_ends_ends_the_following(suite, running):
    keypair = suite.state / "chain/wallets/alice.json"
    suite.cli("login", "--keypair", keypair, "--asset", running["asset"], session="second.json")
    command = [BIN / "multiclaw", "--session", suite.state / "second.json", "agent", "logs", "-f"]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=suite.env)
    assert follower.stdout.readline()
    jti = json.loads(suite.cli("whoami", "--json", session="second.json").stdout)["jti"]
    suite.cli("sessions", "end", jti)
    _, said = follower.communicate(timeout=20)
    assert follower.returncode == 3, said


def test_wrong_words(suite):
    for words in (["frob"], ["status", "x"], ["start", "x"], ["open", "--x"], ["open", "--print", "x"], ["logs", "--x"], ["list", "x"], ["halt"], ["halt", "a", "b"],
                  ["halt", ""], ["halt", "x" * 60], ["wake"], ["exec"], ["exec", "asset"], ["exec", "a" * 44, "--"], ["exec", "a" * 44, "--", *["x"] * 33],
                  ["exec", "a" * 44, "--", "x" * 2000]):
        assert suite.cli("agent", *words, check=False).returncode == 2, words


def test_help_names_every_word(suite):
    text = suite.cli("help", "agent").stdout
    for word in ("status", "start", "stop", "restart", "open", "logs", "list", "halt", "wake", "exec", "operator-exec"):
        assert word in text


def test_a_request_from_the_command_line_enters_the_agent(suite, running):
    url = f"http://{running['agent_id']}.{suite.authority}"
    assert json.loads(suite.cli("curl", f"{url}/status").stdout)
    first = json.loads((suite.state / "session.json").read_text())["agent_token"]
    assert suite.cli("curl", "-i", "-X", "PUT", "-d", '{"note":"x"}', f"{url}/sink").stdout.startswith("HTTP 2")
    assert json.loads((suite.state / "session.json").read_text())["agent_token"] == first


def test_why_it_does_not_start_is_shown(suite, running):
    suite.cli("agent", "stop")
    wait_for(suite, "stopped")
    suite.cli("secrets", "set", "custom", "egress-hosts", input="api.example.com\nhttps://no.example\n")
    try:
        suite.cli("agent", "start")
        why = wait_until("it says why", lambda: state(suite)["why"], 10)
        assert why.startswith("custom/egress-hosts, line 2:") and state(suite)["state"] == "stopped"
        assert "\nwhy      custom/egress-hosts, line 2:" in suite.cli("agent").stdout
    finally:
        suite.cli("secrets", "rm", "custom", "egress-hosts")
    suite.cli("agent", "start")
    wait_for(suite, "running")
    assert state(suite)["why"] is None and "why" not in suite.cli("agent").stdout


def kill_from_the_host(suite):
    """Every process of the only agent of this suite."""
    conf = (suite.state / "conf/warden.conf").read_text()
    prefix = re.search("^MULTICLAW_WARDEN_PREFIX=(.*)$", conf, re.M)[1]
    cgroup2 = pathlib.Path("/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup")
    pids = [pid for procs in (cgroup2 / f"multiclaw-{prefix}").glob("?" * 32 + "/cgroup.procs") for pid in procs.read_text().split()]
    assert pids
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)


def test_every_state_is_shown_in_words(containers):
    words = {"stopped": "stopped: nothing runs", "sleeping": "sleeping: the next request wakes it", "running": "running\n", "failed": "failed: it does not start"}
    with Suite(containers=True, MULTICLAW_SANDBOX_IDLE_S=4, MULTICLAW_SANDBOX_RESTARTS_MAX=0) as suite:
        asset = suite.asset_of("alice")
        shown = json.loads(suite.cli("--json", "login", "--keypair", suite.state / "chain/wallets/alice.json", "--asset", asset).stdout)
        url = f"http://{shown['agent_id']}.{suite.authority}/status"

        def see(wanted):
            wait_until(wanted, lambda: suite.cli("agent", "status").stdout.startswith(f"state    {words[wanted]}"), 30, 0.1)

        def answers():
            done = suite.cli("curl", "-i", url, check=False)
            return done.stdout.startswith("HTTP 200") and done.returncode == 0

        see("stopped")
        assert "starting" in suite.cli("agent", "start").stdout
        see("sleeping")
        wait_until("a request wakes it", answers, 30, 0.2)
        kill_from_the_host(suite)
        see("failed")
        assert "\nwhy      ended by signal 9" in suite.cli("agent").stdout
        done = suite.cli("curl", "-i", url, check=False)
        assert done.stdout.startswith("HTTP 503") and "agent_failed" in done.stdout and done.returncode == 4
        suite.cli("agent", "start")
        wait_until("its owner's word starts it", answers, 30, 0.2)


# ---- snapshots (test_cli_snapshots.py has the words, test_snapshots.py what becomes of them)


def note(suite, agent, text=None):
    """What the demo agent remembers in /data; it may be on its way still."""
    url = f"http://{agent['agent_id']}.{suite.authority}/memory"
    words = ["-i", "-X", "PUT", "-d", json.dumps({"note": text})] if text else ["-i"]
    done = []

    def answers():
        done.append(suite.cli("curl", *words, url, check=False))
        return done[-1].stdout.startswith("HTTP 2")

    wait_until("the agent answers", answers, 30, every=0.2)
    return done[-1].stdout


def saved(suite):
    return json.loads(suite.cli("agent", "snapshots", "--json").stdout)


def test_what_was_saved_is_gone_back_to(suite, running):
    note(suite, running, "first thoughts")
    made = json.loads(suite.cli("agent", "snapshot", "--json").stdout)
    assert made["trigger"] == "demand" and made["files"] >= 1 and made["stored_bytes"] > 0 and not made["damaged"]
    assert suite.cli("agent", "snapshot").stdout.startswith("nothing has changed since the newest one:\n")
    assert state(suite)["snapshot"] == {"id": made["id"], "created_at": made["created_at"], "why": None}
    note(suite, running, "second thoughts")
    after = json.loads(suite.cli("agent", "snapshot", "--json").stdout)
    assert after["id"] > made["id"] and saved(suite)["snapshots"][0] == after
    assert suite.cli("agent", "discard", str(after["id"]), check=False).returncode == 1, "the newest"
    shown = suite.cli("agent", "restore", "--yes", str(made["id"])).stdout
    assert shown.startswith("state    running")
    assert "first thoughts" in note(suite, running)
    listed = saved(suite)
    assert listed["snapshots"][0]["trigger"] == "restore" and listed["snapshots"][0]["id"] > after["id"] and listed["under_way"] is None
    suite.cli("agent", "discard", str(after["id"]))
    assert after["id"] not in [s["id"] for s in saved(suite)["snapshots"]]
    done = suite.cli("agent", "restore", "--yes", str(after["id"]), check=False)
    assert done.returncode == 1 and "there is no snapshot" in done.stderr


def test_a_file_with_a_secret_stops_a_snapshot_until_it_is_gone_or_excluded(suite, running):
    value = "sk-planted-0123456789-abcdefghij"
    suite.cli("secrets", "set", "custom", "planted", input=value)
    boot = state(suite)["boot_id"]
    suite.cli("agent", "restart")
    wait_until("another boot", lambda: (s := state(suite))["state"] == "running" and s["boot_id"] != boot, 30, every=0.1)
    note(suite, running, f"my key is {base64.b64encode(value.encode()).decode()}!")
    before = [s["id"] for s in saved(suite)["snapshots"]]
    try:
        done = suite.cli("agent", "snapshot", check=False)
        assert done.returncode == 1 and "nothing was saved: /data/notes/memory.txt holds a secret: custom/planted" in done.stderr, done.stderr
        assert value not in done.stderr and "custom snapshot-exclude" in done.stderr
        shown = saved(suite)
        assert [s["id"] for s in shown["snapshots"]] == before
        assert shown["last"]["outcome"] == "secret_found" and shown["last"]["path"] == "notes/memory.txt"
        assert "\nunsaved  " in suite.cli("agent").stdout
        assert "memory.txt" in suite.cli("agent", "hand-over", "notes", check=False).stderr
        suite.cli("secrets", "set", "custom", "snapshot-exclude", input="notes/memory.txt\n")
        # the agent has nothing else: it is not saved, and what was saved stays
        done = suite.cli("agent", "snapshot", check=False)
        assert "secret_found" not in done.stderr and saved(suite)["snapshots"][-1]["id"] == before[-1]
        suite.cli("secrets", "rm", "custom", "snapshot-exclude")
        note(suite, running, "forgotten")
        suite.cli("agent", "snapshot")
        assert saved(suite)["snapshots"][0]["id"] > before[0] and state(suite)["snapshot"]["why"] is None
    finally:
        suite.cli("secrets", "rm", "custom", "snapshot-exclude", check=False)
        suite.cli("secrets", "rm", "custom", "planted")


def test_what_the_seller_left_is_shown_to_the_buyer_and_taken_or_refused(suite, running):
    def by(session, *words, **more):
        return suite.cli("agent", *words, session=session, **more)

    def sold(to, session):
        suite.transfer(running["asset"], json.loads((suite.state / "chain/demo.json").read_text())["wallets"][to]["address"])
        wait_until(f"{to} is in", lambda: login_works(to, session), 30, every=0.5)
        by(session, "start")
        wait_until("it runs", lambda: json.loads(by(session, "status", "--json").stdout)["state"] == "running", 60, every=0.2)

    def listed(session):
        return json.loads(by(session, "snapshots", "--json").stdout)

    def login_works(who, session):
        words = ["login", "--keypair", suite.state / f"chain/wallets/{who}.json", "--asset", running["asset"]]
        return suite.cli(*words, session=session, check=False).returncode == 0

    note(suite, running, "for whoever comes next")
    assert "notes" in suite.cli("agent", "hand-over", "notes").stdout
    note(suite, running, "for nobody")
    sold("bob", "bob.json")
    shown = wait_until("it is offered, once the sale is final", lambda: (lambda shown: shown if shown["handed_over"] else None)(listed("bob.json")), 60, every=0.5)
    assert shown["snapshots"] == [] and shown["handed_over"]["roots"] == ["notes"] and shown["handed_over"]["bytes"] > 0
    assert "agent accept" in by("bob.json", "snapshots").stdout
    shown = by("bob.json", "accept", "--yes").stdout
    assert "handed over by " in shown and "state    running" in shown
    memory = suite.cli("curl", f"http://{running['agent_id']}.{suite.authority}/memory", session="bob.json").stdout
    assert "for whoever comes next" in memory
    # saved as his own, it need not be offered any more
    assert by("bob.json", "snapshot").stdout
    wait_until("it is his", lambda: listed("bob.json")["handed_over"] is None, 20, every=0.2)
    assert by("bob.json", "refuse", "--yes", check=False).returncode == 1
    by("bob.json", "hand-over", "notes")
    by("bob.json", "hand-over", "--withdraw")
    sold("alice", "session.json")
    assert listed("session.json")["handed_over"] is None


# ---- operators


def test_status_knows_the_sandbox(suite):
    found = [s for s in suite.status() if s.get("service") == "sandbox"]
    assert len(found) == 1 and found[0]["ready"] and found[0]["replica"] == "sandbox-1"


def test_list_shows_every_agent_and_halt_stops_one(suite, running):
    listed = {a["asset"]: a for a in json.loads(suite.cli("agent", "list", "--json").stdout)}
    agent = listed[running["asset"]]
    assert (agent["host"], agent["state"], agent["agent_id"]) == ("sandbox-1", "running", running["agent_id"])
    assert re.fullmatch(r"[0-9.]+:18789", agent["upstream"])
    assert running["asset"] in suite.cli("agent", "list").stdout
    assert json.loads(suite.cli("agent", "halt", running["asset"], "--json").stdout)["asset"] == running["asset"]
    wait_for(suite, "stopped")
    suite.cli("agent", "start")
    wait_for(suite, "running")


def when_the_list_is_read(suite, is_allowed, *words):
    """The bus reads its list again within a moment."""
    done = []

    def try_it():
        done.append(suite.cli("agent", *words, check=False))
        return "no replica is ready" not in done[-1].stderr and ("operator-exec" not in done[-1].stderr) == is_allowed

    wait_until("the list is read", try_it, 15, every=0.2)
    return done[-1]


def when_allowed(suite, *words):
    return when_the_list_is_read(suite, True, *words)


def when_refused(suite, *words):
    return when_the_list_is_read(suite, False, *words)


def test_an_asset_that_nobody_started_is_not_found(suite, may_exec):
    nobody = b58encode(bytes(range(1, 33)))
    for words in (["halt", nobody], ["wake", nobody], ["exec", nobody, "--", "/demo-agent"]):
        done = when_allowed(suite, *words)
        assert done.returncode == 1 and "no host has an agent of this asset" in done.stderr, (words, done.stderr)


def test_wake_and_exec_are_nobodys_by_default_and_the_refusal_says_how_to_get_them(suite, running):
    for words in (["wake", running["asset"]], ["exec", running["asset"], "--", "/demo-agent"]):
        done = when_refused(suite, *words)
        assert done.returncode == 1 and "+operator-exec" in done.stderr and "curve/peers" in done.stderr, done.stderr


def exec_when_allowed(suite, *words):
    return when_allowed(suite, "exec", *words)


def test_exec_runs_a_program_and_gives_its_words_and_end(suite, running, may_exec):
    done = exec_when_allowed(suite, running["asset"], "--", "/demo-agent", "--help")
    assert done.returncode == 1 and "Usage: demo-agent" in done.stdout and "ended with 2" in done.stderr
    shown = json.loads(suite.cli("--json", "agent", "exec", running["asset"], "--", "/demo-agent", "--json", check=False).stdout)
    assert shown["status"] == 2 and "Usage: demo-agent" in shown["output"]
    trail = suite.cli("audit", "export").stdout
    assert "exec" in trail


def test_what_a_program_writes_steers_no_terminal(suite, running, may_exec):
    exec_when_allowed(suite, running["asset"], "--", "/demo-agent", "--help")
    hostile = "a\x1b]0;owned\x07\u202eb\x9b2J"
    words = [running["asset"], "--", "/demo-agent", "--secrets", hostile]
    seen = on_terminal(suite, "agent", "exec", *words)
    assert b"a?]0;owned??b?2J/gateway-token" in seen, seen
    assert b"\x1b" not in seen
    assert b"\x1b]0;owned\x07" in on_terminal(suite, "agent", "exec", "--raw", *words)


def test_wake_starts_what_its_owner_started_before(suite, running, may_exec):
    exec_when_allowed(suite, running["asset"], "--", "/demo-agent", "--help")
    suite.cli("agent", "halt", running["asset"])
    wait_for(suite, "stopped")
    suite.cli("agent", "wake", running["asset"])
    wait_for(suite, "running")
