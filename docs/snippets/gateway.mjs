// A gateway in Node.js 18 or later, without packages: it asks meterd whether a device may connect and whether each of
// its messages may pass.
//
//   node docs/snippets/gateway.mjs PRODUCT DEVICE MESSAGES

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const tries = 8; // With the pauses between them about a minute: longer than a restart of meterd.

class Meterd {
  /** producer is this gateway's own name: no other process may use it. */
  static async open(url, token, producer) {
    const m = new Meterd();
    Object.assign(m, { url, headers: { authorization: `Bearer ${token}`, 'meterd-producer': producer } });
    const response = await fetch(`${url}/v1/producers/${producer}`, { headers: m.headers });
    const known = await response.json();
    if (!response.ok && response.status !== 404) throw new Error(JSON.stringify(known)); // 404: a new name.
    // Sequences go on above the last one. The gap is for what a killed predecessor may still have on its way.
    m.sequence = (known.last_sequence ?? 0) + 1000;
    return m;
  }

  /**
   * Asks about events, in order. Resolves to null for each that may pass, or to its denial; rejects if meterd did not
   * answer or refused the request as a whole: let nothing pass then.
   */
  async decide(events) {
    const sequence = ++this.sequence;
    const headers = { ...this.headers, 'content-type': 'application/json', 'meterd-sequence': String(sequence) };
    const answer = await this.#post({ method: 'POST', headers, body: JSON.stringify(events) }, sequence);
    const verdicts = events.map(() => null);
    for (const denial of answer.denied) verdicts[denial.index] = denial;
    return verdicts;
  }

  /**
   * Without an answer nobody knows what was counted. The same bytes with the same sequence are sent again until there
   * is one: they count once, however often they come.
   */
  async #post(request, sequence) {
    for (let attempt = 0; attempt < tries; attempt++) {
      let pause = Math.min(0.1 * 2 ** attempt, 15) * (0.5 + Math.random() / 2);
      let response, answer;
      try {
        response = await fetch(`${this.url}/v1/events`, { ...request, signal: AbortSignal.timeout(10_000) });
        answer = await response.json();
      } catch {
        // No connection, one that broke, or half an answer.
      }
      if (answer && response.ok) return answer;
      // Below 500 nothing was counted, and asking again does not help.
      if (answer && response.status < 500) throw new Error(JSON.stringify(answer));
      pause = Math.max(pause, Number(response?.headers.get('retry-after') ?? 0));
      await sleep(pause * 1000);
    }
    throw new Error(`no answer to sequence ${sequence}`);
  }
}

const [product, device, messages] = process.argv.slice(2);
const token = readFileSync(process.env.METERD_TOKEN_FILE ?? 'data/admin.token', 'utf8').trim();
const url = process.env.METERD_URL ?? 'http://127.0.0.1:8480';
const meterd = await Meterd.open(url, token, process.env.METERD_PRODUCER ?? 'gw-node');

const ask = async (type) => {
  const [denial] = await meterd.decide([{ type, product, device, size: 7 }]);
  return denial?.code ?? 'accepted';
};

const verdict = await ask('connect');
console.log(`connect: ${verdict}`);
if (verdict !== 'accepted') process.exit(1); // Close the device's connection.
for (let n = 1; n <= Number(messages); n++) {
  console.log(`up ${n}: ${await ask('up')}`); // Hand an accepted message to the platform; drop a denied one.
}
await ask('disconnect');
