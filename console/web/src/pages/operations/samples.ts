import { useEffect, useRef, useState } from 'preact/hooks';
import { type Load, useLoad } from '../../load';
import { type Labels, type Metrics, metrics } from '../../prom';

const everyMs = 2000;

/** Points that are kept: five minutes of them. */
const pointsMost = 150;

/** Looks at the daemon that a quantile spans: half a minute of them. */
const spanMost = 15;

/** What happened between two looks at the daemon, a second. */
export interface Point {
  /** Unix seconds. */
  at: number;
  events: number | null;
  denied: number | null;
  /** Of a group's write and sync, in seconds, over the last half minute. */
  commitHalf: number | null;
  commitMost: number | null;
}

export interface Samples {
  /** What the daemon says now. */
  load: Load<Metrics>;
  /** Since the page is open. */
  points: Point[];
  groups?: number;
  rowsOfGroup?: number;
  gateMost?: number;
}

const isDenied = (labels: Labels) => labels['verdict'] !== 'accepted';

/** Looks at the daemon's own counters again and again, and works out how fast they grow. */
export function useSamples(): Samples {
  const load = useLoad(metrics, [], { everyMs });
  const looks = useRef<Metrics[]>([]);
  const [samples, setSamples] = useState<Omit<Samples, 'load'>>({ points: [] });

  useEffect(() => {
    const now = load.data;
    const last = looks.current.at(-1);
    if (!now || now === last) return;
    const isAgain = !!last && now.rateSince(last, 'meterd_groups_total') === undefined; // The daemon was started again.
    const earlier = isAgain ? undefined : looks.current[0];
    looks.current = isAgain ? [now] : [...looks.current, now].slice(-spanMost);
    const rate = (name: string, fits?: (labels: Labels) => boolean) =>
      (last && !isAgain ? now.rateSince(last, name, fits) : undefined);
    const quantile = (q: number, name: string) => (earlier ? now.quantile(q, name, earlier) : undefined);
    const finite = (n: number | undefined) => (n !== undefined && Number.isFinite(n) ? n : null);
    const commit = 'meterd_commit_duration_seconds';
    const grown = (name: string) => (earlier ? (now.sum(name) ?? 0) - (earlier.sum(name) ?? 0) : 0);
    const groups = grown('meterd_groups_total');
    const point: Point = {
      at: Math.round(now.atMs / 1000),
      events: rate('meterd_events_total') ?? null,
      denied: rate('meterd_events_total', isDenied) ?? null,
      commitHalf: finite(quantile(0.5, commit)),
      commitMost: finite(quantile(0.99, commit)),
    };
    setSamples((old) => ({
      points: [...old.points, point].slice(-pointsMost),
      groups: rate('meterd_groups_total'),
      rowsOfGroup: groups > 0 ? grown('meterd_log_rows_total') / groups : undefined,
      gateMost: quantile(0.99, 'meterd_gate_closed_duration_seconds'),
    }));
  }, [load.data]);

  return { load, ...samples };
}
