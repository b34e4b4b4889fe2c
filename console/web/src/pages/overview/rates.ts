import { useEffect, useRef, useState } from 'preact/hooks';
import { useLoad } from '../../load';
import { type Labels, type Metrics, metrics, query } from '../../prom';
import { may, session } from '../../session';
import { useStore } from '../../store';

/** What happens a second. */
export interface Rates {
  events?: number;
  denied?: number;
  /** Why events are refused now. */
  stopped: string[];
  /** Counted between two looks at the daemon; else the mean of a minute, from the history. */
  isLive: boolean;
}

const liveMs = 2000;
const historyMs = 15_000;

/**
 * From the daemon's own counters where the token may read them: these are of all accounts. A bound token sees what
 * the usage history has of its account's messages.
 */
export function useRates(): Rates {
  const { who } = useStore(session);
  const isLive = may(who, 'daemon');
  const live = useLoad(metrics, [], { everyMs: liveMs, skip: !isLive });
  const before = useRef<Metrics>(undefined);
  const [rates, setRates] = useState<Rates>({ stopped: [], isLive });

  useEffect(() => {
    const now = live.data;
    if (!now || now === before.current) return;
    const last = before.current;
    before.current = now;
    const isDenied = (labels: Labels) => labels['verdict'] !== 'accepted';
    setRates({
      events: last && now.rateSince(last, 'meterd_events_total'),
      denied: last && now.rateSince(last, 'meterd_events_total', isDenied),
      stopped: now.all('meterd_ingest_stopped').filter((s) => s.value > 0).map((s) => s.labels['reason'] ?? ''),
      isLive: true,
    });
  }, [live.data]);

  const old = useLoad(async (signal) => {
    const [all, denied] = await Promise.all([
      query('sum(rate(meterd_messages_total[1m]))', signal),
      query('sum(rate(meterd_messages_total{verdict!="accepted"}[1m]))', signal),
    ]);
    return { events: all[0]?.value ?? 0, denied: denied[0]?.value ?? 0 };
  }, [], { everyMs: historyMs, skip: isLive });

  if (live.error !== undefined) return { stopped: [], isLive };
  return isLive ? rates : { ...old.data, stopped: [], isLive };
}
