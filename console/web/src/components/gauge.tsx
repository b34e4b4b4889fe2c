import { useLocale } from '../locale';
import type { Tone } from './layout';

interface GaugeProps {
  label: string;
  used: number;
  /** null: no limit. */
  limit: number | null;
  /** Instead of "12 of 100". */
  text?: string;
  note?: string;
  /** From which share on it warns; 0.8. */
  warnAt?: number;
  /** Instead of what the share says. */
  tone?: Tone;
}

/** How much of a limit is used, as a bar and as text. */
export function Gauge({ label, used, limit, text, note, warnAt = 0.8, tone: given }: GaugeProps) {
  const { t, f } = useLocale();
  const share = limit === null ? 0 : limit > 0 ? used / limit : used > 0 ? 1 : 0;
  const tone: Tone = given ?? (limit === null ? 'plain' : share >= 1 ? 'bad' : share >= warnAt ? 'warn' : 'ok');
  const said = text ?? (limit === null ? t.shell.noLimit(f.int(used)) : t.shell.ofLimit(f.int(used), f.int(limit)));
  return (
    <div class={`gauge tone-${tone}`}>
      <div class="gauge-text">
        <span>{label}</span>
        <span class="number">{said}</span>
      </div>
      <svg
        class="gauge-bar" viewBox="0 0 100 1" preserveAspectRatio="none" role="meter" aria-label={label}
        aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(Math.min(share, 1) * 100)} aria-valuetext={said}
      >
        <rect class="gauge-rest" width="100" height="1" />
        <rect class="gauge-used" width={Math.min(share, 1) * 100} height="1" />
      </svg>
      {note && <p class="gauge-note">{note}</p>}
    </div>
  );
}
