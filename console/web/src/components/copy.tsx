import { useEffect, useState } from 'preact/hooks';
import { useLocale } from '../locale';

/** Puts a text on the clipboard. Without HTTPS browsers have none, but on this machine itself: then it is not there. */
export function Copy({ text, of }: { text: string; of: string }) {
  const { t } = useLocale();
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return;
    const timer = setTimeout(() => setDone(false), 2000);
    return () => clearTimeout(timer);
  }, [isDone]);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setDone(true), () => undefined);
  return (
    <button type="button" class="quiet" aria-label={isDone ? undefined : `${t.shell.copy}: ${of}`} onClick={copy}>
      {isDone ? t.shell.copied : t.shell.copy}
    </button>
  );
}
