// What a part of a page shows before it has data, when there is none, and when asking failed.
import type { ComponentChildren } from 'preact';
import { explainError } from '../denial';
import type { Load } from '../load';
import { useLocale } from '../locale';

export function Loading() {
  const { t } = useLocale();
  return <p class="state" role="status">{t.shell.loading}</p>;
}

export function Empty(props: { title?: string; children?: ComponentChildren }) {
  const { t } = useLocale();
  return (
    <div class="state">
      <p class="state-title">{props.title ?? t.shell.emptyTitle}</p>
      {props.children}
    </div>
  );
}

export function Failed(props: { error: unknown; retry?: () => void }) {
  const locale = useLocale();
  return (
    <div class="state state-failed" role="alert">
      <p class="state-title">{locale.t.shell.errorTitle}</p>
      <p>{explainError(props.error, locale)}</p>
      {props.retry && <button type="button" onClick={props.retry}>{locale.t.shell.retry}</button>}
    </div>
  );
}

interface LoadedProps<T> {
  of: Load<T>;
  /** Whether there is nothing to show, and what to say then. */
  isEmpty?: (data: T) => boolean;
  empty?: ComponentChildren;
  children: (data: T) => ComponentChildren;
}

/** Shows what was loaded, or why it is not there. An error of a later try stands over the old data. */
export function Loaded<T>({ of, isEmpty, empty, children }: LoadedProps<T>) {
  if (of.data === undefined) {
    if (of.error !== undefined) return <Failed error={of.error} retry={of.reload} />;
    return <Loading />;
  }
  return (
    <>
      {of.error !== undefined && <Failed error={of.error} retry={of.reload} />}
      {isEmpty?.(of.data) ? (empty ?? <Empty />) : children(of.data)}
    </>
  );
}
