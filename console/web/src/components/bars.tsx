import { useRef, useState } from 'preact/hooks';
import { useLocale } from '../locale';
import { AsTable, type SeriesTone } from './chart';
import { useWidth } from './width';

export interface BarsSeries {
  label: string;
  /** One for each bar. */
  values: readonly number[];
  tone: SeriesTone;
}

interface BarsProps {
  /** What the bars show, for those who do not see them. */
  label: string;
  /** Under the bars: days, hours. */
  names: readonly string[];
  /** On top of each other, the first one below. */
  series: readonly BarsSeries[];
  /** What the names are: "Day". */
  nameTitle: string;
  /** A line across: a limit. */
  limit?: number | null;
  format?: (n: number) => string;
  height?: number;
  /** Say no sum in the legend: the bars count the same things again. */
  hasNoSum?: boolean;
}

const left = 56;
const below = 24;
const above = 8;

/** How wide a name under a bar is, about, in px: Chinese characters are twice as wide. */
function widthOf(name: string): number {
  return [...name].reduce((sum, c) => sum + (c > '\u2e7f' ? 12 : 7), 10);
}

/** The next of 1, 2, 4, 6, 8, 10, 20 … at or above n: its half is a whole number too. */
function roundUp(n: number): number {
  const power = 10 ** Math.floor(Math.log10(n));
  return power * ([1, 2, 4, 6, 8, 10].find((step) => step * power >= n) ?? 10);
}

/** Stacked bars: one for each day, hour or month. The legend shows the bar under the pointer, else the sums. */
export function Bars({ label, names, series, nameTitle, limit, format, height = 180, hasNoSum }: BarsProps) {
  const { f } = useLocale();
  const room = useRef<HTMLDivElement>(null);
  const width = useWidth(room);
  const [hovered, setHovered] = useState<number | null>(null);

  const write = format ?? ((n: number) => f.compact(n));
  const sums = names.map((_, i) => series.reduce((sum, one) => sum + Math.max(one.values[i] ?? 0, 0), 0));
  const most = roundUp(Math.max(1, limit ?? 0, ...sums));
  const inner = Math.max(width - left, 0);
  const step = names.length ? inner / names.length : inner;
  const scale = (height - below - above) / most;
  const y = (n: number) => height - below - n * scale;
  const each = Math.max(1, Math.ceil(Math.max(...names.map(widthOf), 0) / Math.max(step, 1)));
  const said = (one: BarsSeries) => {
    if (hovered !== null) return write(one.values[hovered] ?? 0);
    return hasNoSum ? '' : write(one.values.reduce((sum, n) => sum + n, 0));
  };

  const bars = (i: number) => {
    let under = 0;
    return series.map((one) => {
      const value = Math.max(one.values[i] ?? 0, 0);
      const tall = value * scale;
      const top = y(under + value);
      under += value;
      return value > 0 && (
        <rect
          key={one.label} class={`series-${one.tone}`} x={left + i * step + step * 0.15} width={step * 0.7}
          y={Math.min(top, height - below - 1)} height={Math.max(tall, 1)}
        />
      );
    });
  };

  return (
    <figure class="chart">
      <figcaption class="legend">
        {series.map((one) => (
          <span key={one.label} class={`legend-item series-${one.tone}`}>
            {one.label} <b class="number">{said(one)}</b>
          </span>
        ))}
        <span class="legend-time">{hovered !== null && names[hovered]}</span>
      </figcaption>
      <div ref={room} class="chart-room">
        {width > 0 && (
          <svg
            width={width} height={height} role="img" aria-label={label} class="bars"
            onPointerLeave={() => setHovered(null)}
          >
            {(most > 1 ? [0, 0.5, 1] : [0, 1]).map((share) => (
              <g key={share}>
                <line class="bars-grid" x1={left} x2={width} y1={y(share * most)} y2={y(share * most)} />
                <text class="bars-text" x={left - 8} y={y(share * most) + 4} text-anchor="end">{write(share * most)}</text>
              </g>
            ))}
            {names.map((name, i) => (
              <g key={name} onPointerEnter={() => setHovered(i)} class={hovered === i ? 'bars-one hovered' : 'bars-one'}>
                <rect class="bars-hit" x={left + i * step} width={step} y={0} height={height - below} />
                {bars(i)}
                {i % each === 0 && (
                  <text class="bars-text" x={left + (i + 0.5) * step} y={height - 6} text-anchor="middle">{name}</text>
                )}
              </g>
            ))}
            {limit != null && <line class="bars-limit" x1={left} x2={width} y1={y(limit)} y2={y(limit)} />}
          </svg>
        )}
      </div>
      <AsTable
        caption={label}
        head={[nameTitle, ...series.map((one) => one.label)]}
        rows={() => names.map((name, i) => [name, ...series.map((one) => write(one.values[i] ?? 0))])}
      />
    </figure>
  );
}
