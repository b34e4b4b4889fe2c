// How pages get their data: useLoad for one answer, useList for pages of a list, useFollow for what comes.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Page } from './calls';
import { isAbort, type Query } from './http';

/** The longest wait before something is asked again that could not be answered. */
const lostMs = 30_000;

/** An answer on its way, there, or refused. While it is asked for again, data stays. */
export interface Load<T> {
  data?: T;
  error?: unknown;
  isLoading: boolean;
  reload: () => void;
}

interface LoadOptions {
  /** Ask again so many milliseconds after each answer, while the tab is seen. */
  everyMs?: number;
  /** Not now: nothing is asked. */
  skip?: boolean;
}

/**
 * Asks when the component comes, and again when deps change; what is on its way is aborted when it goes. After other
 * deps the old data is gone: it was about something else.
 */
export function useLoad<T>(
  ask: (signal: AbortSignal) => Promise<T>, deps: readonly unknown[], options: LoadOptions = {},
): Load<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; isLoading: boolean; key: string }>({
    isLoading: !options.skip, key: '',
  });
  const [asked, setAsked] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  const key = JSON.stringify(deps);
  const { everyMs, skip } = options;

  useEffect(() => {
    if (skip) return;
    const abort = new AbortController();
    let timer: number | undefined;
    let failures = 0;
    const run = async () => {
      setState((old) => (old.key === key ? { ...old, isLoading: true } : { isLoading: true, key }));
      try {
        const data = await latest.current(abort.signal);
        if (!abort.signal.aborted) setState({ data, isLoading: false, key });
        failures = 0;
      } catch (error) {
        if (abort.signal.aborted || isAbort(error)) return;
        setState((old) => ({ data: old.data, error, isLoading: false, key }));
        failures++;
      }
      if (everyMs && !abort.signal.aborted) {
        timer = window.setTimeout(tick, failures ? Math.max(everyMs, Math.min(everyMs * 2 ** failures, lostMs)) : everyMs);
      }
    };
    const tick = () => {
      if (document.hidden) timer = window.setTimeout(tick, everyMs);
      else void run();
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, asked, everyMs, skip]);

  const reload = useCallback(() => setAsked((n) => n + 1), []);
  const current = state.key === key || state.key === '' ? state : { isLoading: true };
  return { ...current, reload };
}

/** The time now, Unix milliseconds, looked at again every everyMs: for what counts down. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** A list, a page at a time; only the page that is shown is in memory. */
export interface List<T> extends Load<Page<T>> {
  /** From 1. */
  number: number;
  hasPrevious: boolean;
  hasNext: boolean;
  previous: () => void;
  next: () => void;
}

/** Pages of a list by cursor: ask is given limit and cursor. Other deps begin at the first page. */
export function useList<T>(
  ask: (query: Query, signal: AbortSignal) => Promise<Page<T>>, deps: readonly unknown[],
  options: LoadOptions & { limit?: number } = {},
): List<T> {
  const key = JSON.stringify(deps);
  const [place, setPlace] = useState<{ key: string; cursors: string[] }>({ key, cursors: [] });
  const cursors = place.key === key ? place.cursors : [];
  const cursor = cursors.at(-1) ?? null;
  const limit = options.limit ?? 50;
  const load = useLoad((signal) => ask({ limit, cursor }, signal), [key, cursor, limit], options);
  const following = load.data?.next ?? null;
  return {
    ...load,
    number: cursors.length + 1,
    hasPrevious: cursors.length > 0,
    hasNext: following !== null,
    previous: () => setPlace({ key, cursors: cursors.slice(0, -1) }),
    next: () => following !== null && setPlace({ key, cursors: [...cursors, following] }),
  };
}

/** What comes while the component is there: the newest most values, newest first. */
export interface Follow<T> {
  rows: T[];
  state: 'off' | 'opening' | 'open' | 'lost';
  error?: unknown;
}

/**
 * Follows a stream while isOn. Values that come together are shown together, at most four times a second: a device
 * that sends a thousand messages a second must not stop the page.
 */
export function useFollow<T>(
  ask: (signal: AbortSignal, tell: (state: 'open' | 'lost') => void) => AsyncGenerator<T>, deps: readonly unknown[],
  isOn: boolean, most = 200,
): Follow<T> {
  const [follow, setFollow] = useState<Follow<T>>({ rows: [], state: 'off' });
  const latest = useRef(ask);
  latest.current = ask;

  useEffect(() => {
    if (!isOn) {
      setFollow({ rows: [], state: 'off' });
      return;
    }
    const abort = new AbortController();
    setFollow({ rows: [], state: 'opening' });
    let waiting: T[] = [];
    let timer: number | undefined;
    const show = () => {
      timer = undefined;
      const came = waiting.reverse();
      waiting = [];
      setFollow((old) => ({ ...old, rows: [...came, ...old.rows].slice(0, most) }));
    };
    const run = async () => {
      try {
        const tell = (state: 'open' | 'lost') => setFollow((old) => ({ ...old, state }));
        for await (const value of latest.current(abort.signal, tell)) {
          waiting.push(value);
          if (waiting.length > most) waiting.shift();
          timer ??= window.setTimeout(show, 250);
        }
      } catch (error) {
        if (!abort.signal.aborted) setFollow((old) => ({ ...old, state: 'off', error }));
      }
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [JSON.stringify(deps), isOn, most]);
  return follow;
}
