"""`multiclaw agent snapshot` and its kin, and an operator's `agent move`, with sandboxes that the test plays: what is asked, shown, refused and followed."""

import json
import os
import time

import pytest

from bus_server import Refusal
from cli_parts import Terminal
from suite import wait_until
from test_agent_http import Containers
from test_snapshots_http import ITEM, SHOWN, UNDER_WAY

HOSTILE = "workspace/\x1b]0;owned\x07\u202e\n$(reboot)"
SECRET = {"outcome": "secret_found", "why": "a secret in it", "path": HOSTILE, "kind": "llm/openai, base64"}
HANDED = {"roots": [{"root": "workspace"}, {"root": "\x1b[2Jmemory"}], "handed_wallet": "B" * 43, "handed_ms": 1767323045678, "handed_bytes": 2048}


@pytest.fixture(scope="module")
def shared_edge():
    made = Containers()
    try:
        keypair = made.suite.state / "chain/wallets/alice.json"
        made.suite.cli("login", "--keypair", keypair, "--asset", made.suite.asset_of("alice"))
        yield made
    finally:
        made.stop()


@pytest.fixture
def edge(shared_edge):
    shared_edge.hosts.reset()
    shared_edge.place(None)
    return shared_edge


def cli(edge, *words, **more):
    return edge.suite.cli("agent", *words, **more)


def refused(edge, *words, code=1):
    done = cli(edge, *words, check=False)
    assert done.returncode == code and "\x1b" not in done.stderr + done.stdout and "\u202e" not in done.stderr, done.stderr
    return done.stderr


class Agent:
    """sandbox.state and sandbox.snapshots of an agent that is restarted: each look takes it a step further."""

    def __init__(self, edge, *steps):
        self.steps, self.begun = list(steps), False
        edge.hosts.say("sandbox.state", lambda body: self.state())
        edge.hosts.say("sandbox.snapshots", {"snapshots": [{**ITEM, "id": 8}, ITEM], **HANDED})

    def begin(self, body):
        self.begun = True
        return {"state": "starting", "boot_id": "aa" * 16}

    def state(self):
        if not self.begun:
            return {"state": "running", "boot_id": "aa" * 16}
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


STARTING = {"state": "starting", "boot_id": "aa" * 16}
RUNS = {"state": "running", "boot_id": "bb" * 16, "snapshot": 9, "snapshot_ms": 1767323045678}


# ---- what there is


def test_status_shows_the_newest_and_a_try_that_failed(edge):
    edge.hosts.say("sandbox.state", {"state": "running"})
    assert "\nsnapshot -\n" in cli(edge, "status").stdout
    edge.hosts.say("sandbox.state", {"state": "running", "snapshot": 7, "snapshot_ms": 1767323045678, "snapshot_why": "a\x1b[2J secret"})
    shown = cli(edge, "status").stdout
    assert f"\nsnapshot 7 of {SHOWN['created_at']}\nunsaved  a?[2J secret\n" in shown
    edge.hosts.say("sandbox.state", {"state": "running", "snapshot_why": "a secret"})
    assert "\nsnapshot -\nunsaved  a secret\n" in cli(edge, "status").stdout


def test_the_list_is_shown_and_steers_no_terminal(edge):
    edge.hosts.say("sandbox.snapshots", {})
    assert cli(edge, "snapshots").stdout == "there are no snapshots\n"
    edge.hosts.say("sandbox.snapshots", {"snapshots": [{**ITEM, "id": 8}, {**ITEM, "damaged": True}], **UNDER_WAY, **SECRET, **HANDED})
    text = cli(edge, "snapshots").stdout
    lines = text.splitlines()
    assert lines[0].startswith(f"   8  {SHOWN['created_at']}        3 files     4.0 KiB,     1000 B stored  timer") and lines[1].endswith("timer  damaged")
    assert lines[2] == "saving [#####---------------]  25 %, 10 B of 40 B"
    assert lines[3] == "the last try saved nothing: secret_found, /data/workspace/?]0;owned???$(reboot) holds llm/openai, base64"
    assert lines[4] == f"handed over by {'B' * 43} at {SHOWN['created_at']}, 2.0 KiB: workspace, ?[2Jmemory" and "agent accept" in lines[5]
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    shown = cli(edge, "snapshots", "--json").stdout
    assert json.loads(shown)["snapshots"][0] == {**SHOWN, "id": 8} and json.loads(shown)["last"]["path"] == HOSTILE and "\x1b" not in shown


# ---- save


def test_one_is_made_and_shown(edge):
    edge.hosts.say("sandbox.snapshots", {"snapshots": [ITEM]})
    edge.hosts.say("sandbox.snapshot", {"outcome": "made", "id": 7})
    assert cli(edge, "snapshot").stdout.startswith("   7  ")
    assert json.loads(cli(edge, "snapshot", "--json").stdout) == SHOWN
    edge.hosts.say("sandbox.snapshot", {"outcome": "unchanged", "id": 7})
    assert cli(edge, "snapshot").stdout.startswith("nothing has changed since the newest one:\n   7  ")


def test_a_file_with_a_secret_is_named_and_what_to_do(edge):
    edge.hosts.say("sandbox.snapshot", SECRET)
    said = refused(edge, "snapshot")
    assert "nothing was saved: /data/workspace/?]0;owned???$(reboot) holds a secret: llm/openai, base64" in said
    assert "multiclaw secrets set custom snapshot-exclude <FILE" in said and said.count("reboot") == 1
    edge.hosts.say("sandbox.hand_over", SECRET)
    assert "custom snapshot-exclude" in refused(edge, "hand-over", "workspace")


@pytest.mark.parametrize("said, code, words", [
    ({"outcome": "empty"}, 1, "(snapshot_empty)"), ({"outcome": "nothing_to_save"}, 1, "(nothing_to_save)"),
    ({"outcome": "too_large", "why": "11 GB \x1b[2J of 10"}, 1, "11 GB ?[2J of 10"), ({"outcome": "busy"}, 1, "(snapshot_busy)"),
    ({"outcome": "failed", "why": "the store is full"}, 4, "the store is full"), (Refusal("not_found"), 1, "There is nothing here"),
])
def test_a_refusal_says_why(edge, said, code, words):
    edge.hosts.say("sandbox.snapshot", said)
    assert words in refused(edge, "snapshot", code=code)


@pytest.mark.parametrize("last, code", [({"outcome": "made"}, 0), ({"outcome": "unchanged"}, 0), (SECRET, 1), ({"outcome": "too_large", "why": "11 GB"}, 1),
                                        ({"outcome": "failed", "why": "no store"}, 4), ({}, 1)])
def test_one_that_takes_long_is_followed_to_its_end(edge, last, code):
    steps = [UNDER_WAY, Refusal("unavailable"), {**UNDER_WAY, "done_bytes": 30}, {"snapshots": [ITEM], **last}]

    def look(body):
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Exception):
            raise step
        return step

    edge.hosts.say("sandbox.snapshot", UNDER_WAY)
    edge.hosts.say("sandbox.snapshots", look)
    done = cli(edge, "snapshot", check=False)
    assert done.returncode == code and len(steps) == 1, done.stderr
    if last == SECRET:
        assert "custom snapshot-exclude" in done.stderr
    elif code:
        assert last.get("why", "") in done.stderr
    else:
        assert "   7  " in done.stdout and not done.stderr


def ended(terminal):
    terminal.read(0.1)
    return terminal.process.poll() is not None


def test_a_terminal_sees_how_far_it_is_while_it_waits(edge):
    begun = []
    edge.hosts.say("sandbox.snapshots", lambda body: {"snapshots": [ITEM], **({**UNDER_WAY, "done_bytes": min(40, 10 * len(begun))} if len(begun) < 5 else {})})

    def slow(body):
        while edge.hosts.count("sandbox.snapshots") < 3:
            begun.append(1)
            time.sleep(0.4)
        begun.extend([1] * 5)
        return {"outcome": "made", "id": 7}

    edge.hosts.say("sandbox.snapshot", slow)
    terminal = Terminal(edge.suite, "agent", "snapshot")
    wait_until("it ends", lambda: ended(terminal), 30)
    terminal.read(0.1)
    assert terminal.process.returncode == 0 and "saving [" in terminal.shown and "   7  " in terminal.shown.rpartition("\x1b[K")[2], terminal.shown


# ---- restore, discard


def test_going_back_restarts_the_agent_and_waits_for_it(edge):
    agent = Agent(edge, STARTING, STARTING, RUNS)
    edge.hosts.say("sandbox.restore", agent.begin)
    assert refused(edge, "restore", "7", code=2).count("--yes") == 1 and not agent.begun, "nobody is there to be asked"
    shown = cli(edge, "restore", "7", "--yes").stdout
    assert shown.startswith("state    running\n") and "bb" * 16 in shown and "\nsnapshot 9 of " in shown and agent.steps == [RUNS]
    assert edge.hosts.asked("sandbox.restore")[-1]["id"] == 7
    agent = Agent(edge, STARTING, {"state": "failed", "boot_id": "aa" * 16, "why": "the archive is\x1b[2J damaged"})
    edge.hosts.say("sandbox.restore", agent.begin)
    assert "does not start: the archive is?[2J damaged" in refused(edge, "restore", "--yes", "7")
    assert "there is no snapshot 6" in refused(edge, "restore", "--yes", "6")
    edge.hosts.say("sandbox.restore", Refusal("conflict", "snapshot_busy"))
    assert "(snapshot_busy)" in refused(edge, "restore", "--yes", "7")


@pytest.mark.parametrize("typed, goes", [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("yesterday\n", False), ("\x04", False)])
def test_going_back_asks_first(edge, typed, goes):
    agent = Agent(edge, RUNS)
    edge.hosts.say("sandbox.restore", agent.begin)
    terminal = Terminal(edge.suite, "agent", "restore", "7")
    wait_until("it asks", lambda: terminal.read(0.05) or "[y/N]" in terminal.shown, 10)
    assert "   7  " in terminal.shown and not agent.begun
    os.write(terminal.master, typed.encode())
    wait_until("it ends", lambda: ended(terminal), 30)
    assert agent.begun == goes and terminal.process.returncode == (0 if goes else 1), terminal.shown


def test_one_is_discarded(edge):
    edge.hosts.say("sandbox.discard", {})
    assert cli(edge, "discard", "7").stdout == "Deleted snapshot 7.\n" and edge.hosts.asked("sandbox.discard")[-1]["id"] == 7
    edge.hosts.say("sandbox.discard", Refusal("conflict", "snapshot_newest"))
    assert "(snapshot_newest)" in refused(edge, "discard", "7")
    edge.hosts.say("sandbox.discard", Refusal("not_found"))
    assert "there is no snapshot 6" in refused(edge, "discard", "6")


# ---- from one owner to the next


def test_folders_are_left_and_taken_back(edge):
    edge.hosts.say("sandbox.hand_over", {"outcome": "handed_over"})
    shown = cli(edge, "hand-over", "workspace", "a/b").stdout
    assert "workspace, a/b\n" in shown and "--withdraw" in shown
    assert edge.hosts.asked("sandbox.hand_over")[-1]["roots"] == [{"root": "workspace"}, {"root": "a/b"}]
    edge.hosts.say("sandbox.hand_over", {})
    cli(edge, "hand-over", "--withdraw")
    assert not edge.hosts.asked("sandbox.hand_over")[-1].get("roots")
    edge.hosts.say("sandbox.hand_over", {**UNDER_WAY, "doing": "hand_over"})
    edge.hosts.say("sandbox.snapshots", {"outcome": "handed_over"})
    assert json.loads(cli(edge, "hand-over", "workspace", "--json").stdout) == {"roots": ["workspace"]}


def test_what_was_left_is_shown_and_taken_or_refused(edge):
    agent = Agent(edge, STARTING, RUNS)
    edge.hosts.say("sandbox.accept", agent.begin)
    for word in ("accept", "refuse"):
        assert "--yes" in refused(edge, word, code=2)
    assert not edge.hosts.count("sandbox.accept")
    shown = cli(edge, "accept", "--yes").stdout
    assert f"handed over by {'B' * 43} at " in shown and "workspace, ?[2Jmemory\n" in shown and "state    running\n" in shown
    cli(edge, "refuse", "--yes")
    assert [body["wanted"] for body in edge.hosts.asked("sandbox.accept")] == [True, False]
    edge.hosts.say("sandbox.snapshots", {})
    for word in ("accept", "refuse"):
        assert "nothing was handed over" in refused(edge, word, "--yes")


# ---- words


def test_wrong_words(edge):
    for words in (["snapshots", "x"], ["snapshot", "x"], ["restore"], ["restore", "7", "8"], ["restore", "x"], ["restore", "0"], ["restore", "07"], ["restore", "7/../8"],
                  ["restore", "-1"], ["restore", "9" * 19], ["discard"], ["discard", "--yes", "7"], ["discard", "+7"], ["discard", ""], ["hand-over"], ["hand-over", ""],
                  ["hand-over", "--x"], ["hand-over", "a", "--withdraw"], ["hand-over", "x" * 256], ["hand-over", *["x"] * 17], ["accept", "x"], ["refuse", "x"],
                  ["move"], ["move", "a"], ["move", "a" * 44, "host-1", "x"], ["move", "a" * 44, "--x"], ["move", "a" * 50, "host-1"], ["move", "a" * 44, "host-9"],
                  ["move", "a" * 44, "h" * 70], ["move", "--lost", "a" * 44]):
        refused(edge, *words, code=2)
    assert not [call for server in edge.hosts.servers.values() for call, _ in server.asked]
    text = edge.suite.cli("help", "agent").stdout
    for word in ("snapshots", "snapshot ", "restore", "discard", "hand-over", "accept", "refuse", "move", "--lost", "--withdraw", "snapshot-exclude"):
        assert word in text


def test_without_a_session_each_word_says_so(edge):
    for words in (["snapshots"], ["snapshot"], ["restore", "--yes", "7"], ["discard", "7"], ["hand-over", "x"], ["hand-over", "--withdraw"], ["accept", "--yes"], ["refuse", "--yes"]):
        assert cli(edge, *words, session="nobody.json", check=False).returncode == 3, words


# ---- operators


def test_an_agent_is_saved_where_it_is_and_placed_elsewhere(edge):
    asset = edge.suite.asset_of("alice")
    steps = [{"doing": "saving"}, {"doing": "stopping"}, {"moved": True}]
    edge.hosts.say("sandbox.move", {"host": "host-2"}, "host-1")
    edge.hosts.say("sandbox.move", lambda body: steps.pop(0), "host-2")
    edge.place("host-2")
    assert cli(edge, "move", asset, "host-1").stdout == f"{asset} was on host-2 and is on host-1 now: its owner's next visit starts it there.\n" and not steps
    assert {(b["asset"], b["to"]) for b in edge.hosts.asked("sandbox.move")} == {(asset, "host-1")}
    assert edge.place_of() == "host-1"
    for host in ("host-1", "host-2"):
        edge.hosts.say("sandbox.move", {"moved": True}, host)
    assert cli(edge, "move", asset, "host-1").stdout == f"{asset} is on host-1 already.\n"
    edge.place("host-2")
    edge.hosts.say("sandbox.move", {"host": "host-2"}, "host-1")
    assert json.loads(cli(edge, "move", asset, "host-1", "--json").stdout) == {"moved": "host-1"}
    # meanwhile another operator's move
    edge.place("host-9")
    assert "host-9 has it by now" in refused(edge, "move", asset, "host-1") and edge.place_of() == "host-9"


def test_one_whose_host_is_gone_is_placed_without_it(edge):
    asset = edge.suite.asset_of("alice")
    assert "no host has an agent of this asset" in refused(edge, "move", asset, "host-2", "--lost") and edge.place_of() is None
    edge.place("host-1")
    assert "was on host-1 and is on host-2 now" in cli(edge, "move", asset, "host-2", "--lost").stdout
    assert edge.place_of() == "host-2" and edge.hosts.asked("sandbox.move") == []


@pytest.mark.parametrize("said, code, words", [(Refusal("not_found", "agent_unknown"), 1, "no host has an agent of this asset"),
                                               (Refusal("conflict", "snapshot_needed"), 1, "could not be saved"), ({}, 1, "it did not begin")])
def test_a_move_that_is_refused_says_why(edge, said, code, words):
    edge.hosts.say("sandbox.move", said)
    assert words in refused(edge, "move", edge.suite.asset_of("alice"), "host-1", code=code)
