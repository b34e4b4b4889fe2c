import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { explainError } from '../denial';
import { useLocale } from '../locale';

interface DialogProps {
  title: string;
  /** Called when it closes, however it does. */
  close: () => void;
  /** For what does not fit into a few words. */
  isWide?: boolean;
  children: ComponentChildren;
}

/** A dialog over the page while it is rendered: render it when it is wanted. Escape closes it; the focus goes back. */
export function Dialog({ title, close, isWide, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  const isGone = useRef(false);
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      isGone.current = true; // Its event comes later, when another dialog may have taken its place.
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={element} class={isWide ? 'wide-dialog' : undefined} aria-labelledby={id} onClose={() => isGone.current || close()}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  /** What will happen, in sentences; may hold fields. */
  children: ComponentChildren;
  /** The name of what is done: "Suspend the device", not "OK". */
  action: string;
  isDanger?: boolean;
  isDisabled?: boolean;
  /** Does it. What it throws is shown, and the dialog stays. */
  act: () => Promise<unknown>;
  /** Closes the dialog; isDone if it was done. */
  close: (isDone: boolean) => void;
}

/** Asks before something is done. */
export function Confirm({ title, children, action, isDanger, isDisabled, act, close }: ConfirmProps) {
  const locale = useLocale();
  const [isWorking, setWorking] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = async (event: Event) => {
    event.preventDefault();
    if (isWorking || isDisabled) return;
    setWorking(true);
    setError(undefined);
    try {
      await act();
      close(true);
    } catch (failed) {
      setError(failed);
      setWorking(false);
    }
  };
  return (
    <Dialog title={title} close={() => close(false)}>
      <form onSubmit={run}>
        <div class="dialog-body">{children}</div>
        {error !== undefined && <p class="form-error" role="alert">{explainError(error, locale)}</p>}
        <div class="dialog-actions">
          <button type="button" onClick={() => close(false)}>{locale.t.shell.cancel}</button>
          <button type="submit" class={isDanger ? 'danger' : 'primary'} disabled={isWorking || isDisabled}>
            {isWorking ? locale.t.shell.working : action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
