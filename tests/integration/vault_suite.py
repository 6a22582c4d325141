"""The whole suite through deploy/run, and an owner's secrets over HTTP."""

import signal

from suite import Suite, Wallet, b58encode, wait_until


class VaultSuite(Suite):
    def __init__(self, **settings):
        super().__init__(**{"MULTICLAW_VAULT_PUTS_PER_MINUTE": 1000000, "MULTICLAW_VAULT_ERASE_EVERY_S": 1, **settings})

    def put(self, token, kind, name, value, delivery=None, **kwargs):
        body = {"value": value, **({"delivery": delivery} if delivery else {})}
        return self.http("PUT", f"/v1/secrets/{kind}/{name}", body, token=token, **kwargs)

    def delete(self, token, kind, name):
        return self.http("DELETE", f"/v1/secrets/{kind}/{name}", token=token)

    def listed(self, token):
        answer = self.http("GET", "/v1/secrets", token=token)
        assert answer.status == 200, answer.body
        return {(s["kind"], s["name"]): s for s in answer.json["secrets"]}

    def keys(self, token):
        answer = self.http("GET", "/v1/llm/keys", token=token)
        assert answer.status == 200, answer.body
        return {p["provider"]: p for p in answer.json["providers"]}

    def trail(self, token):
        entries = []
        while True:
            answer = self.http("GET", f"/v1/audit?after={entries[-1]['seq'] if entries else 0}", token=token)
            assert answer.status == 200, answer.body
            entries += answer.json["entries"]
            if not answer.json["entries"] or entries[-1]["seq"] >= answer.json["head"]["seq"]:
                return entries, answer.json["head"]

    def restart_vault(self, sig=signal.SIGTERM):
        pid = self.kill("secret-vault-1", sig)
        wait_until("it is started again", lambda: self.pid("secret-vault-1") != pid, 10)
        self.wait_vault()

    def wait_vault(self):
        wait_until("the vault answers", lambda: self.http("GET", "/v1/secrets", token="x").status != 503, 20, 0.05)
        self.cli("status", "--wait", "20")

    def hot(self, wallet, token, signer=None, **body):
        """A whole hot wallet creation; the answer."""
        sent = {"recipient": body["recipient"]} if "recipient" in body else {}
        issued = self.http("POST", "/v1/wallet/hot/challenge", sent, token=token)
        if issued.status != 200:
            return issued
        signature = b58encode((signer or wallet).sign(issued.json["message"].encode()))
        return self.http("POST", "/v1/wallet/hot", {"nonce": issued.json["nonce"], "signature": signature, **sent}, token=token)


def new_owner(suite):
    wallet = Wallet()
    wallet.asset = suite.devchain("mint", "--owner", wallet.address, "--collection", suite.collection, "--wait", "confirmed")["asset"]
    wallet.token = token_of(suite, wallet, wallet.asset)
    return wallet


def token_of(suite, wallet, asset):
    def once():
        answer = suite.try_sign_in(wallet, asset)
        assert answer.status in (200, 403, 503), answer.body
        return answer.token

    return wait_until("a sign-in", once, 10, 0.05)
