// Which products need attention, and how much.
import type { Tone } from '../../components/layout';
import { daysUntil } from '../../format';
import type { Forecast, Product } from '../../model';

export interface Concern {
  kind: 'suspended' | 'accountSuspended' | 'exhausted' | 'onGifts' | 'runsOut' | 'low' | 'denials';
  tone: Tone;
  /** The larger, the sooner somebody should look. */
  weight: number;
}

interface Facts {
  product: Product;
  forecast?: Forecast;
  denied?: number;
  isOfSuspended: boolean;
  /** Of its account: it draws on them when its own licences are used up (R5). */
  giftsLeft: number;
}

const soonDays = 30; // time enough to buy licences
const lowShare = 0.1;

export function concerns({ product, forecast, denied, isOfSuspended, giftsLeft }: Facts): Concern[] {
  const list: Concern[] = [];
  const { total, available } = product.licenses;
  const days = forecast?.runs_dry_at ? daysUntil(forecast.runs_dry_at) : Infinity;
  if (product.suspended) list.push({ kind: 'suspended', tone: 'bad', weight: 900 });
  else if (isOfSuspended) list.push({ kind: 'accountSuspended', tone: 'bad', weight: 900 });
  if (available === 0 && giftsLeft > 0) list.push({ kind: 'onGifts', tone: 'warn', weight: 600 });
  else if (available === 0) list.push({ kind: 'exhausted', tone: 'bad', weight: 1000 });
  else if (days < soonDays) list.push({ kind: 'runsOut', tone: days < 7 ? 'bad' : 'warn', weight: 800 - days });
  else if (available < lowShare * total) {
    list.push({ kind: 'low', tone: 'warn', weight: 500 - (50 * available) / (lowShare * total) });
  }
  // A denial is what was sold: many of them are worth a look, none is an alarm.
  if (denied) list.push({ kind: 'denials', tone: 'warn', weight: Math.min(400, 100 + Math.log10(denied) * 50) });
  return list;
}

/** The worst concern decides, then the others. */
export function urgency(list: readonly Concern[]): number {
  return Math.max(0, ...list.map((one) => one.weight)) + list.length / 100;
}
