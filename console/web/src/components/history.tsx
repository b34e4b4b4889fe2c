import type { ComponentChildren } from 'preact';
import { Problem } from '../http';
import type { Load } from '../load';
import { useLocale } from '../locale';
import { Empty, Loaded } from './state';

interface OfHistoryProps<T> {
  of: Load<T>;
  isQuiet: (data: T) => boolean;
  children: (data: T) => ComponentChildren;
}

/** What the usage history has; that it is switched off is no error. */
export function OfHistory<T>({ of, isQuiet, children }: OfHistoryProps<T>) {
  const { t } = useLocale();
  if (of.error instanceof Problem && of.error.status === 404) return <Empty title={t.overview.historyOff} />;
  return <Loaded of={of} isEmpty={isQuiet} empty={<Empty title={t.overview.noTraffic} />}>{children}</Loaded>;
}
