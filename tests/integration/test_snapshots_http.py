"""Snapshots over HTTP: what a sandbox that the test plays says, in the words of the contract; what is refused before any sandbox hears of it."""

import json
import re
import threading
import time

import pytest

from bus_server import Refusal, Silence
from suite import wait_until
from test_agent_http import Containers, Follow, hosts_of
from test_http_contract import check_answer

LIST, MAKE, HAND_OVER = "/v1/agent/snapshots", "/v1/agent/snapshots", "/v1/agent/hand-over"
ONE, RESTORE, ACCEPT = "/v1/agent/snapshots/{id}", "/v1/agent/snapshots/{id}/restore", "/v1/agent/hand-over/accept"
ITEM = {"id": 7, "created_ms": 1767323045678, "bytes": 4096, "stored_bytes": 1000, "files": 3, "trigger": "timer", "boot_id": "ab" * 16}
SHOWN = {"id": 7, "created_at": "2026-01-02T03:04:05.678Z", "bytes": 4096, "stored_bytes": 1000, "files": 3, "trigger": "timer", "boot_id": "ab" * 16, "damaged": False}
UNDER_WAY = {"doing": "snapshot", "done_bytes": 10, "total_bytes": 40}


@pytest.fixture(scope="module")
def shared_edge():
    made = Containers()
    yield made
    made.stop()


@pytest.fixture
def edge(shared_edge):
    shared_edge.hosts.reset()
    shared_edge.place(None)
    return shared_edge


def asker(edge):
    def ask(method, path, body=None, status=None, token=edge.alice, headers=None, **parts):
        answer = check_answer(edge.suite.http(method, path.format(**parts), body, token=token, headers=headers), method, path)
        assert status is None or answer.status == status, answer.body
        return answer

    return ask


def test_the_agent_names_its_newest_snapshot(edge):
    ask = asker(edge)
    for said, shown in (
        ({}, None),
        ({"snapshot": 0}, None),
        ({"snapshot": 7, "snapshot_ms": 1767323045678}, {"id": 7, "created_at": SHOWN["created_at"], "why": None}),
        ({"snapshot": 7, "snapshot_ms": 1767323045678, "snapshot_why": "x\x1b"}, {"id": 7, "created_at": SHOWN["created_at"], "why": "x\x1b"}),
        ({"snapshot_why": "a secret"}, {"id": None, "created_at": None, "why": "a secret"}),
    ):
        edge.hosts.say("sandbox.state", {"state": "running", **said})
        assert ask("GET", "/v1/agent", status=200).json["snapshot"] == shown


def test_the_list_says_what_there_is(edge):
    ask = asker(edge)
    edge.hosts.say("sandbox.snapshots", {})
    assert ask("GET", LIST, status=200).json == {"snapshots": [], "under_way": None, "last": None, "handed_over": None}
    assert edge.hosts.asked("sandbox.snapshots") == [{"token": edge.alice, "after": 0, "wait_ms": 0}]
    wallet = "B" * 43
    edge.hosts.say("sandbox.snapshots", {
        "snapshots": [ITEM, {**ITEM, "id": 3, "boot_id": "", "damaged": True}], **UNDER_WAY, "outcome": "secret_found", "why": "a secret in it",
        "path": "workspace/\x1b[2J\u202e\n", "kind": "llm/openai, base64", "roots": [{"root": "workspace"}], "handed_wallet": wallet, "handed_ms": 1767323045678,
        "handed_bytes": 9})
    assert ask("GET", LIST, status=200).json == {
        "snapshots": [SHOWN, {**SHOWN, "id": 3, "boot_id": None, "damaged": True}], "under_way": UNDER_WAY,
        "last": {"outcome": "secret_found", "why": "a secret in it", "path": "workspace/\x1b[2J\u202e\n", "kind": "llm/openai, base64"},
        "handed_over": {"from": wallet, "at": SHOWN["created_at"], "bytes": 9, "roots": ["workspace"]}}
    for query in ("follow=2", "follow", "x=1", "follow=1&x"):
        assert edge.suite.http("GET", f"{LIST}?{query}", token=edge.alice).code == "query_invalid"
    ask("GET", LIST, status=401, token=None)
    for refusal, status in ((Refusal("not_found"), 404), (Refusal("unavailable", "vault_sealed"), 503), (Refusal("conflict", "vault_period_destroyed"), 409)):
        edge.hosts.say("sandbox.snapshots", refusal)
        ask("GET", LIST, status=status)


def test_one_is_made_and_shown(edge):
    ask = asker(edge)
    edge.hosts.say("sandbox.snapshots", {"snapshots": [{**ITEM, "id": 8}, ITEM]})
    for outcome, status in (("made", 201), ("unchanged", 200)):
        edge.hosts.say("sandbox.snapshot", {"outcome": outcome, "id": 7})
        assert ask("POST", MAKE, {}, status).json == SHOWN
    assert edge.hosts.asked("sandbox.snapshot")[-1] == {"token": edge.alice, "wait_ms": 20000}
    edge.hosts.say("sandbox.snapshot", UNDER_WAY)
    assert ask("POST", MAKE, {}, 202).json == {"under_way": UNDER_WAY}


def test_waiting_for_one_takes_longer_than_other_answers(edge):
    """nginx waits, and so does router; who asks besides is answered."""
    ask = asker(edge)
    edge.hosts.say("sandbox.snapshots", {"snapshots": [ITEM]})
    go_on = threading.Event()

    def slow(body):
        go_on.wait(15)
        return {"outcome": "made", "id": 7}

    edge.hosts.say("sandbox.snapshot", slow)
    began = time.monotonic()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask("POST", MAKE, {})))
    waiting.start()
    wait_until("it waits", lambda: edge.hosts.count("sandbox.snapshot"), 5)
    time.sleep(6 - min(6, time.monotonic() - began))
    ask("GET", LIST, status=200)
    go_on.set()
    waiting.join(20)
    assert answers[0].status == 201 and edge.hosts.count("sandbox.snapshot") == 1


@pytest.mark.parametrize("said, status, code, members", [
    ({"outcome": "secret_found", "path": "workspace/\x1b[2Ja", "kind": "llm/openai, hex", "why": "x"}, 422, "secret_found", {"path": "workspace/\x1b[2Ja", "kind": "llm/openai, hex"}),
    ({"outcome": "empty"}, 422, "snapshot_empty", {}),
    ({"outcome": "nothing_to_save"}, 422, "nothing_to_save", {}),
    ({"outcome": "too_large", "why": "11000000000 bytes, and 10000000000 may be saved"}, 413, "snapshot_too_large", {"detail": "11000000000 bytes, and 10000000000 may be saved"}),
    ({"outcome": "busy"}, 409, "snapshot_busy", {}),
    ({"outcome": "failed", "why": "the store is full"}, 503, "snapshot_failed", {"detail": "the store is full"}),
    ({"outcome": "moon"}, 500, "internal", {}),
    ({}, 500, "internal", {}),
    (Refusal("conflict", "snapshot_busy"), 409, "snapshot_busy", {}),
    (Refusal("busy", "snapshot_busy"), 409, "snapshot_busy", {}),
    (Refusal("conflict", "snapshot_overtaken"), 409, "snapshot_overtaken", {}),
    (Refusal("invalid", "exclude_invalid", text="custom/snapshot-exclude, line 2: x"), 422, "exclude_invalid", {"detail": "custom/snapshot-exclude, line 2: x"}),
    (Refusal("conflict", "agent_not_running"), 409, "agent_not_running", {}),
    (Refusal("not_found"), 404, "not_found", {}),
    (Silence(), 503, "agent_host_unavailable", {}),
])
def test_a_refusal_says_why(edge, said, status, code, members):
    ask = asker(edge)
    # who hears nothing waits long
    calls = [("POST", MAKE, {}, "sandbox.snapshot"), ("POST", HAND_OVER, {"roots": ["workspace"]}, "sandbox.hand_over")]
    if isinstance(said, Silence):
        calls = [("POST", RESTORE, {}, "sandbox.restore")]
    for method, path, body, call in calls:
        edge.hosts.say(call, said)
        answer = ask(method, path, body, status, id=7)
        assert answer.code == code and {k: answer.json[k] for k in members} == members
        assert set(answer.json) == {"type", "title", "status", "code", "detail", "request_id"} | ({"path", "kind"} if code == "secret_found" else set())
        assert not set(answer.body) & {0x1b, 0x0a}


def test_one_is_restored_and_another_discarded(edge):
    ask = asker(edge)
    edge.hosts.say("sandbox.restore", {"state": "starting", "snapshot": 8, "snapshot_ms": 1767323045678})
    assert ask("POST", RESTORE, {}, 202, id=7).json["state"] == "starting"
    assert edge.hosts.asked("sandbox.restore") == [{"token": edge.alice, "id": 7}]
    edge.hosts.say("sandbox.discard", {})
    ask("DELETE", ONE, None, 204, id=999999999999999999)
    assert edge.hosts.asked("sandbox.discard") == [{"token": edge.alice, "id": 999999999999999999}]
    for refusal, status, code in ((Refusal("not_found", "snapshot_unknown"), 404, "snapshot_unknown"), (Refusal("conflict", "snapshot_newest"), 409, "snapshot_newest")):
        edge.hosts.say("sandbox.discard", refusal)
        assert ask("DELETE", ONE, None, status, id=7).code == code
    asked = edge.hosts.count("sandbox.discard") + edge.hosts.count("sandbox.restore")
    for number in ("0", "07", "+7", "-7", "7.0", "0x7", "7e0", "%37", "7%00", "7%20", "1000000000000000000", "18446744073709551623", "9" * 64, "9" * 300, "..", "%2e%2e",
                   "a", "*"):
        for method, path, body in (("DELETE", ONE, None), ("POST", RESTORE, {})):
            answer = edge.suite.http(method, path.format(id=number), body, token=edge.alice)
            # NUL is nginx' to refuse
            assert answer.status == (400 if number == "7%00" else 404), (number, answer.body)
    assert edge.hosts.count("sandbox.discard") + edge.hosts.count("sandbox.restore") == asked


def test_folders_are_left_to_the_next_owner_taken_or_refused(edge):
    ask = asker(edge)
    edge.hosts.say("sandbox.hand_over", {"outcome": "handed_over"})
    assert ask("POST", HAND_OVER, {"roots": ["workspace", "a/b"]}, 200).json == {"roots": ["workspace", "a/b"]}
    assert edge.hosts.asked("sandbox.hand_over")[-1] == {"token": edge.alice, "roots": [{"root": "workspace"}, {"root": "a/b"}], "wait_ms": 20000}
    edge.hosts.say("sandbox.hand_over", {**UNDER_WAY, "doing": "hand_over"})
    assert ask("POST", HAND_OVER, {"roots": ["workspace"]}, 202).json["under_way"]["doing"] == "hand_over"
    for said, status in (({}, 204), ({"outcome": "handed_over"}, 204), ({**UNDER_WAY, "doing": "hand_over"}, 202), ({"outcome": "failed"}, 503)):
        edge.hosts.say("sandbox.hand_over", said)
        ask("POST", HAND_OVER, {"roots": []}, status)
    asked = edge.hosts.count("sandbox.hand_over")
    for body in ({}, {"roots": "workspace"}, {"roots": [1]}, {"roots": [""]}, {"roots": ["x" * 256]}, {"roots": ["x"] * 17}, {"roots": ["a\x00b"]}, {"roots": [], "x": 1},
                 {"roots": None}, [], b'{"roots":["a"],"roots":[]}'):
        assert ask("POST", HAND_OVER, body, 400).code == "body_invalid"
    assert edge.hosts.count("sandbox.hand_over") == asked
    edge.hosts.say("sandbox.hand_over", Refusal("invalid", "root_invalid", text="root 1 is not a folder below /data"))
    assert ask("POST", HAND_OVER, {"roots": ["../x"]}, 400).json["detail"] == "root 1 is not a folder below /data"
    edge.hosts.say("sandbox.accept", {"state": "starting"})
    assert ask("POST", ACCEPT, {}, 202).json["state"] == "starting"
    ask("DELETE", HAND_OVER, None, 204)
    assert [body["wanted"] for body in edge.hosts.asked("sandbox.accept")] == [True, False]
    edge.hosts.say("sandbox.accept", Refusal("not_found"))
    ask("POST", ACCEPT, {}, 404)
    ask("DELETE", HAND_OVER, None, 404)


def test_nobody_elses_page_changes_anything(edge):
    ask = asker(edge)
    for method, path, body in (("POST", MAKE, {}), ("POST", RESTORE, {}), ("DELETE", ONE, None), ("POST", HAND_OVER, {"roots": []}), ("POST", ACCEPT, {}),
                               ("DELETE", HAND_OVER, None)):
        assert ask(method, path, body, 403, headers={"Origin": "http://evil.example"}, id=7).code == "origin_refused"
        assert ask(method, path, body, 403, headers={"Origin": edge.origin}, id=7).code == "origin_refused"
        assert ask(method, path, body, 401, token=None, id=7).code == "session_missing"
        assert ask(method, path, body, 401, token=edge.alice_in, id=7).code == "session_invalid"
        assert ask(method, path, {"x": 1}, 400, id=7).code == "body_invalid"
        if body is not None:
            assert ask(method, path, body, 400, headers={"Content-Type": "text/plain"}, id=7).code == "body_invalid"
    assert not [call for server in edge.hosts.servers.values() for call, _ in server.asked]
    for method, path, allow in (("PUT", LIST, "GET, POST"), ("GET", ONE, "DELETE"), ("GET", RESTORE, "POST"), ("GET", HAND_OVER, "POST, DELETE"), ("DELETE", ACCEPT, "POST")):
        answer = edge.suite.http(method, path.format(id=7), token=edge.alice)
        assert (answer.status, answer.headers["Allow"]) == (405, allow), (method, path)


def test_only_the_host_that_has_it_is_asked(edge):
    chosen, placed = hosts_of(edge)
    edge.place(placed)
    ask = asker(edge)
    edge.hosts.say("sandbox.snapshot", {"host": chosen}, placed)
    ask("POST", MAKE, {}, 503)
    assert edge.hosts.count("sandbox.snapshot", chosen) == 0
    edge.hosts.say("sandbox.snapshot", UNDER_WAY, placed)
    ask("POST", MAKE, {}, 202)


class Saving:
    """sandbox.snapshots of something that goes on, as a sandbox would answer it."""

    def __init__(self):
        self.now, self.changed = {"change": 1, **UNDER_WAY, "done_bytes": 0}, threading.Condition()

    def go(self, **now):
        with self.changed:
            self.now = {"change": self.now["change"] + 1, **now}
            self.changed.notify_all()

    def answer(self, body):
        with self.changed:
            if body["after"]:
                self.changed.wait_for(lambda: self.now["change"] != body["after"], body["wait_ms"] / 1000)
            return dict(self.now)


def events(data):
    return [(name.decode(), json.loads(text)) for name, text in re.findall(rb"event: (\w+)\ndata: (.*)\n\n", data)]


def test_who_follows_sees_each_change_and_the_end(edge):
    saving = Saving()
    edge.hosts.say("sandbox.snapshots", saving.answer)
    follow = Follow(edge, edge.alice, path=LIST)
    head = follow.until(b'"done_bytes":0')
    assert b"200 OK" in head and b"text/event-stream" in head
    saving.go(**UNDER_WAY)
    follow.until(b'"done_bytes":10')
    # longer than a session's event, which is asked about and ends nothing
    edge.event("snapshot")
    saving.go(**{**UNDER_WAY, "done_bytes": 30})
    follow.until(b'"done_bytes":30')
    saving.go(snapshots=[ITEM], outcome="made")
    seen = events(follow.rest())
    assert [name for name, _ in seen] == ["progress"] * (len(seen) - 1) + ["done"]
    assert [said["under_way"]["done_bytes"] for _, said in seen[:-1]] == [0, 10, 30]
    assert seen[-1][1]["snapshots"] == [SHOWN] and seen[-1][1]["last"]["outcome"] == "made" and seen[-1][1]["under_way"] is None


def test_who_follows_nothing_is_told_so_at_once(edge):
    edge.hosts.say("sandbox.snapshots", {"snapshots": [ITEM], "change": 5})
    (name, said), = events(Follow(edge, edge.alice, path=LIST).rest())
    assert name == "done" and said["snapshots"] == [SHOWN]
    assert edge.suite.http("GET", f"{LIST}?follow=1").status == 401
    edge.hosts.say("sandbox.snapshots", Refusal("unauthenticated", "session_revoked"))
    (name, said), = events(Follow(edge, edge.alice, path=LIST).rest())
    assert (name, said["reason"]) == ("session_ended", "session_revoked")


def test_who_follows_loses_sight_with_the_session(edge):
    saving = Saving()
    edge.hosts.say("sandbox.snapshots", saving.answer)
    token, _ = edge.sign_in("alice")
    follow = Follow(edge, token, path=LIST)
    follow.until(b'"done_bytes":0')
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    saving.go(snapshots=[ITEM], outcome="made")
    seen = events(follow.rest())
    assert seen[-1][0] == "session_ended" and "done" not in [name for name, _ in seen]


def test_a_host_that_answers_at_once_for_ever_is_asked_now_and_then(edge):
    counter = iter(range(1, 1 << 30))
    edge.hosts.say("sandbox.snapshots", lambda body: {"change": next(counter), **UNDER_WAY})
    follow = Follow(edge, edge.alice, path=LIST)
    follow.until(b"event: progress")
    asked = edge.hosts.count("sandbox.snapshots")
    time.sleep(2)
    assert edge.hosts.count("sandbox.snapshots") - asked < 12
    follow.socket.close()
    wait_until("it is asked no more", lambda: (n := edge.hosts.count("sandbox.snapshots"), time.sleep(0.6)) and edge.hosts.count("sandbox.snapshots") == n, 5)
