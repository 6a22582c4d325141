"""The providers' own SDKs through the gateway, wherever they run: what they are told, and what has to come of it."""

import json
import subprocess

from gateway_parts import Gateways
from llm_shapes import ANTHROPIC_TYPES, ANTHROPIC_USAGE, OPENAI_USAGE, RESPONSES_TYPES, RESPONSES_USAGE, TEXT, Shapes
from suite import ROOT

NODE_TESTS = ROOT / "tests/node"
SCRIPT = NODE_TESTS / "sdk.mjs"
SENT = {"openai": "authorization", "anthropic": "x-api-key"}  # where each provider wants its key


class SdkGateways(Gateways):
    """Before a provider that speaks as the real ones do, of whom as much is offered as of those."""

    def __init__(self, **settings):
        super().__init__(Shapes, **settings)

    def prepare(self):
        super().prepare()
        path = self.state / "providers.json"
        providers = json.loads(path.read_text())
        real = {each["name"]: each for each in json.loads((ROOT / "deploy/providers.json").read_text())["providers"]}
        for each in providers["providers"]:
            if each["name"] in SENT:
                each["paths"] = real[each["name"]]["paths"]
        path.write_text(json.dumps(providers))


def installed():
    """The npm packages; they are brought once."""
    subprocess.run([NODE_TESTS / "install"], check=True, capture_output=True, timeout=1200)
    return NODE_TESTS / "node_modules"


def environment(address, port, token):
    """All that is changed."""
    base = f"http://{address}:{port}"
    return {"OPENAI_BASE_URL": f"{base}/openai/v1", "OPENAI_API_KEY": token, "ANTHROPIC_BASE_URL": f"{base}/anthropic", "ANTHROPIC_API_KEY": token}


def results(output):
    """{step: result} of what sdk.mjs printed."""
    return {line["step"]: line["result"] for line in map(json.loads, output.splitlines())}


def check_results(got):
    for name, result in got.items():
        assert "failed" not in (result or {}), (name, result)
    assert got["openai_models"] == got["anthropic_models"] == {"ids": ["small"]}
    assert got["openai_chat"] == {"text": TEXT, "usage": OPENAI_USAGE}
    assert got["openai_chat_stream"] == {"text": TEXT, "chunks": 6, "usage": OPENAI_USAGE}
    assert got["openai_responses"] == {"text": TEXT, "usage": RESPONSES_USAGE}
    assert got["openai_responses_stream"] == {"text": TEXT, "types": RESPONSES_TYPES, "usage": RESPONSES_USAGE}
    length, _, kind = got["openai_upload"]["text"].partition(" bytes of ")
    assert 3 << 20 < int(length) < (3 << 20) + 1000 and kind == "multipart/form-data"
    assert {**got["anthropic_message"]} == {"text": TEXT, "stop_reason": "end_turn", "usage": ANTHROPIC_USAGE}
    streamed = got["anthropic_stream"]
    assert (streamed["text"], streamed["stop_reason"], streamed["usage"]["output_tokens"]) == (TEXT, "end_turn", 3)
    assert streamed["types"] == ANTHROPIC_TYPES or streamed["types"] == [t for t in ANTHROPIC_TYPES if t != "ping"]

    def error(name):
        return got[name]["kind"], got[name]["status"], got[name]["code"]

    # the provider's own errors, unchanged
    assert error("openai_error") == ("NotFoundError", 404, "model_not_found") and got["openai_error"]["type"] == "invalid_request_error"
    assert error("anthropic_error")[:2] == ("NotFoundError", 404) and "model: absent" in got["anthropic_error"]["text"]
    assert "overloaded_error" in got["anthropic_error_in_stream"]["text"]
    # and the gateway's, which each SDK reads as its provider's
    assert error("openai_not_offered") == ("NotFoundError", 404, "path_not_offered")
    assert error("anthropic_not_offered") == ("NotFoundError", 404, "path_not_offered") and "path" in got["anthropic_not_offered"]["text"]
    for name in ("openai", "anthropic"):
        assert error(f"{name}_wrong_key") == ("AuthenticationError", 401, "token_refused")
        # what had arrived together with the third is handed over all the same
        assert 3 <= got[f"{name}_abort"]["events"] < 30


def check_sent(provider, keys, token):
    """Every request that arrived upstream had its provider's key, and nothing of the token; keys: {provider: key}."""
    assert provider.seen
    for sent in provider.seen:
        name = "anthropic" if "anthropic-version" in sent["headers"] else "openai"
        assert sent["headers"][SENT[name]] == {"openai": "Bearer ", "anthropic": ""}[name] + keys[name], sent
        assert SENT["openai" if name == "anthropic" else "anthropic"] not in sent["headers"], "the other's place"
        assert token not in str(sent["headers"]) and token not in sent["path"]
    assert {name for name in keys} == {"anthropic" if "anthropic-version" in sent["headers"] else "openai" for sent in provider.seen}


def node_image(state, name="node"):
    """In an image store: the probes' image with node and the SDKs in it (`node /sdk/sdk.mjs`); its digest."""
    from container_parts import SANDBOX, import_image

    installed()
    layout = SANDBOX / "node-image"
    made_of = [ROOT / "tests/sandbox/node-image", SCRIPT, NODE_TESTS / "node_modules/.installed-for", SANDBOX / "image/index.json"]
    if not (layout / "index.json").exists() or (layout / "index.json").stat().st_mtime < max(path.stat().st_mtime for path in made_of):
        subprocess.run([ROOT / "tests/sandbox/node-image", SANDBOX / "image", layout], check=True, capture_output=True, timeout=300)
        (layout / "index.json").touch()
    return import_image(state, name, layout)
