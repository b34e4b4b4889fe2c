// What a new plan changes, and whether each value is higher, as R9 compares them.
import type { Measure } from '../../components/field';
import type { Plan } from '../../model';

export interface PlanChange {
  field: keyof Plan;
  isLower: boolean;
}

const noLimit = 16_000_000; // which is what null means
const period = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/;

/** When a licence ends that begins then, in UTC; undefined if the period is none. A missing day moves on, as in R2. */
export function endOf(validity: string, from: Date): Date | undefined {
  const match = period.exec(validity);
  if (!match || !/\d/.test(validity)) return undefined;
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] =
    match.slice(1).map((text) => Number(text ?? 0));
  const end = new Date(Date.UTC(
    from.getUTCFullYear() + years, from.getUTCMonth() + months, from.getUTCDate() + weeks * 7 + days,
    from.getUTCHours() + hours, from.getUTCMinutes() + minutes, from.getUTCSeconds() + seconds,
  ));
  return Number.isNaN(end.getTime()) ? undefined : end;
}

/** A plan's value as a number: the higher, the more is allowed. */
function rank(plan: Plan, field: keyof Plan): number {
  switch (field) {
    case 'validity':
      return endOf(plan.validity, new Date(Date.UTC(2001, 0, 1)))?.getTime() ?? 0;
    case 'messages_per_day':
      return plan.messages_per_day ?? noLimit;
    case 'message_unit_bytes':
      return plan.message_unit_bytes || Infinity;
    default:
      return plan[field] ?? 0;
  }
}

export const planFields: readonly (keyof Plan)[] = [
  'validity', 'messages_per_day', 'message_unit_bytes', 'ota_per_month', 'ota_unit_bytes', 'log_days',
];

export function planChanges(old: Plan, next: Plan): PlanChange[] {
  return planFields.flatMap((field) => {
    const by = rank(next, field) - rank(old, field);
    // Infinity less itself is no number: neither unit is there.
    return by > 0 || by < 0 ? [{ field, isLower: by < 0 }] : [];
  });
}

/** A period of one unit alone as its number and unit; others have the unit "" and the text itself. */
export function measureOfPeriod(validity: string): Measure {
  const match = /^P(T?)(\d+)([YMWDHS])$/.exec(validity);
  return match ? { amount: match[2]!, unit: match[1]! + match[3]! } : { amount: validity, unit: '' };
}

export function periodOf({ amount, unit }: Measure): string {
  if (!unit) return amount.trim();
  return unit.startsWith('T') ? `PT${amount}${unit.slice(1)}` : `P${amount}${unit}`;
}

const byteUnits = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Bytes in the largest unit in which they are whole. */
export function measureOfBytes(bytes: number): Measure {
  const [unit, size] = Object.entries(byteUnits).filter(([, size]) => bytes % size === 0).at(-1) ?? ['B', 1];
  return { amount: String(bytes / size), unit };
}

/** NaN if the amount is no whole number. */
export function bytesOf({ amount, unit }: Measure): number {
  return /^\d+$/.test(amount.trim()) ? Number(amount) * (byteUnits[unit as keyof typeof byteUnits] ?? NaN) : NaN;
}
