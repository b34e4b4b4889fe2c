// How the API is asked: the token, problems as errors, pages, streams. calls.ts has the calls.
import { session } from './session';

/** What a query may hold; undefined, null and '' are left out. */
export type Query = Record<string, string | number | boolean | null | undefined>;

/** An answer that is no success, as RFC 9457 has it, or no answer: status 0, code "unreachable". */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly field?: string;
  /** What else the answer said. */
  readonly members: Record<string, unknown>;

  constructor(status: number, members: Record<string, unknown>) {
    const text = (name: string) => (typeof members[name] === 'string' ? members[name] : '');
    super(text('detail') || text('title') || `HTTP ${status}`);
    this.status = status;
    this.code = text('code') || (status === 0 ? 'unreachable' : `http_${status}`);
    this.detail = text('detail');
    this.field = text('field') || undefined;
    this.members = members;
  }
}

/** Whether an error only says that nobody waits any more. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** A path with every value encoded: path`/v1/products/${product}/lots`. */
export function path(parts: TemplateStringsArray, ...values: string[]): string {
  return parts.reduce((all, part, i) => all + encodeURIComponent(values[i - 1] ?? '') + part);
}

export function withQuery(at: string, query?: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${at}?${text}` : at;
}

interface Asked {
  query?: Query;
  body?: unknown;
  accept?: string;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

async function ask(method: string, at: string, asked: Asked): Promise<Response> {
  const token = session.bearer();
  const headers: Record<string, string> = { Accept: asked.accept ?? 'application/json', ...asked.headers };
  if (token) headers['Authorization'] = `Bearer ${token}`;
  if (asked.body !== undefined) headers['Content-Type'] = 'application/json';
  let answer: Response;
  try {
    answer = await fetch(withQuery(at, asked.query), {
      method,
      headers,
      body: asked.body === undefined ? undefined : JSON.stringify(asked.body),
      signal: asked.signal,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, {});
  }
  if (answer.ok) return answer;
  let members: Record<string, unknown> = {};
  try {
    members = await answer.json();
  } catch {
    // A proxy's page, or nothing: the status says enough.
  }
  if (answer.status === 401 && token && session.get().token === token) session.end('refused');
  throw new Problem(answer.status, members);
}

export async function get<T>(at: string, query?: Query, signal?: AbortSignal): Promise<T> {
  const answer = await ask('GET', at, { query, signal });
  return answer.json();
}

export async function getText(at: string, accept: string, query?: Query, signal?: AbortSignal): Promise<string> {
  const answer = await ask('GET', at, { query, accept, signal });
  return answer.text();
}

/** Sends a change; returns what was answered, undefined without a body. */
export async function send<T>(
  method: 'POST' | 'PUT' | 'DELETE', at: string, body?: unknown, signal?: AbortSignal,
): Promise<T> {
  const answer = await ask(method, at, { body, signal });
  return answer.status === 204 ? (undefined as T) : answer.json();
}

/** The lines of a stream, each without its end. */
async function* lines(answer: Response): AsyncGenerator<string> {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    void reader.cancel().catch(() => undefined); // The server stops when nobody reads.
  }
}

/** The values of an NDJSON stream, as they come. Breaking out of the loop ends the request. */
export async function* stream<T>(at: string, query?: Query, signal?: AbortSignal): AsyncGenerator<T> {
  const answer = await ask('GET', at, { query, accept: 'application/x-ndjson', signal });
  for await (const line of lines(answer)) {
    if (line) yield JSON.parse(line) as T;
  }
}

/** The first wait before a lost stream is asked for again, and the longest, in milliseconds. */
const againFirst = 500;
const againMost = 15_000;

/** How a followed stream stands, for people. */
export type FollowState = 'open' | 'lost';

/**
 * The events of a server-sent stream as they come, for ever: a lost connection is asked for again behind the last
 * event. It ends when signal aborts, and throws what the API refuses.
 */
export async function* follow<T>(
  at: string, query: Query, signal: AbortSignal, tell?: (state: FollowState) => void,
): AsyncGenerator<T> {
  let last = '';
  let wait = againFirst;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = last ? { 'Last-Event-ID': last } : {};
      const answer = await ask('GET', at, { query, accept: 'text/event-stream', signal, headers });
      tell?.('open');
      wait = againFirst;
      let data: string[] = [];
      for await (const raw of lines(answer)) {
        const line = raw.replace(/\r$/, '');
        if (line === '') {
          if (data.length) yield JSON.parse(data.join('\n')) as T;
          data = [];
        } else if (line.startsWith('data:')) {
          data.push(line.slice(5).trimStart());
        } else if (line.startsWith('id:')) {
          last = line.slice(3).trim();
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status !== 0 && error.status !== 503) throw error;
    }
    if (signal.aborted) return;
    tell?.('lost');
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(2 * wait, againMost);
  }
}
