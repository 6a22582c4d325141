"""sandbox from the inside: the test is its router, its operator and its warden; everything else is real."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from sandbox_parts import DIGEST, Refused, Sandboxes, agent_id
from suite import Wallet, wait_until
from vault_parts import own, refusal  # noqa: F401: own is a fixture


@pytest.fixture(scope="module")
def world():
    made = Sandboxes()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def s(world):
    yield world
    world.warden.holds.clear()
    world.warden.answers.clear()
    assert world.warden.doubles == []
    assert world.processes["sandbox-1"].poll() is None, world.log("sandbox-1", 60)


@pytest.fixture
def owner(s):
    made = s.new_owner()
    made.agent = agent_id(made.asset)
    return made


def make_own(own, **settings):  # noqa: F811
    made = own(cls=Sandboxes, **settings)
    return made.start()


def when_killed(s, agent, since):
    return wait_until("a KILL", lambda: s.warden.asked("KILL", agent=agent, since=since), 5, 0.001)[0][0]


# ---- an owner's calls


def test_a_start_hands_sealed_secrets_to_warden_and_answers_with_the_way_to_it(s, owner):
    s.put(owner.token, "custom", "word", "the word")
    s.put(owner.token, "bot", "telegram", "12345:abc")
    assert s.state_of(owner.token) == "stopped"
    assert s.ask("start", token=owner.token)["state"] == "starting"
    answer = s.reach(owner.token)
    assert answer["state"] == "running" and answer["upstream"].endswith(":18789") and answer["good_ms"] == 5000
    agent = s.warden.running(owner.agent)
    assert agent.files["custom/word"] == (0o400, b"the word")
    assert agent.files["gateway-token"] == (0o400, answer["agent_token"].encode())
    assert agent.image == DIGEST and agent.wallet == owner.address and agent.volume_key != bytes(32) and not agent.is_narrowed
    assert agent.limits["memory_bytes"] == 2048 << 20
    record = s.record(owner)
    assert (record["asset"], record["wallet"], record["boot"], record["wish"]) == (owner.asset, owner.address, agent.boot, "up")
    assert s.redis.sismember(f"mc:held:{owner.asset}", "sandbox:sandbox-1")
    assert s.redis.get(f"mc:place:{owner.asset}") == b"sandbox-1"
    state = s.ask("state", token=owner.token)
    assert state["image"] == f"demo@sha256:{DIGEST}" and state["boot_id"] == agent.boot and state["started_ms"] > 0


def test_no_secret_stands_in_what_is_written_down(s, owner):
    s.put(owner.token, "custom", "word", "a word that is searched for")
    s.run(owner)
    token = s.reach(owner.token)["agent_token"]
    for path in (s.state / "held-1").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert token not in path.read_text() and "searched for" not in path.read_text()
    log = (s.state / "log/sandbox-1.log").read_text()
    assert token not in log and owner.token not in log


def test_the_record_is_on_disk_before_the_vault_is_asked(s, owner):
    s.signal("secret-vault-1", signal.SIGSTOP)
    try:
        s.ask("start", token=owner.token)
        record = wait_until("a record", lambda: (s.state / "held-1" / owner.agent).exists() and s.record(owner), 5)
        assert record["wallet"] == owner.address and record["period"] is None
        assert wait_until("held", lambda: s.redis.sismember(f"mc:held:{owner.asset}", "sandbox:sandbox-1"), 5)
        assert s.warden.asked(agent=owner.agent) == []
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    s.wait_state(owner.token, "running")


def test_an_openclaw_image_gets_its_configuration(own):  # noqa: F811
    import json

    s = make_own(own, MULTICLAW_SANDBOX_IMAGE="claw")
    s.import_image("claw", "ab" * 32, "openclaw")
    owner = s.new_owner()
    s.put(owner.token, "bot", "telegram", "12345:abc")
    agent = s.run(owner)
    config = json.loads(agent.files["openclaw.json"][1])
    assert config["gateway"]["auth"] == {"mode": "token", "token": agent.files["gateway-token"][1].decode()}
    assert config["gateway"]["controlUi"]["allowedOrigins"] == [f"https://{owner.agent}.agents.example:8443"]
    assert config["channels"]["telegram"]["dmPolicy"] == "pairing" and config["channels"]["telegram"]["botToken"] == "12345:abc"
    assert agent.kind == "openclaw"


def test_many_pages_of_secrets_arrive_whole(s, owner):
    values = {f"n{i}": ("%d-" % i) + "x" * 3000 for i in range(150)}
    for name, value in values.items():
        s.put(owner.token, "custom", name, value)
    agent = s.run(owner)
    assert {p[7:]: data.decode() for p, (_, data) in agent.files.items() if p.startswith("custom/")} == values


def test_a_list_of_hosts_narrows_it(s, owner):
    s.put(owner.token, "custom", "egress-hosts", "api.example.com\n*.cdn.example\n")
    assert s.run(owner).is_narrowed
    assert s.record(owner)["egress"] == ["api.example.com", "*.cdn.example"]


def test_stop_is_the_owners_word_and_only_start_takes_it_back(s, owner):
    s.run(owner)
    assert s.ask("stop", token=owner.token)["state"] == "stopped"
    wait_until("stopped", lambda: not s.warden.agents.get(owner.agent), 5)
    assert s.reach(owner.token)["state"] == "stopped"
    assert s.record(owner)["wish"] == "down"
    s.ask("start", token=owner.token)
    assert s.reach(owner.token)["state"] == "running"


def test_a_request_wakes_one_that_never_ran(s, owner):
    assert s.reach(owner.token)["state"] == "running"


def test_restart_gives_fresh_secrets(s, owner):
    before = s.run(owner)
    token = s.reach(owner.token)["agent_token"]
    s.put(owner.token, "custom", "word", "new")
    s.ask("restart", token=owner.token)
    answer = s.reach(owner.token)
    after = s.warden.running(owner.agent)
    assert after.boot != before.boot and after.files["custom/word"][1] == b"new" and answer["agent_token"] != token
    assert s.warden.names(agent=owner.agent) == ["START", "STOP", "START"]


def test_waiting_ends_with_the_state_as_it_is(s, owner):
    s.warden.holds.add("START")
    began = time.monotonic()
    assert s.reach(owner.token, wait_ms=300)["state"] == "starting"
    assert 0.25 < time.monotonic() - began < 2
    s.warden.finish_start(s.warden.agents[owner.agent])
    assert s.reach(owner.token)["state"] == "running"


def test_refuses_tokens_that_are_none_or_ended(s, owner):
    s.run(owner)
    for call, more in (("state", {}), ("start", {}), ("stop", {}), ("restart", {}), ("reach", {"wait_ms": 0}), ("logs", {"after": 0, "wait_ms": 0})):
        assert refusal(s.ask, call, token="x.y.z", **more)[0] == "unauthenticated"
    token = s.token_of(owner, owner.asset)
    s.session.call("session.end", token=token)
    for call, more in (("state", {}), ("start", {}), ("stop", {}), ("restart", {}), ("reach", {"wait_ms": 0}), ("logs", {"after": 0, "wait_ms": 0})):
        assert refusal(s.ask, call, token=token, **more) == ("unauthenticated", "session_revoked")
    assert s.state_of(owner.token) == "running"


def test_the_agents_own_session_reaches_it_and_does_nothing_else(s, owner):
    import secrets

    s.run(owner)
    state = secrets.token_bytes(32)
    opening = s.session.call("session.opening", token=owner.token)["opening"]
    ticket = s.session.call("session.ticket", opening=opening, agent=owner.agent, state=state)["ticket"]
    token = s.session.call("session.enter", ticket=ticket, agent=owner.agent, state=state, ip="203.0.113.7")["token"]
    assert s.reach(token)["state"] == "running"
    for call, more in (("state", {}), ("start", {}), ("stop", {}), ("restart", {}), ("logs", {"after": 0, "wait_ms": 0})):
        assert refusal(s.ask, call, token=token, **more) == ("unauthenticated", "session_invalid")
    s.ask("stop", token=owner.token)
    s.wait_state(owner.token, "stopped")


def test_only_those_who_may_call_do(s):
    for role in ("auth", "session", "chain-oracle", "secret-vault", "sandbox", "operator"):
        assert refusal(s.ask, "state", role=role, token="x")[0] == "denied"
    for call, body in (("agents", {}), ("halt", {"asset": s.asset_of("alice")}), ("wake", {"asset": s.asset_of("alice")}),
                       ("exec", {"asset": s.asset_of("alice"), "argv": [{"arg": "/bin/id"}]})):
        assert refusal(s.ask, call, **body)[0] == "denied"


# ---- the sale, in every phase


def sell_and_see(s, owner, buyer=None):
    """The chain says so; returns when the first KILL reached warden, after the event was in the stream."""
    buyer = buyer or Wallet()
    since = time.monotonic()
    s.transfer(owner.asset, buyer)
    return since, buyer


def test_a_sale_kills_a_running_agent_and_the_buyer_begins_anew(s, owner):
    s.put(owner.token, "custom", "word", "the seller's")
    seller = s.run(owner)
    s.warden.write(owner.agent, b"the seller's log\n")
    since, buyer = sell_and_see(s, owner)
    when_killed(s, owner.agent, since)
    assert refusal(s.reach, owner.token)[0] == "unauthenticated"
    token = s.token_of(buyer, owner.asset)
    assert s.state_of(token) == "stopped"
    assert s.ask("logs", token=token, after=0, wait_ms=0).get("bytes", b"") == b""
    record = s.record(owner)
    assert record["wallet"] in ("", buyer.address) and record["placement"] == "" and len(record["former"]) == 1
    assert record["former"][0]["wallet"] == owner.address and record["former"][0]["period"] == seller.period
    # nothing starts for the new owner until they ask
    assert s.warden.running(owner.agent) is None
    s.ask("start", token=token)
    assert s.reach(token)["state"] == "running"
    bought = s.warden.running(owner.agent)
    assert bought.wallet == buyer.address and bought.volume_key != seller.volume_key and "custom/word" not in bought.files


def test_a_sale_before_the_grant(s, owner):
    s.signal("secret-vault-1", signal.SIGSTOP)
    try:
        s.ask("start", token=owner.token)
        waiting = s.peer("router", "sandbox")
        waiting.send("sandbox.reach", 15.0, token=owner.token, wait_ms=10000)
        since, _ = sell_and_see(s, owner)
        envelope, _ = waiting.receive(10)
        assert envelope["status"] == "unauthenticated", envelope
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    time.sleep(0.3)  # what the vault answers late must do nothing
    assert s.warden.asked(agent=owner.agent) == []
    assert s.record(owner)["former"] == []


def test_a_sale_while_warden_starts_it(s, owner):
    s.warden.holds.add("START")
    s.ask("start", token=owner.token)
    wait_until("START", lambda: s.warden.asked("START", agent=owner.agent), 5)
    waiting = s.peer("router", "sandbox")
    waiting.send("sandbox.reach", 15.0, token=owner.token, wait_ms=10000)
    since, buyer = sell_and_see(s, owner)
    when_killed(s, owner.agent, since)
    assert waiting.receive(10)[0]["status"] == "unauthenticated"
    assert s.state_of(s.token_of(buyer, owner.asset)) == "stopped"


def test_a_warden_that_starts_it_after_the_kill_is_told_again(s, owner):
    s.warden.holds.update(("START", "KILL"))
    s.ask("start", token=owner.token)
    wait_until("START", lambda: s.warden.asked("START", agent=owner.agent), 5)
    since, buyer = sell_and_see(s, owner)
    when_killed(s, owner.agent, since)
    s.warden.finish_start(s.warden.agents[owner.agent])
    wait_until("told again", lambda: len(s.warden.asked("KILL", agent=owner.agent)) >= 2, 5)
    token = s.token_of(buyer, owner.asset)
    assert s.reach(token, wait_ms=200).get("upstream") is None
    s.warden.holds.clear()
    s.warden.end(s.warden.agents[owner.agent], True)
    assert s.reach(token)["state"] == "running"


def test_sales_at_random_moments_of_a_start(s):
    for i in range(12):
        owner = s.new_owner()
        owner.agent, buyer = agent_id(owner.asset), Wallet()
        s.ask("start", token=owner.token)
        time.sleep(i * 0.004)
        s.devchain("transfer", asset=owner.asset, to=buyer.address)
        wait_until("the record knows", lambda: s.redis.hget(f"mc:owner:{owner.asset}", "owner") == buyer.address.encode(), 5, 0.002)
        known = time.monotonic()
        wait_until("nothing of the seller", lambda: owner.agent not in s.warden.agents, 5, 0.005)
        time.sleep(0.1)
        assert owner.agent not in s.warden.agents
        late = s.warden.asked("START", agent=owner.agent, since=known + 0.05)
        assert late == [], "a START after the sale was known"


def test_from_event_to_kill(s, capsys):
    """Measured: from the event in the stream (by Redis' clock) to the packet at warden."""
    took = []
    for _ in range(20):
        owner = s.new_owner()
        s.run(owner)
        since, buyer = time.monotonic(), Wallet()
        s.transfer(owner.asset, buyer)
        killed = when_killed(s, owner.agent, since)
        at = next(int(i.split(b"-")[0]) for i, e in reversed(s.redis.xrange("mc:events")) if e[b"a"] == owner.asset.encode() and e[b"k"] == b"transfer")
        took.append((time.time() - (time.monotonic() - killed)) * 1000 - at)
    took.sort()
    with capsys.disabled():
        print(f"\nevent -> KILL: median {took[len(took) // 2]:.1f} ms, max {took[-1]:.1f} ms (stream ids are whole ms)")
    assert took[-1] < 500


# ---- sessions that end


def test_a_logout_resets_connections_and_a_sign_in_does_not(s, owner):
    s.run(owner)
    token = s.token_of(owner, owner.asset)
    time.sleep(0.6)  # events of that sign-in pass
    assert "RESET" not in s.warden.names(agent=owner.agent)
    s.session.call("session.end", token=token)
    wait_until("a RESET", lambda: "RESET" in s.warden.names(agent=owner.agent), 5)
    assert s.state_of(owner.token) == "running" and "KILL" not in s.warden.names(agent=owner.agent)


def test_a_changed_llm_key_resets_and_ends_nothing(s, owner):
    """Of the owner's: an event of the asset, which is looked at. Of the operators': of no asset, and nobody is looked at."""
    s.run(owner)
    s.passed("sandbox-1")
    before = s.warden.names(agent=owner.agent)
    s.put(owner.token, "llm", "openai", "sk-" + "x" * 40)
    s.operate("global_put", provider="openai", value=b"sk-" + b"y" * 40)
    s.operate("global_delete", provider="openai")
    said = [(e[b"a"].decode(), e[b"k"].decode()) for _, e in s.redis.xrevrange("mc:events", count=3)]
    assert said == [("1" * 32, "secret")] * 2 + [(owner.asset, "secret")]
    s.passed("sandbox-1", "secret-vault-1")
    assert s.warden.names(agent=owner.agent) == before and s.state_of(owner.token) == "running"


def test_a_revocation_of_everything_ends_all_until_their_owners_sign_in(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    s.operator.call("session.revoke", everything=True)
    wait_until("killed", lambda: s.warden.running(owner.agent) is None, 5)
    wait_until("its placement is dropped", lambda: s.record(owner)["placement"] == "", 5)
    assert s.reach(s.token_of(owner, owner.asset))["state"] == "running"


# ---- idle


def test_idle_sleeps_and_a_request_wakes(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_IDLE_S=1)
    owner = s.new_owner()
    agent = s.run(owner)
    agent.connections = 1
    time.sleep(2.5)
    assert s.state_of(owner.token) == "running"  # a connection is open
    agent.connections = 0
    s.wait_state(owner.token, "sleeping", 5)
    wait_until("written down", lambda: s.record(owner)["wish"] == "asleep", 5)
    assert s.warden.names(agent=owner.agent)[-1] == "STOP"
    assert s.state_of(owner.token) == "sleeping"  # looking wakes nothing
    assert s.reach(owner.token)["state"] == "running"


# ---- crashes


def test_an_agent_that_ends_by_itself_is_started_again_without_its_owner(s, owner):
    agent = s.run(owner)
    s.warden.end(agent, False, status=3 << 8)
    state = wait_until("the crash is told", lambda: (a := s.ask("state", token=owner.token)).get("why") and a, 5)
    assert (state["state"], state["why"]) == ("starting", "ended with status 3")
    s.session.call("session.end", token=owner.token)  # nobody is signed in
    again = wait_until("a new one", lambda: s.warden.running(owner.agent), 10)
    assert again.boot != agent.boot and again.volume_key == agent.volume_key


def test_out_of_memory_is_said(s, owner):
    s.warden.end(s.run(owner), False, oom=True)
    wait_until("told", lambda: s.ask("state", token=owner.token).get("why") == "out of memory", 5)


def test_too_many_crashes_are_a_failure_until_the_owner_starts_it(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_RESTARTS_MAX=1)
    owner = s.new_owner()
    for _ in range(2):
        agent = s.run(owner) if _ == 0 else wait_until("again", lambda: s.warden.running(owner.agent), 5)
        s.warden.end(agent, False, status=1 << 8)
    s.wait_state(owner.token, "failed")
    assert s.reach(owner.token)["state"] == "failed"
    s.ask("start", token=owner.token)
    assert s.reach(owner.token)["state"] == "running"


def test_warden_that_fails_a_start_is_asked_again(s, owner):
    tries = []

    def fail(packet, fds):
        tries.append(packet)
        if len(tries) == 1:
            s.warden.fail(packet, b"no such runtime: \x1b[2J\xff\n")
        else:
            s.warden.do_start(packet, fds)

    s.warden.answers["START"] = fail
    s.ask("start", token=owner.token)
    wait_until("told", lambda: s.ask("state", token=owner.token).get("why") == "no such runtime: ?[2J??", 5)
    s.wait_state(owner.token, "running")
    assert len(tries) == 2


def test_what_warden_says_may_end_in_half_a_character(s, owner):
    """An image names what is run, the runtime repeats it, and warden cuts it where its packet ends."""
    def fail(packet, fds):
        answer = s.warden.packet("FAILED", packet)
        answer.u.text = ("x" * 158 + "é").encode()[:159]
        s.warden.send(answer)

    s.warden.answers["START"] = fail
    s.ask("start", token=owner.token)
    wait_until("told", lambda: s.ask("state", token=owner.token).get("why", "").startswith("xxx"), 5)
    assert agent_id(owner.asset) in [a["agent"] for a in s.operator_ask("agents")["agents"]]
    del s.warden.answers["START"]


def test_a_sealed_vault_is_said_to_who_waits(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.stop_vault()
    assert refusal(s.reach, owner.token)[0] in ("unavailable", "timeout")
    assert s.state_of(owner.token) == "stopped"
    s.launch_vault()
    s.wait_vault()
    wait_until("the vault again", lambda: refusal_or_state(s, owner) == "running", 15, 0.1)


def refusal_or_state(s, owner):
    try:
        return s.reach(owner.token, wait_ms=2000)["state"]
    except Refused as e:
        return e.status


def test_service_workers_are_allowed_by_the_owners_word_as_of_the_last_start(s, owner):
    s.run(owner)
    assert s.reach(owner.token).get("workers", False) is False
    for value, allowed in (("yes", True), ("no", False), ("yes\n", True)):
        before = s.reach(owner.token).get("workers", False)
        s.put(owner.token, "custom", "allow-service-workers", value)
        assert s.reach(owner.token).get("workers", False) is before
        s.ask("restart", token=owner.token)
        assert s.reach(owner.token).get("workers", False) is allowed
    s.restart_sandbox()
    assert s.reach(owner.token).get("workers", False) is True
    # a former owner's word is not the next one's
    s.transfer(owner.asset, Wallet())
    record = s.state / f"held-1/{owner.agent}"
    wait_until("it is over", lambda: '"workers": false' in record.read_text(), 10)


def test_an_image_that_is_missing_or_none_is_this_hosts_trouble(s, owner):
    name, image = s.state / "images/names/demo", s.state / f"images/{DIGEST}/image.json"
    for path, text, reason in ((name, None, "image_missing"), (name, "", "image_invalid"), (name, "../" * 20, "image_invalid"), (name, "0" * 64, "image_invalid"),
                               (image, None, "image_invalid"), (image, "{}", "image_invalid"), (image, '{"kind":"other"}', "image_invalid")):
        before = path.read_text()
        path.unlink()
        try:
            if text is not None:
                path.write_text(text + "\n")
            assert refusal(s.reach, owner.token) == ("unavailable", reason), (path, text)
        finally:
            path.write_text(before)
    assert s.reach(owner.token)["state"] == "running"


# ---- logs


def logs(s, token, after=0, wait_ms=0):
    return s.ask("logs", timeout=wait_ms / 1000 + 5, token=token, after=after, wait_ms=wait_ms)


def test_logs_are_followed(s, owner):
    s.run(owner)
    s.warden.write(owner.agent, b"one\n")
    first = wait_until("a line", lambda: (a := logs(s, owner.token)).get("bytes") and a, 5)
    assert first["bytes"] == b"one\n" and not first.get("lost")
    threading.Timer(0.3, s.warden.write, (owner.agent, b"two\n")).start()
    second = logs(s, owner.token, first["next"], 5000)
    assert second["bytes"] == b"two\n"
    assert logs(s, owner.token, second["next"], 100).get("bytes", b"") == b""


def test_logs_outlive_a_crash(s, owner):
    agent = s.run(owner)
    s.warden.write(owner.agent, b"the last words\n")
    s.warden.end(agent, False, status=1 << 8)
    wait_until("kept", lambda: b"the last words" in logs(s, owner.token).get("bytes", b""), 5)


def test_a_flood_is_dropped_and_told_and_slows_nobody(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_LOG_KB=64, MULTICLAW_SANDBOX_LOG_KB_S=16)
    owner = s.new_owner()
    s.run(owner)
    start = logs(s, owner.token).get("next", 0)
    stop = time.monotonic() + 2
    sent, slowest = 0, 0
    while time.monotonic() < stop:
        sent += s.warden.write(owner.agent, b"y" * 65536)
        before = time.monotonic()
        s.state_of(owner.token)
        slowest = max(slowest, time.monotonic() - before)
    assert sent > 1 << 20 and slowest < 0.5
    assert s.metric("multiclaw_sandbox_log_lost_bytes_total") > sent / 2
    answer = logs(s, owner.token)
    assert answer["lost"] and len(answer["bytes"]) <= 65536
    assert logs(s, owner.token, start + 1)["lost"]


# ---- operators


def test_an_operator_lists_halts_and_wakes(s, owner):
    agent = s.run(owner)
    found = {a["agent"]: a for a in s.operator_ask("agents")["agents"]}
    assert found[owner.agent]["state"] == "running" and found[owner.agent]["wallet"] == owner.address
    assert s.operator_ask("halt", asset=owner.asset)["state"] == "stopped"
    wait_until("warden has read it", lambda: s.warden.names(agent=owner.agent)[-1] == "KILL", 10)
    assert s.reach(owner.token)["state"] == "stopped"
    assert s.operator_ask("wake", asset=owner.asset)["state"] == "starting"
    s.wait_state(owner.token, "running")
    assert s.warden.running(owner.agent).boot != agent.boot
    assert refusal(s.operator_ask, "wake", asset=s.new_owner().asset) == ("not_found", "agent_unknown")


def test_a_program_runs_only_with_its_note_in_the_owners_trail(s, owner):
    s.run(owner)
    s.warden.exec_result = (3 << 8, b"uid=1000\n", False, "")
    answer = s.operator_ask("exec", asset=owner.asset, argv=[{"arg": "/bin/id"}, {"arg": "-a"}])
    assert (answer["status"], answer["output"]) == (3, b"uid=1000\n")
    assert s.warden.asked("EXEC", agent=owner.agent)[0][3].u.exec.len == len(b"/bin/id\0-a\0")
    entries = s.peer_of("router").call("vault.audit", token=owner.token, after=0)["entries"]
    assert entries[-1]["act"] == "exec" and "/bin/id" in entries[-1]["detail"]
    s.signal("secret-vault-1", signal.SIGSTOP)
    try:
        assert refusal(s.operator_ask, "exec", asset=owner.asset, argv=[{"arg": "/bin/id"}], timeout=10.0)[0] in ("timeout", "unavailable")
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    assert len(s.warden.asked("EXEC", agent=owner.agent)) == 1


def test_no_program_runs_in_what_does_not(s, owner):
    s.run(owner)
    s.ask("stop", token=owner.token)
    assert refusal(s.operator_ask, "exec", asset=owner.asset, argv=[{"arg": "/bin/id"}]) == ("conflict", "agent_not_running")


# ---- places


def test_the_second_host_names_the_first(own):  # noqa: F811
    s = make_own(own, sandboxes=2)
    owner = s.new_owner()
    s.run(owner)
    for call, more in (("state", {}), ("start", {}), ("stop", {}), ("restart", {}), ("reach", {"wait_ms": 0}), ("logs", {"after": 0, "wait_ms": 0})):
        assert {k: v for k, v in s.ask(call, replica=2, token=owner.token, **more).items() if v} == {"host": "sandbox-1"}
    assert s.ask("halt", replica=2, role="operator", asset=owner.asset)["host"] == "sandbox-1"
    assert s.wardens[2].asked() == []
    other = s.new_owner()
    assert s.ask("state", replica=2, token=other.token)["state"] == "stopped"
    assert s.redis.get(f"mc:place:{other.asset}") is None  # looking places nothing
    assert s.reach(other.token, replica=2)["state"] == "running"
    assert s.reach(other.token)["host"] == "sandbox-2"


def test_a_full_host_says_so(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_AGENTS_MAX=1)
    first, second = s.new_owner(), s.new_owner()
    s.run(first)
    assert refusal(s.ask, "start", token=second.token) == ("busy", "host_full")
    assert refusal(s.reach, second.token) == ("busy", "host_full")
    assert s.redis.get(f"mc:place:{second.asset}") is None  # another host may have it
    s.ask("stop", token=first.token)
    wait_until("room", lambda: refusal_or_state(s, second) == "running", 5, 0.05)


# ---- restarts of sandbox and warden


def test_sandbox_that_was_killed_finds_its_agents_again(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    agent = s.run(owner)
    before = s.reach(owner.token)
    s.restart_sandbox()
    after = s.reach(owner.token)
    assert after["state"] == "running" and after["agent_token"] == before["agent_token"] and after["upstream"] == before["upstream"]
    assert s.warden.running(owner.agent) is agent and s.warden.names(agent=owner.agent).count("START") == 1
    s.warden.write(owner.agent, b"still heard\n")
    wait_until("its log", lambda: b"still heard" in logs(s, owner.token).get("bytes", b""), 5)


def test_sold_while_sandbox_was_down(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    s.stop_sandbox(sig=signal.SIGKILL)
    buyer = Wallet()
    s.transfer(owner.asset, buyer)
    wait_until("seen", lambda: s.redis.hget(f"mc:owner:{owner.asset}", "owner") == buyer.address.encode(), 5)
    s.transfer(owner.asset, owner)  # and bought back: still another period
    wait_until("seen", lambda: s.redis.hget(f"mc:owner:{owner.asset}", "owner") == owner.address.encode(), 5)
    since = time.monotonic()
    s.launch_sandbox()
    when_killed(s, owner.agent, since)
    s.wait_sandbox()
    assert s.warden.running(owner.agent) is None


def test_sandbox_killed_at_every_moment_leaves_no_double_and_no_stray(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    owner.agent = agent_id(owner.asset)
    for i in range(16):
        try:
            s.ask("start" if i % 3 else "restart", token=owner.token, timeout=2.0)
        except Refused as e:
            assert e.status in ("unavailable", "timeout"), e
        time.sleep(i * 0.003)
        s.restart_sandbox()
        assert s.warden.doubles == []
        wait_until("running", lambda: refusal_or_state(s, owner) == "running", 15, 0.05)
        assert s.warden.running(owner.agent).boot == s.record(owner)["boot"] == s.ask("state", token=owner.token)["boot_id"]


def test_a_container_nobody_knows_of_is_killed(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    agent = s.run(owner)
    s.stop_sandbox(sig=signal.SIGKILL)
    (s.state / "held-1" / owner.agent).unlink()
    s.launch_sandbox()
    s.wait_sandbox()
    wait_until("killed", lambda: s.warden.agents.get(owner.agent) is not agent, 5)
    assert s.reach(owner.token)["state"] == "running"


def test_a_damaged_record_kills_its_agent_and_no_other(own):  # noqa: F811
    s = make_own(own)
    owner, other = s.new_owner(), s.new_owner()
    s.run(owner), s.run(other)
    s.stop_sandbox(sig=signal.SIGKILL)
    path = s.state / "held-1" / owner.agent
    path.write_bytes(path.read_bytes()[:-20])
    s.launch_sandbox()
    s.wait_sandbox()
    wait_until("killed", lambda: s.warden.running(owner.agent) is None, 5)
    assert refusal(s.ask, "start", token=owner.token) == ("unavailable", "record_damaged")
    assert s.state_of(other.token) == "running"
    assert "a record is damaged" in s.log("sandbox-1", 100)


def test_warden_that_dies_is_found_again_with_its_agents(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    agent = s.run(owner)
    s.warden.stop()
    wait_until("noticed", lambda: not s.is_ready("sandbox-1"), 5)
    assert refusal(s.reach, owner.token, 0)[0] == "unavailable"
    s.warden.start()
    s.wait_sandbox()
    assert s.reach(owner.token)["state"] == "running" and s.warden.running(owner.agent) is agent
    s.warden.stop(forget=True)  # and once with everything
    s.warden.start()
    s.wait_sandbox()
    wait_until("again", lambda: s.warden.running(owner.agent), 10)
    assert s.reach(owner.token)["state"] == "running"


def test_warden_that_dies_in_the_middle_of_a_start(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    owner.agent = agent_id(owner.asset)
    s.warden.holds.add("START")
    s.ask("start", token=owner.token)
    wait_until("START", lambda: s.warden.asked("START"), 5)
    s.warden.stop(forget=True)
    s.warden.holds.clear()
    s.warden.start()
    wait_until("running", lambda: refusal_or_state(s, owner) == "running", 15, 0.1)


def test_a_sale_while_warden_was_away_is_done_when_it_is_back(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    s.warden.stop()
    buyer = Wallet()
    s.transfer(owner.asset, buyer)
    wait_until("seen", lambda: s.redis.hget(f"mc:owner:{owner.asset}", "owner") == buyer.address.encode(), 5)
    time.sleep(0.6)
    s.warden.start()
    wait_until("killed", lambda: owner.agent not in s.warden.agents, 5)
    assert "KILL" in s.warden.names(agent=owner.agent)


IMPOSTOR = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
s.listen(5)
print("listens", flush=True)
while True:
    c, _ = s.accept()
    c.settimeout(1)
    print(len(c.recv(1 << 16)), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_nobody_but_root_is_taken_for_warden(own):  # noqa: F811
    s = make_own(own)
    s.warden.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(s.warden.path))
        with subprocess.Popen([sys.executable, "-c", IMPOSTOR, str(listener.fileno())], user=65534, pass_fds=[listener.fileno()],
                              stdout=subprocess.PIPE, text=True) as impostor:
            try:
                said = [impostor.stdout.readline().strip() for _ in range(4)]
            finally:
                impostor.kill()
    assert said == ["listens", "0", "0", "0"]
    assert "is not root" in s.log("sandbox-1", 40) and not s.is_ready("sandbox-1")
    s.warden.start()
    s.wait_sandbox()


def test_packets_that_are_none_close_the_connection_and_harm_nothing(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    warden = s.warden

    def lies():
        bad_version = warden.packet("GONE", warden.agents[owner.agent])
        bad_version.version = 9
        no_text = warden.packet("GONE", warden.agents[owner.agent])
        no_text.u.text = b"x" * 160
        request = warden.packet("START", warden.agents[owner.agent])
        unknown = warden.packet("GONE")
        unknown.what = 999
        return [b"", b"x", bytes(bad_version), bytes(no_text), bytes(request), bytes(unknown), bytes(bad_version) + b"x"]

    for lie in lies():
        before = warden.connection
        if not lie:
            continue
        with warden.lock:
            warden.send(lie)
        wait_until("a new connection", lambda: warden.connection is not before and warden.connection, 5)
        s.wait_sandbox()
        assert s.reach(owner.token)["state"] == "running"
    # true in form, about what is not so: ignored
    stranger = warden.packet("ENDED", warden.agents[owner.agent])
    stranger.boot = b"f" * 32
    nobody = warden.packet("STARTED", warden.agents[owner.agent])
    nobody.agent = b"a" * 32
    for packet in (stranger, nobody, warden.packet("READY"), warden.packet("COUNTED"), warden.packet("ERASED", stranger),
                   warden.packet("EXECED", warden.agents[owner.agent]), warden.packet("FAILED", warden.agents[owner.agent])):
        with warden.lock:
            warden.send(packet)
    time.sleep(0.3)
    assert s.reach(owner.token)["state"] == "running"
    assert s.warden.asked("KILL", agent="a" * 32)  # said to be started, and nobody asked


def test_a_warden_that_is_slow_delays_and_breaks_nothing(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_READY_MS=60000)
    owner = s.new_owner()
    owner.agent = agent_id(owner.asset)
    s.warden.holds.update(("START", "STOP"))
    s.ask("start", token=owner.token)
    wait_until("START", lambda: s.warden.asked("START"), 5)
    assert s.state_of(owner.token) == "starting"
    s.warden.finish_start(s.warden.agents[owner.agent])
    s.wait_state(owner.token, "running")
    s.ask("stop", token=owner.token)
    s.ask("start", token=owner.token)
    assert s.state_of(owner.token) == "starting" and len(s.warden.asked("START")) == 1  # not before it is gone
    s.warden.holds.clear()
    s.warden.end(s.warden.agents[owner.agent], True)
    assert s.reach(owner.token)["state"] == "running"


# ---- Redis


def test_without_redis_nothing_is_served_and_warden_is_not_told_that_all_is_well(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    s.signal("redis", signal.SIGSTOP)
    try:
        wait_until("noticed", lambda: not s.is_ready("sandbox-1"), 10)
        assert refusal(s.reach, owner.token, 0)[0] in ("unavailable", "timeout")
        time.sleep(2.2)  # what was known is good for 2 s
        mark = len(s.warden.packets)
        time.sleep(2.2)
        assert [p[1] for p in s.warden.packets[mark:]] == []  # no ALIVE
    finally:
        s.signal("redis", signal.SIGCONT)
    wait_until("again", lambda: refusal_or_state(s, owner) == "running", 20, 0.1)
    assert s.warden.running(owner.agent)


def test_a_record_that_is_lost_in_redis_locks(own):  # noqa: F811
    s = make_own(own)
    owner = s.new_owner()
    s.run(owner)
    s.redis.delete(f"mc:owner:{owner.asset}")
    s.operator.call("session.revoke", asset=owner.asset)  # an event: look again
    wait_until("killed", lambda: s.warden.running(owner.agent) is None, 5)
    assert s.record(owner)["wallet"] == owner.address  # locked, not forgotten


# ---- former periods


def test_a_former_volume_is_erased_later_and_the_holding_given_back(own):  # noqa: F811
    s = make_own(own, MULTICLAW_SANDBOX_FORMER_KEEP_S=4)
    owner, buyer = s.new_owner(), Wallet()
    period = s.run(owner).period
    s.warden.erase_why = "it is open"
    s.transfer(owner.asset, buyer)
    wait_until("killed", lambda: owner.agent not in s.warden.agents, 5)
    assert s.warden.asked("ERASE") == []
    # whose it is now is not known: it is long due when Redis is there again
    s.signal("redis", signal.SIGSTOP)
    try:
        time.sleep(7)
        assert s.warden.asked("ERASE") == []
    finally:
        s.signal("redis", signal.SIGCONT)
    wait_until("asked", lambda: s.warden.asked("ERASE"), 20)
    assert len(s.record(owner)["former"]) == 1
    s.warden.erase_why = ""
    wait_until("erased", lambda: not (s.state / "held-1" / owner.agent).exists(), 15)
    packet = s.warden.asked("ERASE")[-1][3]
    assert (packet.u.erase.wallet.decode(), packet.u.erase.period) == (owner.address, period)
    wait_until("released", lambda: not s.redis.sismember(f"mc:held:{owner.asset}", "sandbox:sandbox-1"), 5)


def test_everybody_is_told_when_a_state_changes(s, owner):
    s.run(owner)
    kinds = [e[b"k"] for _, e in s.redis.xrange("mc:events") if e[b"a"] == owner.asset.encode()]
    assert kinds.count(b"agent") == 2  # starting, running


def test_it_stops_well_in_the_middle_of_everything(own):  # noqa: F811
    s = make_own(own)
    owners = [s.new_owner() for _ in range(4)]
    s.run(owners[0])
    s.warden.holds.add("START")
    s.ask("start", token=owners[1].token)
    waiting = s.peer("router", "sandbox")
    waiting.send("sandbox.reach", 20.0, token=owners[2].token, wait_ms=15000)
    waiting.send("sandbox.logs", 20.0, token=owners[0].token, after=1 << 62, wait_ms=15000)
    s.signal("secret-vault-1", signal.SIGSTOP)
    s.ask("start", token=owners[3].token)
    try:
        s.stop_sandbox(sig=signal.SIGTERM)
    finally:
        s.signal("secret-vault-1", signal.SIGCONT)
    assert s.warden.running(owners[0].agent)  # agents go on
