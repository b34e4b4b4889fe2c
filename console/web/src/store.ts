import { useEffect, useState } from 'preact/hooks';

/** A value that components follow with useStore. */
export interface Store<T> {
  get(): T;
  set(value: T): void;
  subscribe(heard: () => void): () => void;
}

export function store<T>(value: T): Store<T> {
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(value, next)) return;
      value = next;
      for (const heard of [...listeners]) heard();
    },
    subscribe(heard) {
      listeners.add(heard);
      return () => listeners.delete(heard);
    },
  };
}

/** The store's value; the component is rendered again when it changes. */
export function useStore<T>(from: Store<T>): T {
  const [value, setValue] = useState(from.get());
  useEffect(() => {
    const heard = () => setValue(() => from.get());
    heard(); // It may have changed since the first rendering.
    return from.subscribe(heard);
  }, [from]);
  return value;
}
