"""The command line around secret-vault: what is typed, what it refuses to sign, a change of the master key that is interrupted."""

import base64
import json
import os
import random
import signal
import subprocess
import time

import nacl.public
import pytest

from cli_parts import ASSET, Service, Terminal
from suite import BIN, Suite, Wallet, b58encode, wait_until

VALUE = "sk-typed-and-never-shown-0123456789"


@pytest.fixture(scope="module")
def suite():
    with Suite(replicas=2) as s:
        yield s


@pytest.fixture(scope="module")
def alice(suite):
    keypair = suite.state / "chain/wallets/alice.json"
    suite.cli("login", "--keypair", keypair, "--asset", suite.asset_of("alice"))
    return keypair


def test_a_value_that_is_typed_is_not_shown_and_is_stored(suite, alice):
    terminal = Terminal(suite, "secrets", "set", "llm", "anthropic")
    terminal.asked("llm/anthropic")
    terminal.type(VALUE + "\n")
    assert terminal.end() == 0
    assert "Stored llm/anthropic" in terminal.shown and VALUE not in terminal.shown
    assert VALUE[:8] in suite.cli("secrets", "list").stdout


@pytest.mark.parametrize("typed", ["\n", "\x03", "\x04", "x" * 4050 + "\n"], ids=["nothing", "interrupt", "end", "more than a line holds"])
def test_what_was_not_wholly_typed_is_not_stored(suite, alice, typed):
    terminal = Terminal(suite, "secrets", "set", "custom", "typed")
    terminal.asked("custom/typed")
    terminal.type(typed)
    assert terminal.end() != 0
    assert "custom typed" not in suite.cli("secrets", "list").stdout


def test_nobody_types_a_secret_to_be_told_that_nobody_is_signed_in(suite):
    done = suite.cli("secrets", "set", "llm", "openai", session="nobody.json", check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 3 and "not signed in" in done.stderr


def test_kinds_and_names_are_no_way_to_another_path(suite, alice):
    for words in (["../../v1", "x"], ["llm", "../x"], ["llm", "a/b"], ["llm", "A"], ["llm", ""], ["", "x"], ["llm", "x" * 65], ["llm", "x?y"]):
        for command in (["set", *words], ["rm", *words]):
            assert suite.cli("secrets", *command, input="value", check=False).returncode == 2, command


OTHER = "3tPyYLxnmJKNCPvDzoqWBfTaRKTp5LvVLXiyjiuPxWhi"


@pytest.mark.parametrize("statement", [
    f"Create the hot wallet of multiclaw agent {OTHER} and show its secret key once, sealed to {{recipient}}, asked from 127.0.0.1.",
    f"Create the hot wallet of multiclaw agent {ASSET} and show its secret key once, sealed to {OTHER}, asked from 127.0.0.1.",
    f"Create the hot wallet of multiclaw agent {ASSET} and show its secret key once, asked from 127.0.0.1.",
    f"Sign in to multiclaw agent {ASSET} from 127.0.0.1.",
], ids=["another agent", "another recipient", "no recipient", "a sign-in"])
def test_a_hot_wallet_is_not_signed_for_with_another_text(suite, tmp_path, statement):
    wallet = Wallet()
    keypair, out = wallet.write(tmp_path / "owner.json"), tmp_path / "hot.json"
    with Service() as service:
        def issued(body):
            host = service.url.split("://")[1]
            text = statement.format(recipient=body["recipient"])
            return {"nonce": "n" * 32, "message": f"{host} wants you to sign in with your Solana account:\n{wallet.address}\n\n{text}\n\nURI: x"}

        service.answers = {"/v1/wallet/hot/challenge": (200, issued), "/v1/wallet/hot": (201, {})}
        done = service.create(suite, tmp_path, keypair, out)
    assert done.returncode == 1 and "not signed" in done.stderr
    assert [r[1] for r in service.requests] == ["/v1/wallet/hot/challenge"] and not out.exists()


def test_a_sign_in_never_signs_for_a_hot_wallet(suite, tmp_path):
    wallet = Wallet()
    keypair = wallet.write(tmp_path / "owner.json")
    text = f"Create the hot wallet of multiclaw agent {ASSET} and show its secret key once, asked from 127.0.0.1. No transaction, no cost."
    message = f"{suite.authority} wants you to sign in with your Solana account:\n{wallet.address}\n\n{text}\n\nURI: {suite.url}\n"
    done = suite.cli("sign", "--keypair", keypair, input=message, check=False)
    assert done.returncode == 1 and done.stdout == "" and "not signed" in done.stderr


def test_an_answer_that_is_not_the_key_of_its_address_is_no_file(suite, tmp_path):
    wallet = Wallet()
    keypair, out = wallet.write(tmp_path / "owner.json"), tmp_path / "hot.json"
    with Service() as service:
        def issued(body):
            host = service.url.split("://")[1]
            to = b58encode(base64.b64decode(body["recipient"]))
            return {"nonce": "n" * 32, "message": f"{host} wants you to sign in with your Solana account:\n{wallet.address}\n\nCreate the hot "
                    f"wallet of multiclaw agent {ASSET} and show its secret key once, sealed to {to}, asked from 127.0.0.1."}

        def sealed(body):
            box = nacl.public.SealedBox(nacl.public.PublicKey(base64.b64decode(body["recipient"])))
            mine = Wallet()
            return {"address": Wallet().address, "sealed_secret_key": base64.b64encode(
                box.encrypt(bytes(mine.key) + bytes(mine.key.verify_key))).decode()}

        service.answers = {"/v1/wallet/hot/challenge": (200, issued), "/v1/wallet/hot": (201, sealed)}
        done = service.create(suite, tmp_path, keypair, out)
    assert done.returncode == 1 and "is not that of" in done.stderr and not out.exists()


def test_a_hostile_list_steers_no_terminal(suite, tmp_path):
    evil = "a\x1b]0;owned\x07b\u202ec\nd"
    secret = {"kind": evil, "name": evil, "preview": evil, "version": 1, "updated_at": evil}
    with Service({"/v1/secrets": (200, {"secrets": [secret]}),
                  "/v1/llm/keys": (200, {"providers": [{"provider": evil, "source": evil, "preview": evil}]}),
                  "/v1/wallet/hot": (200, {"address": evil})}) as service:
        for words in (["secrets", "list"], ["llm", "keys"], ["wallet", "hot"], ["secrets", "list", "--json"]):
            shown = service.run(suite, tmp_path, *words).stdout
            assert "owned" in shown and "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown, words


@pytest.mark.parametrize("status,answer", [
    (200, b"<html>Please sign in to this network</html>"), (200, b""), (200, b"null"), (200, b"[]"), (200, {}), (302, b""), (304, b""), (200, b"[" * 100000),
    (200, {"secrets": 5, "providers": "x", "entries": {"a": 1}, "sessions": None, "address": 7}),
], ids=["page", "empty", "null", "list", "object", "elsewhere", "unchanged", "deep", "types"])
def test_what_something_else_answers_is_no_success(suite, tmp_path, status, answer):
    """A proxy's page, a redirect: nothing was stored, nothing was destroyed, and an empty list is not what there is."""
    commands = (["secrets", "set", "custom", "x"], ["secrets", "rm", "custom", "x"], ["secrets", "list"], ["llm", "keys"], ["wallet", "hot"],
                ["audit", "list"], ["audit", "export"], ["sessions"], ["sessions", "end", "all"], ["logout"])
    paths = ("/v1/secrets/custom/x", "/v1/secrets", "/v1/llm/keys", "/v1/wallet/hot", "/v1/audit?after=0", "/v1/sessions", "/v1/auth/logout")
    with Service({path: (status, answer) for path in paths}) as service:
        for words in commands:
            for more in ([], ["--json"]):
                done = service.run(suite, tmp_path, *words, *more, input="v")
                assert (done.returncode, done.stdout) == (1, ""), (words, done)
                assert done.stderr.startswith("multiclaw: "), done.stderr
                assert "logout" not in words or (tmp_path / "session.json").exists(), "kept for another try"


def test_a_hostile_session_steers_no_terminal(suite, tmp_path):
    evil = "a\x1b]0;owned\x07b\u202ec\nd\u009b31m"
    members = ("asset", "name", "agent_id", "wallet", "jti", "issued_at", "expires_at", "last_seen_at", "user_agent", "ip")
    session = {name: evil for name in members}
    with Service({"/v1/session": (200, session), "/v1/sessions": (200, {"sessions": [session]})}) as service:
        for words in (["whoami"], ["sessions"]):
            shown = service.run(suite, tmp_path, *words).stdout
            assert "owned" in shown and not {"\x1b", "\x07", "\u202e", "\u009b"} & set(shown), words


def test_an_export_that_the_service_broke_says_so(suite, alice, tmp_path):
    suite.cli("secrets", "set", "custom", "trail", input="x")
    good = [json.loads(line) for line in suite.cli("audit", "export").stdout.splitlines()]
    assert len(good) >= 2
    with Service({"/v1/audit?after=0": (200, {"entries": good[1:]})}) as service:
        done = service.run(suite, tmp_path, "audit", "export")
    assert done.returncode == 1 and "missing" in done.stderr
    # one that repeats itself for ever ends as well
    with Service({f"/v1/audit?after={n}": (200, {"entries": good}) for n in range(len(good) + 1)}) as service:
        done = service.run(suite, tmp_path, "audit", "list")
    assert done.returncode == 1 and "does not go on" in done.stderr


# ---- operators


def test_with_sqlite_one_vault_runs_however_many_replicas_are_asked_for(suite):
    names = {s["replica"] for s in suite.status()}
    assert {"router-1", "router-2", "secret-vault-1"} <= names and "secret-vault-2" not in names
    states = json.loads(suite.cli("vault", "status", "--json").stdout)
    assert [s["state"] for s in states] == ["open"]


def test_the_vaults_settings_are_in_its_own_file_and_in_no_environment(suite):
    for name in ("router-1", "secret-vault-1"):
        environ = open(f"/proc/{suite.pid(name)}/environ", "rb").read()
        assert b"MULTICLAW_VAULT_STORE" not in environ and b"MULTICLAW_VAULT_PROVIDERS" not in environ
    conf = suite.state / "conf/secret-vault.conf"
    assert "providers.json" in conf.read_text() and conf.stat().st_mode & 0o777 == 0o600
    for folder in ("vault", "vault-marks"):
        assert (suite.state / folder).stat().st_mode & 0o777 == 0o700


def test_every_command_of_an_operator_answers_json_when_told_to(suite):
    key = "sk-global-0123456789-0123456789"
    assert json.loads(suite.cli("vault", "global", "set", "openai", "--json", input=key).stdout) == {"stored": "openai"}
    listed = json.loads(suite.cli("vault", "global", "list", "--json").stdout)["keys"]
    assert listed[0]["provider"] == "openai" and key[8:] not in json.dumps(listed)
    assert json.loads(suite.cli("vault", "global", "rm", "openai", "--json").stdout) == {"destroyed": "openai"}
    assert suite.cli("vault", "global", "rm", "openai", check=False).returncode == 1
    assert json.loads(suite.cli("vault", "reset-breaker", "--json").stdout)[0]["breaker"] is False
    address = Wallet().address
    owner = ["--asset", suite.asset_of("bob"), "--wallet", address]
    assert suite.cli("vault", "destroy-owner", *owner, check=False).returncode == 2, "not without --yes"
    assert json.loads(suite.cli("vault", "destroy-owner", *owner, "--yes", "--json").stdout) == {"periods": 0}
    assert suite.cli("vault", "reinstate", *owner, check=False).returncode == 1
    for wrong in (["vault"], ["vault", "global", "set"], ["vault", "unseal", "x"], ["vault", "destroy-owner", "--yes"],
                  ["vault", "rotate", "x"], ["vault", "global", "set", "openai", "value"], ["vault", "audit"]):
        assert suite.cli(*wrong, check=False, input="x").returncode == 2, wrong


def test_a_new_key_replaces_nothing(suite, tmp_path):
    suite.cli("vault", "new-key", tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    assert len(before) == 45 and (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert suite.cli("vault", "new-key", tmp_path / "key", check=False).returncode == 1
    assert (tmp_path / "key").read_bytes() == before


def test_a_rotation_is_finished_by_the_same_command_whenever_it_was_killed(suite, alice):
    suite.cli("secrets", "set", "custom", "kept", input="over every change of keys")
    random.seed(7)
    for attempt in range(12):
        command = [BIN / "multiclaw", "-c", suite.state / "conf/suite.conf", "vault", "rotate", "--new-key"]
        process = subprocess.Popen(command, env=suite.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0, 0.35))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if attempt % 4 == 3:
            pid = suite.kill("secret-vault-1")
            wait_until("it is started again", lambda: suite.pid("secret-vault-1") != pid)
            suite.wait_ready()
    suite.cli("vault", "rotate", "--new-key")
    assert not (suite.state / "keys/vault.key.next").exists()
    pid = suite.kill("secret-vault-1")
    wait_until("it is started again", lambda: suite.pid("secret-vault-1") != pid)
    suite.wait_ready()
    # a vault that is ready may still have to be found again by a router that lost it
    wait_until("it is found again", lambda: suite.cli("secrets", "list", check=False).returncode == 0)
    assert "kept" in suite.cli("secrets", "list").stdout
    assert suite.cli("vault", "rotate", check=False).returncode == 1, "there is no next key"


def test_a_vault_that_is_away_is_told_apart_from_one_that_is_sealed(suite):
    os.kill(suite.pid("secret-vault-1"), signal.SIGSTOP)
    try:
        done = suite.cli("vault", "status", check=False)
        assert done.returncode == 4 and "DOWN" in done.stdout
    finally:
        os.kill(suite.pid("secret-vault-1"), signal.SIGCONT)
    suite.wait_ready()


def test_a_passphrase_is_typed_twice_when_it_is_new_and_once_when_it_is_not():
    with Suite(MULTICLAW_VAULT_KEY_SOURCE="passphrase") as suite:
        assert "vault unseal" in (suite.state / "run.out").read_text()
        done = suite.cli("vault", "status", check=False)
        assert done.returncode == 4 and "sealed" in done.stdout

        def typed(words, *texts):
            terminal = Terminal(suite, "vault", *words)
            for question, text in texts:
                terminal.asked(question)
                terminal.type(text + "\n")
            return terminal.end(), terminal.shown

        first, second = "seven quiet otters count", "nine loud herons forget"
        new = "assphrase (a new store"
        assert typed(["unseal"], (new, first), ("Verify", first + "x"))[0] != 0
        assert "new store" in suite.cli("vault", "status", check=False).stdout
        code, shown = typed(["unseal"], (new, first), ("Verify", first))
        assert code == 0 and first not in shown
        suite.wait_ready()
        assert typed(["rotate"], ("New passphrase", second), ("Verify", first))[0] != 0
        code, shown = typed(["rotate"], ("New passphrase", second), ("Verify", second))
        assert code == 0 and second not in shown
        pid = suite.kill("secret-vault-1")
        wait_until("it is started again", lambda: suite.pid("secret-vault-1") != pid)
        wait_until("it waits for its passphrase", lambda: "sealed" in suite.cli("vault", "status", check=False).stdout)
        assert suite.cli("vault", "unseal", input=first, check=False).returncode == 1
        code, shown = typed(["unseal"], ("assphrase (waits for", second))
        assert code == 0, shown
        suite.wait_ready()
