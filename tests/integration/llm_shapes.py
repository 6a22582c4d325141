"""A provider that speaks as OpenAI and Anthropic do, event by event, for their own SDKs (tests/node/sdk.mjs). What is asked of it is in the model's name:
absent (an error), overloaded (an error within a stream), endless. Its other paths are those of gateway_parts.

Sources: the providers' API references (Chat Completions, Responses, Messages: streaming), as the SDKs of tests/node/package.json read them."""

import json
import time

from gateway_parts import Behaviour

WORDS = ("Hel", "lo", " there")
TEXT = "".join(WORDS)
OPENAI_USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
RESPONSES_USAGE = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 0},
                   "total_tokens": 12}
ANTHROPIC_USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3}
ANTHROPIC_TYPES = ["message_start", "content_block_start", "ping", *["content_block_delta"] * len(WORDS), "content_block_stop", "message_delta", "message_stop"]
RESPONSES_TYPES = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
                   *["response.output_text.delta"] * len(WORDS), "response.output_text.done", "response.content_part.done", "response.output_item.done",
                   "response.completed"]


class Shapes(Behaviour):
    def json(self, body, status=200, **headers):
        self.answer(status, json.dumps(body).encode(), Content_Type="application/json", **headers)

    def event(self, body, named=True):
        name = f"event: {body['type']}\n" if named else ""
        self.chunk(f"{name}data: {json.dumps(body)}\n\n".encode())

    def endlessly(self, send):
        try:
            while True:
                send()
                time.sleep(0.01)
        except OSError:
            self.server.broken.set()

    @property
    def asked(self):
        return json.loads(self.server.seen[-1]["body"] or b"{}")

    # ---- both

    def do_models(self, *rest):
        if "anthropic-version" in self.headers:
            self.json({"data": [{"type": "model", "id": "small", "display_name": "Small", "created_at": "2025-01-01T00:00:00Z"}], "has_more": False,
                       "first_id": "small", "last_id": "small"})
        else:
            self.json({"object": "list", "data": [{"id": "small", "object": "model", "created": 1, "owned_by": "test"}]})

    # ---- OpenAI

    def do_chat(self, *rest):
        asked = self.asked
        if asked["model"] == "absent":
            self.json({"error": {"message": "The model `absent` does not exist", "type": "invalid_request_error", "param": None, "code": "model_not_found"}}, 404)
        elif asked.get("stream"):
            self.stream_chat(asked)
        else:
            self.json({**self.completion("chat.completion"), "usage": OPENAI_USAGE,
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT, "refusal": None}, "logprobs": None, "finish_reason": "stop"}]})

    def completion(self, kind):
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "small", "service_tier": "default", "system_fingerprint": "fp_1"}

    def stream_chat(self, asked):
        def send(delta, finish=None):
            usage = {"usage": None} if "stream_options" in asked else {}
            self.event({**self.completion("chat.completion.chunk"), **usage,
                        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}, named=False)

        self.stream()
        if asked["model"] == "endless":
            return self.endlessly(lambda: send({"content": "x"}))
        send({"role": "assistant", "content": "", "refusal": None})
        for word in WORDS:
            send({"content": word})
        send({}, "stop")
        if asked.get("stream_options", {}).get("include_usage"):
            self.event({**self.completion("chat.completion.chunk"), "choices": [], "usage": OPENAI_USAGE}, named=False)
        self.chunk(b"data: [DONE]\n\n")
        self.end()

    def response(self, status, output=(), usage=None):
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None, "incomplete_details": None, "instructions": None,
                "model": "small", "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage, "metadata": {}}

    def do_responses(self, *rest):
        part = {"type": "output_text", "text": TEXT, "annotations": []}
        item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        if not self.asked.get("stream"):
            return self.json(self.response("completed", [item], RESPONSES_USAGE))
        number = iter(range(1000))

        def send(kind, **more):
            self.event({"type": kind, "sequence_number": next(number), **more})

        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        self.stream()
        send("response.created", response=self.response("in_progress"))
        send("response.in_progress", response=self.response("in_progress"))
        send("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
        send("response.content_part.added", **at, part={**part, "text": ""})
        for word in WORDS:
            send("response.output_text.delta", **at, delta=word)
        send("response.output_text.done", **at, text=TEXT)
        send("response.content_part.done", **at, part=part)
        send("response.output_item.done", output_index=0, item=item)
        send("response.completed", response=self.response("completed", [item], RESPONSES_USAGE))
        self.end()

    def do_audio(self, *rest):
        self.json({"text": f"{self.server.seen[-1]['length']} bytes of {self.headers['content-type'].split(';')[0]}"})

    # ---- Anthropic

    def message(self, content=(), stop=None, usage=None):
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "small", "content": list(content), "stop_reason": stop, "stop_sequence": None,
                "usage": usage or ANTHROPIC_USAGE}

    def do_messages(self, *rest):
        asked = self.asked
        if asked["model"] == "absent":
            self.json({"type": "error", "error": {"type": "not_found_error", "message": "model: absent"}, "request_id": "req_1"}, 404)
        elif asked.get("stream"):
            self.stream_message(asked)
        else:
            self.json(self.message([{"type": "text", "text": TEXT}], "end_turn"), request_id="req_1")

    def stream_message(self, asked):
        self.stream()
        self.event({"type": "message_start", "message": self.message(usage={**ANTHROPIC_USAGE, "output_tokens": 1})})
        self.event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        self.event({"type": "ping"})
        if asked["model"] == "overloaded":
            self.event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
            return self.end()
        if asked["model"] == "endless":
            return self.endlessly(lambda: self.event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}))
        for word in WORDS:
            self.event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
        self.event({"type": "content_block_stop", "index": 0})
        self.event({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}})
        self.event({"type": "message_stop"})
        self.end()
