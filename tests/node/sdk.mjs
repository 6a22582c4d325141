// The providers' own SDKs, told nothing but the environment: OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY. What each step came to
// is one line of JSON on standard output, for who started this (on a host or in a container). Names on the command line: these steps only.
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const openai = new OpenAI();
const anthropic = new Anthropic();
const asked = { model: 'small', messages: [{ role: 'user', content: 'Say hello' }] };
const asked8 = { ...asked, max_tokens: 8 };

const errorOf = async (call) => {
  try {
    await call();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, type: error.type ?? null, code: error.code ?? error.error?.error?.code ?? null,
      text: error.message };
  }
  return null;
};

// how many events came before it was given up after three, and whether the stream says so
async function given(up, stream) {
  let events = 0;
  try {
    for await (const _ of stream) if (++events === 3) up();
  } catch (error) {
    return { events, error: error.constructor.name };
  }
  return { events, error: null };
}

const steps = {
  async openai_models() {
    const ids = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    return { ids };
  },
  async openai_chat() {
    const { choices, usage } = await openai.chat.completions.create(asked);
    return { text: choices[0].message.content, usage };
  },
  async openai_chat_stream() {
    const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    let text = '', chunks = 0, usage = null;
    for await (const chunk of stream) {
      chunks++;
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    return { text, chunks, usage };
  },
  async openai_responses() {
    const { output_text: text, usage } = await openai.responses.create({ model: 'small', input: 'Say hello' });
    return { text, usage };
  },
  async openai_responses_stream() {
    const stream = await openai.responses.create({ model: 'small', input: 'Say hello', stream: true });
    const types = [];
    let text = '', usage = null;
    for await (const event of stream) {
      types.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.completed') usage = event.response.usage;
    }
    return { text, types, usage };
  },
  async openai_upload() {
    const file = new File([new Uint8Array(3 << 20).fill(120)], 'voice.wav');
    const { text } = await openai.audio.transcriptions.create({ model: 'small', file });
    return { text };
  },
  openai_error: () => errorOf(() => openai.chat.completions.create({ ...asked, model: 'absent' })),
  openai_not_offered: () => errorOf(() => openai.files.list()),
  openai_wrong_key: () => errorOf(() => new OpenAI({ apiKey: 'sk-mine' }).models.list()),
  async openai_abort() {
    const stream = await openai.chat.completions.create({ ...asked, model: 'endless', stream: true });
    return given(() => stream.controller.abort(), stream);
  },

  async anthropic_models() {
    const ids = [];
    for await (const model of anthropic.models.list()) ids.push(model.id);
    return { ids };
  },
  async anthropic_message() {
    const { content, stop_reason, usage } = await anthropic.messages.create(asked8);
    return { text: content[0].text, stop_reason, usage };
  },
  async anthropic_stream() {
    const types = [];
    const stream = anthropic.messages.stream(asked8).on('streamEvent', (event) => types.push(event.type));
    const { content, stop_reason, usage } = await stream.finalMessage();
    return { text: content[0].text, stop_reason, types, usage };
  },
  anthropic_error: () => errorOf(() => anthropic.messages.create({ ...asked8, model: 'absent' })),
  anthropic_error_in_stream: () => errorOf(async () => {
    for await (const _ of await anthropic.messages.create({ ...asked8, model: 'overloaded', stream: true }));
  }),
  anthropic_not_offered: () => errorOf(() => anthropic.get('/v1/files')),
  anthropic_wrong_key: () => errorOf(() => new Anthropic({ apiKey: 'sk-mine' }).messages.create(asked8)),
  async anthropic_abort() {
    const stream = await anthropic.messages.create({ ...asked8, model: 'endless', stream: true });
    return given(() => stream.controller.abort(), stream);
  },
};

const wanted = process.argv.slice(2);
for (const name of wanted.length ? wanted : Object.keys(steps)) {
  let result;
  try {
    result = await steps[name]();
  } catch (error) {
    result = { failed: String(error) };
  }
  console.log(JSON.stringify({ step: name, result }));
}
