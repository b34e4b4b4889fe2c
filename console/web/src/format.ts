// Numbers, times and amounts as a language writes them. useLocale gives one to a component.

export type Language = 'en' | 'zh-CN';

const sizes = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'];
const secondsOf = { day: 86_400, hour: 3600, minute: 60, second: 1 };

export class Format {
  readonly language: Language;
  private readonly plain: Intl.NumberFormat;
  private readonly short: Intl.NumberFormat;
  private readonly relative: Intl.RelativeTimeFormat;
  private readonly made = new Map<string, Intl.DateTimeFormat>();

  constructor(language: Language) {
    this.language = language;
    this.plain = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
    this.short = new Intl.NumberFormat(language, { notation: 'compact', maximumFractionDigits: 1 });
    this.relative = new Intl.RelativeTimeFormat(language, { numeric: 'always' });
  }

  /** 12,345 */
  int(n: number): string {
    return this.plain.format(n);
  }

  /** 12.3K, 1.2万: for axes and where room is short. */
  compact(n: number): string {
    return Math.abs(n) < 10_000 ? this.decimal(n) : this.short.format(n);
  }

  /** 12,345 · 12.3 · 0.12: as many figures as say something. */
  decimal(n: number): string {
    const size = Math.abs(n);
    const digits = Number.isInteger(n) || size >= 100 ? 0 : size >= 10 ? 1 : 2;
    return n.toLocaleString(this.language, { maximumFractionDigits: digits });
  }

  /** A tick of an axis whose ticks are step apart: 0.005, 0.01. */
  tick(n: number, step: number): string {
    if (step >= 1) return this.compact(n);
    const digits = Math.min(6, Math.ceil(-Math.log10(step)));
    return n.toLocaleString(this.language, { maximumFractionDigits: digits });
  }

  /** Of a share, 0 to 1. */
  percent(share: number): string {
    const digits = share > 0 && share < 0.1 ? 1 : 0;
    return share.toLocaleString(this.language, { style: 'percent', maximumFractionDigits: digits });
  }

  /** 5 MB, of 1024 each: as plans count. */
  bytes(n: number): string {
    let i = 0;
    while (Math.abs(n) >= 1024 && i < sizes.length - 1) {
      n /= 1024;
      i++;
    }
    return n.toLocaleString(this.language, {
      style: 'unit', unit: sizes[i], unitDisplay: i === 0 ? 'long' : 'short', maximumFractionDigits: n < 10 ? 1 : 0,
    });
  }

  /** 3 Nov 2026; zone is a product's time zone, the browser's if it is left out. */
  date(at: string | Date, zone?: string): string {
    return this.at(at, { year: 'numeric', month: 'short', day: 'numeric' }, zone);
  }

  /** 14:05:09 */
  time(at: string | Date, zone?: string): string {
    return this.at(at, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }, zone);
  }

  /** 3 Nov 2026, 14:05:09 */
  dateTime(at: string | Date, zone?: string): string {
    return `${this.date(at, zone)} ${this.time(at, zone)}`;
  }

  /** 3 Nov 14:05:09: for lists of what happened lately. */
  stamp(at: string | Date, zone?: string): string {
    return `${this.at(at, { month: 'short', day: 'numeric' }, zone)} ${this.time(at, zone)}`;
  }

  /** A day that the API names, YYYY-MM-DD: 3 Nov */
  day(day: string): string {
    return this.at(`${day}T00:00:00Z`, { month: 'short', day: 'numeric' }, 'UTC');
  }

  /** A month that the API names, YYYY-MM: November 2026 */
  month(month: string): string {
    return this.at(`${month}-01T00:00:00Z`, { year: 'numeric', month: 'long' }, 'UTC');
  }

  /** Nov 2026 */
  monthShort(month: string): string {
    return this.at(`${month}-01T00:00:00Z`, { year: 'numeric', month: 'short' }, 'UTC');
  }

  private at(at: string | Date, options: Intl.DateTimeFormatOptions, zone?: string): string {
    const key = JSON.stringify([options, zone]);
    let format = this.made.get(key);
    if (!format) {
      try {
        format = new Intl.DateTimeFormat(this.language, { ...options, timeZone: zone });
      } catch {
        format = new Intl.DateTimeFormat(this.language, options); // A zone that this browser does not know.
      }
      this.made.set(key, format);
    }
    const date = typeof at === 'string' ? new Date(at) : at;
    return Number.isNaN(date.getTime()) ? String(at) : format.format(date);
  }

  /** "in 3 days", "5 minutes ago" */
  ago(at: string | Date, nowMs = Date.now()): string {
    const seconds = (new Date(at).getTime() - nowMs) / 1000;
    const [unit, one] = largest(seconds);
    return this.relative.format(Math.trunc(seconds / one), unit);
  }

  /** A length of time: "3 days", "5 ms" */
  duration(seconds: number): string {
    if (seconds !== 0 && Math.abs(seconds) < 1) {
      const ms = seconds * 1000;
      return ms < 1 ? `${this.decimal(ms * 1000)} µs` : `${this.decimal(ms)} ms`;
    }
    const [unit, one] = largest(seconds);
    return this.unit(Math.trunc(seconds / one), unit);
  }

  /** An ISO 8601 period in words: P5Y is "5 years". */
  period(iso: string): string {
    const match = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(iso);
    if (!match) return iso;
    const units = ['year', 'month', 'week', 'day', 'hour', 'minute', 'second'];
    const parts = units.flatMap((unit, i) => {
      const n = Number(match[i + 1] ?? 0);
      return n ? [this.unit(n, unit)] : [];
    });
    return parts.join(' ') || iso;
  }

  private unit(n: number, unit: string): string {
    return n.toLocaleString(this.language, { style: 'unit', unit, unitDisplay: 'long' });
  }
}

function largest(seconds: number): [keyof typeof secondsOf, number] {
  const size = Math.abs(seconds);
  const unit = size >= 2 * 86_400 ? 'day' : size >= 2 * 3600 ? 'hour' : size >= 2 * 60 ? 'minute' : 'second';
  return [unit, secondsOf[unit]];
}

/** How many whole days lie before a moment; negative if it is past. */
export function daysUntil(at: string, nowMs = Date.now()): number {
  return Math.floor((new Date(at).getTime() - nowMs) / 86_400_000);
}
