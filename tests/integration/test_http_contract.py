"""What is answered is what proto/http/openapi.yaml says, for an owner's secrets; and each reason of the vault's has an answer of its own."""

import base64
import pathlib
import re

import nacl.bindings
import pytest
import yaml

from suite import ROOT, b58encode
from vault_suite import VaultSuite, new_owner

DOC = yaml.safe_load((ROOT / "proto/http/openapi.yaml").read_text())
# to operators, hosts, or between services: no request of an owner's is answered with these
NOT_OVER_HTTP = {
    "act_unknown", "address_invalid", "grant_expired", "grant_invalid", "grant_refused", "hand_over_invalid", "key_unchanged", "next_key_missing",
    "not_finalized", "note_invalid", "page_invalid", "passphrase_invalid", "passphrase_missing", "passphrase_wrong", "period_live", "period_unknown", "rotation_under_way",
    "storage_schema", "vault_busy",
}
JSON_TYPES = {"string": str, "integer": int, "array": list, "object": dict, "boolean": bool, "null": type(None)}


def resolved(schema):
    while "$ref" in schema:
        at = DOC
        for part in schema["$ref"][2:].split("/"):
            at = at[part]
        schema = {**at, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def check(value, schema, where):
    schema = resolved(schema)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    assert not types or type(value) in [JSON_TYPES[t] for t in types], (where, value)
    assert "enum" not in schema or value in schema["enum"], (where, value)
    assert "const" not in schema or value == schema["const"], (where, value)
    if isinstance(value, str):
        assert len(value) <= schema.get("maxLength", 1 << 20), where
        assert re.search(schema.get("pattern", ""), value), (where, value)
        if schema.get("format") == "date-time":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), (where, value)
    if isinstance(value, int):
        assert value >= schema.get("minimum", value), (where, value)
    if isinstance(value, list):
        for i, item in enumerate(value):
            check(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value) <= set(schema["properties"]), (where, set(value))
        for name, member in value.items():
            check(member, schema["properties"][name], f"{where}.{name}")


def check_answer(answer, method, path):
    """The status is named, the body of its schema, a problem's code among those named."""
    responses = DOC["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, (method, path, answer.status, answer.body)
    said = resolved(responses[str(answer.status)])
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status >= 400:
        assert answer.code in said["description"] and answer.json["status"] == answer.status, (answer.body, said["description"])
    for header in said.get("headers", {}):
        assert answer.headers[header], (path, header)
    if "content" not in said:
        assert answer.body == b""
        return answer
    (media, content), = said["content"].items()
    assert answer.headers["Content-Type"] == media
    check(answer.json if "json" in media else answer.body.decode(errors="replace"), content["schema"], f"{method} {path} {answer.status}")
    return answer


def refused_with(*folders):
    """Every reason that is written down in these folders."""
    text = " ".join(re.sub(r"\s+", " ", path.read_text()) for folder in folders for path in sorted((ROOT / folder).glob("*.c")))
    return set(re.findall(r'error_refuse\( ?&?[\w>.-]+, ERR_[A-Z]+, "([a-z_]+)"', text))


def test_each_reason_of_a_service_has_a_row_among_the_problems():
    rows = set(re.findall(r'^    \{"([a-z_]+)", \d', pathlib.Path(ROOT / "services/router/problem.c").read_text(), re.M))
    reasons = refused_with("services/secret-vault", "services/auth", "services/session", "services/agent-wallet", "services/router")
    assert len(rows) > 30 and len(reasons) > 30
    assert reasons - rows - NOT_OVER_HTTP == set()
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)*", (ROOT / "proto/http/openapi.yaml").read_text()))
    assert rows - named - {"client_address_missing"} == set(), "in no answer of the contract"


# what the one who asks can mend: an owner's secrets, an operator's words
SANDBOX_INVALID = {"egress_invalid", "exclude_invalid", "root_invalid", "host_invalid", "secrets_too_large", "asset_invalid", "argv_too_long"}
# what is read before anything is served
SANDBOX_AT_START = {"gateway_link.c", "record.c", "records.c", "resolver_upstreams.c", "sandbox.c"}


def test_each_refusal_of_sandbox_has_a_reason_and_stands_in_its_table():
    found = {}
    for path in sorted((ROOT / "services/sandbox").glob("*.c")):
        text = re.sub(r"\s+", " ", path.read_text())
        unnamed = re.findall(r"error_set\( ?[^;]*;", text)
        assert not unnamed or path.name in SANDBOX_AT_START, (path.name, unnamed)
        for code, reason in re.findall(r'error_refuse\( ?[^,]+, ERR_([A-Z_]+), "([a-z_]+)"', text):
            found.setdefault(reason, set()).add(code.lower())
    assert sum(len(codes) for codes in found.values()) > 20
    assert {reason for reason, codes in found.items() if "invalid" in codes} == SANDBOX_INVALID
    said = {}
    table = (ROOT / "services/sandbox/README.md").read_text().split("## Refusals")[1].split("\n## ")[0]
    for reasons, codes in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", table, re.M):
        reasons, codes = re.findall(r"`([a-z_]+)`", reasons), codes.split(", ")
        for i, reason in enumerate(reasons):
            said[reason] = set(codes) if len(reasons) == 1 else {codes[i] if len(codes) > 1 else codes[0]}
    assert said == found


@pytest.fixture(scope="module")
def suite():
    with VaultSuite() as made:
        yield made


def test_answers_about_secrets_are_as_the_contract_says(suite):
    owner = new_owner(suite)

    def ask(method, path, body=None, status=None, token=owner.token, **parts):
        answer = check_answer(suite.http(method, path.format(**parts), body, token=token), method, path)
        assert status is None or answer.status == status, answer.body
        return answer

    one, hot = "/v1/secrets/{kind}/{name}", "/v1/wallet/hot"
    for path in ("/v1/secrets", "/v1/llm/keys", "/v1/audit"):
        ask("GET", path, status=200)
        ask("GET", path, status=401, token=None)
    ask("PUT", one, {"value": "sk-ant-" + "k" * 40}, 204, kind="llm", name="anthropic")
    ask("PUT", one, {"value": "\x1b[2J\u202eshort"}, 204, kind="custom", name="x" * 64)
    for kind, name, body in (("llm", "nobody", {"value": "x"}), ("wallet", "hot", {"value": "x"}), ("custom", "X", {"value": "x"}),
                             ("custom", "x", {"value": ""}), ("custom", "x", {"value": "x", "more": "x"}), ("llm", "openai", {"value": " x"})):
        problem = ask("PUT", one, body, 400, kind=kind, name=name).json
        assert "vault." not in problem["detail"], problem
    ask("PUT", one, {"value": "x" * 70000}, 413, kind="custom", name="x")
    ask("DELETE", one, None, 404, kind="custom", name="never")
    ask("DELETE", one, None, 400, kind="custom", name="X")
    ask("DELETE", one, {"a": 1}, 400, kind="custom", name="x")
    ask("GET", hot, status=404)
    public, _ = nacl.bindings.crypto_box_keypair()
    recipient = base64.b64encode(public).decode()
    for bad in ("", "x", base64.b64encode(bytes(32)).decode(), 7):
        ask("POST", f"{hot}/challenge", {"recipient": bad}, 400)
    ask("POST", hot, {"nonce": "x", "signature": "1" * 64}, 401)
    for status in (201, 409):
        issued = ask("POST", f"{hot}/challenge", {"recipient": recipient}, 200).json
        ask("POST", hot, {"nonce": issued["nonce"], "signature": b58encode(owner.sign(issued["message"].encode())), "recipient": recipient}, status)
    ask("GET", hot, status=200)
    listed = ask("GET", "/v1/secrets", status=200).json["secrets"]
    assert [s["kind"] for s in listed] == ["custom", "llm", "wallet"]
    assert ask("GET", "/v1/llm/keys", status=200).json["providers"]
    assert len(ask("GET", "/v1/audit", status=200).json["entries"]) == 4
    assert suite.http("GET", "/v1/audit?after=x", token=owner.token).code == "query_invalid"
