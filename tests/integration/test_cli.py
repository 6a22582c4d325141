"""The command line with wrong words, a hostile service, and --json."""

import http.server
import json
import stat
import subprocess

import pytest

from cli_parts import Serving
from suite import BIN, Suite, b58encode


@pytest.fixture(scope="module")
def suite():
    with Suite() as s:
        yield s


@pytest.fixture
def alice(suite):
    keypair = suite.state / "chain/wallets/alice.json"
    asset = suite.asset_of("alice")
    shown = json.loads(suite.cli("--json", "login", "--keypair", keypair, "--asset", asset).stdout)
    return {"keypair": keypair, "asset": asset, "agent_id": shown["agent_id"]}


class Listener(Serving):
    """A web server that keeps what it was asked."""

    def __init__(self, answer=b"{}", status=200):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(dict(self.headers))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

def test_the_token_goes_to_no_other_name_that_begins_like_the_agents(suite, alice):
    with Listener() as thief:
        for url in (
            f"http://{alice['agent_id']}.localhost:{thief.port}/",
            f"http://{alice['agent_id']}.localhost:{suite.port}@localhost:{thief.port}/",
            f"http://{alice['agent_id']}.{suite.authority}.localhost:{thief.port}/",
            f"http://{alice['agent_id']}.localhost:{suite.port}1/",
            f"https://{alice['agent_id']}.{suite.authority}/",
        ):
            done = suite.cli("curl", url, check=False)
            assert done.returncode == 1 and "own origin" in done.stderr, url
        assert thief.requests == []


def kept(suite, session="session.json"):
    path = suite.state / session
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return json.loads(path.read_text())


def test_curl_enters_the_agents_origin_once_and_again_when_that_session_is_over(suite, alice):
    url = f"http://{alice['agent_id']}.{suite.authority}/"

    def asked(**kwargs):
        done = suite.cli("curl", "-i", url, check=False, **kwargs)
        return done.stdout.split("\n")[0], json.loads(done.stdout.split("\n", 1)[1])["code"]

    assert "agent_token" not in kept(suite)
    # nobody serves agents here; a stranger would be told to sign in
    assert asked() == ("HTTP 503", "agent_starting")
    first = kept(suite)
    assert first["agent_token"] != first["token"] and json.loads(suite.cli("whoami", "--json").stdout)["asset"] == alice["asset"]
    assert asked() == ("HTTP 503", "agent_starting") and kept(suite) == first
    assert suite.entry(url.split("/")[2], "leave", {}, headers={"Cookie": f"__Host-multiclaw-agent={first['agent_token']}"}).status == 204
    assert asked() == ("HTTP 503", "agent_starting")
    second = kept(suite)
    assert second["agent_token"] != first["agent_token"] and second["token"] == first["token"]
    # each goes to its own door
    assert suite.cli("curl", "/v1/session").returncode == 0
    suite.cli("login", "--keypair", alice["keypair"], "--asset", alice["asset"])
    assert "agent_token" not in kept(suite)


def test_curl_with_a_session_that_is_over_enters_nothing(suite, alice):
    suite.cli("login", "--keypair", alice["keypair"], "--asset", alice["asset"], session="over.json")
    suite.http("POST", "/v1/auth/logout", {}, token=kept(suite, "over.json")["token"])
    done = suite.cli("curl", f"http://{alice['agent_id']}.{suite.authority}/", session="over.json", check=False)
    assert done.returncode == 3 and "session" in done.stderr and "agent_token" not in kept(suite, "over.json")


def test_an_opening_for_another_origin_is_not_followed(suite, alice):
    with Listener() as thief:
        opened = json.dumps({"url": f"http://localhost:{thief.port}/.multiclaw/enter#{'a' * 43}"}).encode()
        with Listener(opened) as service:
            file = {**kept(suite), "url": f"http://localhost:{service.port}"}
            path = suite.state / "lying.json"
            path.write_text(json.dumps(file))
            path.chmod(0o600)
            done = suite.cli("curl", f"http://{alice['agent_id']}.{suite.authority}/", session="lying.json", check=False)
        assert done.returncode == 1 and "another agent's page" in done.stderr
        assert thief.requests == [] and "agent_token" not in kept(suite, "lying.json")


def test_a_services_refusal_steers_no_terminal(suite, alice):
    problem = json.dumps({"code": "x\x1b[2J", "detail": "a\x1b]0;owned\x07b‮c\nd"}).encode()
    with Listener(problem, 403) as service:
        done = suite.cli("--url", f"http://localhost:{service.port}", "login", "--keypair", alice["keypair"], check=False)
    assert done.returncode == 1
    text = done.stderr.rstrip("\n")
    assert "a?]0;owned?b?c?d" in text and not any(ord(c) < 32 for c in text)


def test_every_command_of_an_owner_answers_json_when_told_to(suite, alice):
    for command in (["whoami"], ["sessions"]):
        assert json.loads(suite.cli(*command, "--json").stdout)
    message = suite.challenge(suite.wallet("alice")).json["message"]
    signed = json.loads(suite.cli("sign", "--keypair", alice["keypair"], "--json", input=message).stdout)
    assert signed == {"signature": b58encode(suite.wallet("alice").sign(message.encode()))}
    other = suite.sign_in(suite.wallet("alice"), alice["asset"])
    jti = suite.http("GET", "/v1/session", token=other).json["jti"]
    assert json.loads(suite.cli("sessions", "end", jti, "--json").stdout) == {"ended": jti}
    assert suite.session_status(other) == 401
    if len([a for a in suite.assets if a["owner"] == suite.wallet("alice").address]) > 1:
        choice = suite.cli("login", "--keypair", alice["keypair"], "--json", session="other.json", check=False)
        assert choice.returncode == 1 and len(json.loads(choice.stdout)["assets"]) > 1
    assert json.loads(suite.cli("logout", "--json").stdout) == {"signed_out": "yes"}


def test_an_empty_or_overlong_name_ends_nobodys_sessions(suite, alice):
    for command in (
        ["revoke", "--asset", alice["asset"], "--session", ""],
        # two more characters: an address of 43 and one more could be another's
        ["revoke", "--asset", alice["asset"] + "xx"],
        ["ban", suite.wallet("alice").address + "xx"],
        ["asset", "reset", alice["asset"] + "xx"],
    ):
        done = suite.cli(*command, check=False)
        assert done.returncode in (1, 2), command
    assert suite.cli("whoami").returncode == 0
    long = ["revoke", "--asset", alice["asset"] + "1" * (45 - len(alice["asset"]))]
    assert suite.cli(*long, check=False).returncode == 2


def test_status_waits_for_replicas_that_the_settings_name(suite, tmp_path):
    conf = tmp_path / "suite.conf"
    lines = (suite.state / "conf/suite.conf").read_text().splitlines()
    conf.write_text("\n".join(line for line in lines if not line.startswith("MULTICLAW_SESSIONS=")) + "\n")


    done = subprocess.run([BIN / "multiclaw", "-c", conf, "status", "--wait", "1"], capture_output=True, text=True, env=suite.env)
    assert done.returncode == 1 and "MULTICLAW_SESSIONS names no replica" in done.stderr
    for wrong in ("", "abc", "-1", "1.5"):
        assert suite.cli("status", "--wait", wrong, check=False).returncode == 2
