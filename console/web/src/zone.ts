// Days and clock times of a product's time zone, whatever the browser's is.

const made = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = made.get(zone);
  if (!format) {
    const options: Intl.DateTimeFormatOptions = {
      year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
      hourCycle: 'h23', calendar: 'gregory', numberingSystem: 'latn',
    };
    try {
      format = new Intl.DateTimeFormat('en', { ...options, timeZone: zone });
    } catch {
      format = new Intl.DateTimeFormat('en', options); // A zone that this browser does not know.
    }
    made.set(zone, format);
  }
  return format;
}

/** What the clock on the wall shows, read as if it were UTC: Unix milliseconds. */
function wallMs(atMs: number, zone: string): number {
  const parts: Record<string, number> = {};
  for (const part of formatOf(zone).formatToParts(atMs)) parts[part.type] = Number(part.value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** The calendar day of a moment, YYYY-MM-DD. */
export function dayOf(atMs: number, zone: string): string {
  return new Date(wallMs(atMs, zone)).toISOString().slice(0, 10);
}

/** So many days later, or earlier, by the calendar. */
export function addDays(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** The last so many days up to one, the oldest first. */
export function daysUpTo(day: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => addDays(day, i - count + 1));
}

/** The last so many months, YYYY-MM, up to that of a day. */
export function monthsUpTo(day: string, count: number): string[] {
  const last = Number(day.slice(0, 4)) * 12 + Number(day.slice(5, 7)) - 1;
  return Array.from({ length: count }, (_, i) => {
    const month = last - count + 1 + i;
    return `${Math.floor(month / 12)}-${String((month % 12) + 1).padStart(2, '0')}`;
  });
}

/**
 * The instant at which the wall shows a local time, YYYY-MM-DDTHH:MM; undefined if it is no time. Of a time that a
 * clock change skips or repeats, one of the two that it may be.
 */
export function instantOf(local: string, zone: string): string | undefined {
  const wall = Date.parse(`${local}Z`);
  if (Number.isNaN(wall)) return undefined;
  let at = wall;
  for (let tries = 0; tries < 2; tries++) at += wall - wallMs(at, zone);
  return new Date(at).toISOString();
}

/** Seconds in which whole hours of a zone are whole steps, in this zone: most are whole hours from UTC. */
export function stepOf(zone: string, atMs: number): number {
  const offset = (wallMs(atMs, zone) - Math.floor(atMs / 1000) * 1000) / 1000;
  return offset % 3600 === 0 ? 3600 : 900;
}
