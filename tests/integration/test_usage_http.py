"""What an agent used, as its owner reads it over HTTP and by the command line. The test plays the gateways, with the script that they use."""

import json

import pytest

from suite import ROOT, Wallet, wait_until
from test_http_contract import check_answer
from vault_suite import VaultSuite, new_owner, token_of

SCRIPT = (ROOT / "common/llm_usage.lua").read_text()
PATH = "/v1/llm/usage"


@pytest.fixture(scope="module")
def suite():
    with VaultSuite() as made:
        yield made


@pytest.fixture
def owner(suite):
    return new_owner(suite)


def script(suite, *args):
    answer = suite.redis().eval(SCRIPT, 0, *map(str, args))
    return answer if isinstance(answer, list) else [answer]


def used(suite, owner, provider, source, model, tokens, output, unknown=0, micro="", limits=(0,) * 10):
    which, wait, day, *newest = script(suite, "judge", owner.asset, owner.address, provider, source, 35, *limits)
    assert which == "" and wait == "0"
    assert script(suite, "note", owner.asset, owner.address, provider, source, day, 64, model, tokens, output, unknown, tokens + output, micro) == ["noted"]


def read(suite, owner, query="", status=200, token=None):
    answer = check_answer(suite.http("GET", PATH + query, token=token or owner.token), "GET", PATH)
    assert answer.status == status, answer.body
    return answer.json


def test_an_owner_reads_what_his_agent_used_and_the_next_one_does_not(suite, owner, tmp_path):
    suite.redis().delete("mc:llm:limits")
    empty = read(suite, owner)
    assert len(empty["days"]) == 7 and not any(day["usage"] for day in empty["days"]) and empty["limits"] is None
    script(suite, "limits", 10, 0, 0, 1000, 7, 0, 0, 0, 2000000, 9000000)
    used(suite, owner, "openai", "global", "gpt-4o", 100, 20, micro=500)
    used(suite, owner, "openai", "global", "gpt-4o", 1, 2, unknown=1, micro=1000000)
    used(suite, owner, "anthropic", "user", "claude", 5, 6)
    script(suite, "judge", owner.asset, owner.address, "groq", "user", 35, *(0,) * 10)
    found = read(suite, owner, "?days=2")
    assert len(found["days"]) == 2 and found["days"][1]["usage"] == []
    row = lambda *values: dict(zip(("provider", "model", "source", "requests", "input_tokens", "output_tokens", "unknown", "cost_usd"), values))  # noqa: E731
    assert found["days"][0]["usage"] == [row("anthropic", "claude", "user", 1, 5, 6, 0, None), row("groq", None, "user", 1, 0, 0, 1, "0.000000"),
                                         row("openai", "gpt-4o", "global", 2, 101, 22, 1, "1.000500")]
    agent, key = found["limits"]["agent"], found["limits"]["global_key"]
    assert agent["requests_minute"]["limit"] == 10 and agent["requests_minute"]["left"] in (6, 7, 8, 9, 10)
    assert agent == {**agent, "tokens_minute": None, "requests_day": None, "tokens_day": {"limit": 1000, "left": 866},
                     "global_usd_day": {"limit": "2.000000", "left": "0.999500"}}
    assert key == {"requests_minute": 7, "tokens_minute": None, "requests_day": None, "tokens_day": None, "usd_day": "9.000000"}
    # by the command line
    suite.cli("login", "--keypair", owner.write(tmp_path / "owner.json"), "--asset", owner.asset, session="usage.json")
    shown = suite.cli("llm", "usage", session="usage.json").stdout.splitlines()
    assert shown[0].split() == ["day", "provider", "model", "key", "requests", "tokens", "in", "tokens", "out", "unknown", "USD"]
    assert [line.split()[1:] for line in shown[1:4]] == [["anthropic", "claude", "user", "1", "5", "6", "0", "?"], ["groq", "-", "user", "1", "0", "0", "1", "0.000000"],
                                                        ["openai", "gpt-4o", "global", "2", "101", "22", "1", "1.000500"]]
    assert "tokens today: 866 of 1000 left" in shown and "the operator's keys today, at most: 0.999500 of 2.000000 USD left" in shown
    assert json.loads(suite.cli("--json", "llm", "usage", "--days", "2", session="usage.json").stdout)["days"] == found["days"]
    for wrong in (("--days", "x"), ("--days",), ("more",)):
        assert suite.cli("llm", "usage", *wrong, session="usage.json", check=False).returncode == 2
    assert suite.cli("llm", "usage", "--days", "32", session="usage.json", check=False).returncode == 1
    # sold
    buyer = Wallet()
    suite.transfer(owner.asset, buyer)
    wait_until("the seller is out", lambda: suite.http("GET", PATH, token=owner.token).status == 401, 5)
    token = token_of(suite, buyer, owner.asset)
    theirs = read(suite, buyer, token=token)
    assert not any(day["usage"] for day in theirs["days"])
    agent = theirs["limits"]["agent"]
    assert agent["tokens_day"]["left"] == 1000 and agent["requests_minute"]["left"] == 10 and agent["global_usd_day"]["left"] == "2.000000"


def test_requests_that_are_refused(suite, owner):
    for query in ("?days=0", "?days=32", "?days=-1", "?days=", "?days", "?days=07", "?days=1&days=2", "?x=1", "?days=1x", "?days=100"):
        assert read(suite, owner, query, 400)["code"] == "query_invalid"
    assert len(read(suite, owner, "?days=31")["days"]) == 31 and len(read(suite, owner, "?days=1")["days"]) == 1
    assert check_answer(suite.http("GET", PATH), "GET", PATH).code == "session_missing"
    assert suite.http("POST", PATH, {}, token=owner.token).status == 405


def test_what_is_not_as_the_script_writes_it_is_not_read(suite, owner):
    used(suite, owner, "openai", "user", "m", 1, 1)
    key = next(suite.redis().scan_iter(f"mc:llm:usage:{owner.asset}:*"))
    for field, value in (("openai user m x", "1"), ("openai", "1"), ("openai user m r", "-1"), ("a" * 80 + " user m r", "1"), ("openai user m r", "9" * 30)):
        before = suite.redis().hget(key, field)
        suite.redis().hset(key, field, value)
        assert read(suite, owner, status=503)["code"] == "service_unavailable"
        suite.redis().hdel(key, field) if before is None else suite.redis().hset(key, field, before)
    assert read(suite, owner)["days"][0]["usage"][0]["requests"] == 1
