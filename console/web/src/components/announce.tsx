import { useEffect } from 'preact/hooks';
import { store, useStore } from '../store';

const shownMs = 6000;

const said = store<{ text: string } | null>(null);

/** Says what was done, to eyes and to screen readers: "The device is suspended." */
export function announce(text: string): void {
  said.set({ text });
}

/** Where it is said; it is there before something is, or a screen reader would not hear it. */
export function Announcer() {
  const now = useStore(said);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => said.set(null), shownMs);
    return () => clearTimeout(timer);
  }, [now]);
  return <div class="announcement" role="status" aria-live="polite">{now && <p>{now.text}</p>}</div>;
}
