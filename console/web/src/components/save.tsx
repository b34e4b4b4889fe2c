import { useState } from 'preact/hooks';
import { download } from '../calls';
import { explainError } from '../denial';
import { useLocale } from '../locale';
import { announce } from './announce';

interface SaveProps {
  /** What of the API it saves, with its parameters. */
  at: string;
  /** The button's text: what is saved. */
  text: string;
  /** For those who do not see what the button stands beside. */
  label?: string;
  class?: string;
}

/** Has the browser save a file of the API. */
export function Save({ at, text, label, ...button }: SaveProps) {
  const locale = useLocale();
  const [error, setError] = useState<unknown>();
  const [isWorking, setWorking] = useState(false);
  const save = async () => {
    setError(undefined);
    setWorking(true);
    try {
      await download(at);
      announce(locale.t.shell.saving);
    } catch (failed) {
      setError(failed);
    }
    setWorking(false);
  };
  return (
    <>
      <button type="button" class={button.class} aria-label={label} disabled={isWorking} onClick={save}>{text}</button>
      {error !== undefined && <span class="field-error" role="alert">{explainError(error, locale)}</span>}
    </>
  );
}
