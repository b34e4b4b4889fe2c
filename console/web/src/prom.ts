// The usage history, asked in PromQL, and the daemon's own metrics.
import { get, getText } from './http';

export type Labels = Record<string, string>;

interface Vector {
  data: { result: { metric: Labels; value: [number, string] }[] };
}

interface Matrix {
  data: { result: { metric: Labels; values: [number, string][] }[] };
}

export interface Sample {
  labels: Labels;
  value: number;
}

export interface Series {
  labels: Labels;
  /** One for each of the times that were asked for; null where there is none. */
  values: (number | null)[];
}

export interface Range {
  /** Unix seconds. */
  times: number[];
  series: Series[];
}

export async function query(promql: string, signal?: AbortSignal): Promise<Sample[]> {
  const answer = await get<Vector>('/prometheus/api/v1/query', { query: promql }, signal);
  return answer.data.result.map((one) => ({ labels: one.metric, value: Number(one.value[1]) }));
}

/** Values from from to to, Unix seconds, every step seconds; all series have the same times. */
export async function queryRange(
  promql: string, from: number, to: number, step: number, signal?: AbortSignal,
): Promise<Range> {
  const start = Math.floor(from / step) * step;
  const end = Math.floor(to / step) * step;
  const answer = await get<Matrix>(
    '/prometheus/api/v1/query_range', { query: promql, start, end, step }, signal,
  );
  const times: number[] = [];
  for (let at = start; at <= end; at += step) times.push(at);
  const series = answer.data.result.map((one) => {
    const values: (number | null)[] = times.map(() => null);
    for (const [at, value] of one.values) values[Math.round((at - start) / step)] = Number(value);
    return { labels: one.metric, values };
  });
  return { times, series };
}

/** A label's value inside a PromQL selector. */
export function quoted(value: string): string {
  return JSON.stringify(value);
}

/** What /metrics says at one moment. */
export class Metrics {
  readonly atMs = Date.now();
  private readonly samples = new Map<string, Sample[]>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!match) continue;
      const labels: Labels = {};
      for (const [, name, value] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
        labels[name!] = value!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
      }
      const list = this.samples.get(match[1]!);
      const sample = { labels, value: Number(match[3]) };
      if (list) list.push(sample);
      else this.samples.set(match[1]!, [sample]);
    }
  }

  /** The samples of a name whose labels fit. */
  all(name: string, fits: (labels: Labels) => boolean = () => true): Sample[] {
    return (this.samples.get(name) ?? []).filter((sample) => fits(sample.labels));
  }

  /** Their sum, undefined if there is none. */
  sum(name: string, fits?: (labels: Labels) => boolean): number | undefined {
    const list = this.all(name, fits);
    return list.length ? list.reduce((sum, sample) => sum + sample.value, 0) : undefined;
  }

  /** How much a counter grew a second since an earlier moment; undefined after a restart. */
  rateSince(earlier: Metrics, name: string, fits?: (labels: Labels) => boolean): number | undefined {
    const grown = (this.sum(name, fits) ?? 0) - (earlier.sum(name, fits) ?? 0);
    const seconds = (this.atMs - earlier.atMs) / 1000;
    return grown < 0 || seconds <= 0 ? undefined : grown / seconds;
  }

  /**
   * The quantile q of a histogram's observations, since an earlier moment if there is one: the upper bound of the
   * bucket that it lies in. undefined if nothing was observed.
   */
  quantile(q: number, name: string, earlier?: Metrics): number | undefined {
    const bound = (labels: Labels) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le']));
    const before = new Map(earlier?.all(`${name}_bucket`).map((s) => [s.labels['le'], s.value]));
    const buckets = this.all(`${name}_bucket`)
      .map((s) => ({ le: bound(s.labels), count: s.value - (before.get(s.labels['le']) ?? 0) }))
      .sort((a, b) => a.le - b.le);
    const total = buckets.at(-1)?.count ?? 0;
    return total > 0 ? buckets.find((b) => b.count >= q * total)?.le : undefined;
  }
}

export async function metrics(signal?: AbortSignal): Promise<Metrics> {
  return new Metrics(await getText('/metrics', 'text/plain', undefined, signal));
}
