// Why an event was denied, in words.
import type { Locale } from './locale';

/** What a denial says of itself; a LogEntry has these members. */
export interface DenialFacts {
  code: string;
  limit?: number;
  used?: number;
  resets_at?: string;
}

/** A few words, for a cell: "Daily messages used up". */
export function denialTitle(code: string, { t }: Locale): string {
  return t.denials.title[code] ?? t.denials.other(code);
}

/** Whole sentences: what happened, the numbers, when it ends, in the zone of the product. */
export function explainDenial(facts: DenialFacts, { t, f }: Locale, zone?: string): string {
  const parts = [t.denials.explained[facts.code] ?? t.denials.other(facts.code)];
  if (facts.limit !== undefined && facts.used !== undefined) {
    const tell = facts.code === 'ota_quota_exceeded' ? t.denials.otaQuota : t.denials.quota;
    parts.push(tell(f.int(facts.used), f.int(facts.limit)));
  }
  if (facts.resets_at) parts.push(t.denials.resets(f.dateTime(facts.resets_at, zone)));
  return parts.join(f.language === 'en' ? ' ' : '');
}

/** What to tell a person about an error of a call. */
export function explainError(error: unknown, { t }: Locale): string {
  const problem = error as { code?: string; status?: number; message?: string };
  switch (problem.code) {
    case 'unreachable':
      return t.shell.unreachable;
    case 'forbidden':
      return t.shell.forbidden;
  }
  const known = problem.code && t.shell.problems[problem.code];
  if (known) return known;
  const detail = problem.message ?? String(error);
  return problem.status === 503 ? `${t.shell.overloaded} (${detail})` : detail;
}
