import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { useLocale } from '../locale';
import { theme } from '../settings';
import { useStore } from '../store';
import { Table } from './table';
import { useWidth } from './width';

export type SeriesTone = 'accent' | 'bad' | 'ok' | 'warn' | 'quiet';

export interface ChartSeries {
  label: string;
  /** One for each time; null where there is none. */
  values: readonly (number | null)[];
  tone: SeriesTone;
  /** Fill what is below the line. */
  isArea?: boolean;
}

interface ChartProps {
  /** What the chart shows, for those who do not see it. */
  label: string;
  /** Unix seconds, rising. */
  times: readonly number[];
  series: readonly ChartSeries[];
  /** How values are written; as numbers if it is left out. */
  format?: (n: number) => string;
  height?: number;
}

const heightDefault = 180;

/** What the element's colours are now: a canvas knows no custom properties. */
function colorOf(element: HTMLElement, name: string): string {
  const before = element.style.color;
  element.style.color = `var(${name})`;
  const color = getComputedStyle(element).color;
  element.style.color = before;
  return color;
}

/** Whether the system's colours are dark: they may change while the page is open. */
function useSystemDark(): boolean {
  const [isDark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const media = matchMedia('(prefers-color-scheme: dark)');
    const heard = () => setDark(media.matches);
    media.addEventListener('change', heard);
    return () => media.removeEventListener('change', heard);
  }, []);
  return isDark;
}

/** Lines over time. The legend shows the values under the pointer, else the last ones; all are also there as a table. */
export function Chart({ label, times, series, format, height = heightDefault }: ChartProps) {
  const { t, f } = useLocale();
  const room = useRef<HTMLDivElement>(null);
  const width = useWidth(room);
  const plot = useRef<uPlot | null>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  const isDark = useSystemDark();
  const chosen = useStore(theme);
  const write = format ?? ((n: number) => f.decimal(n));
  const writing = useRef(format);
  writing.current = format;
  const data = [times, ...series.map((one) => one.values)] as unknown as uPlot.AlignedData;
  const shape = JSON.stringify(series.map((one) => [one.label, one.tone, one.isArea]));

  useEffect(() => {
    const element = room.current;
    if (!element) return;
    const text = colorOf(element, '--text-quiet');
    const line = colorOf(element, '--line');
    const font = `12px ${getComputedStyle(element).fontFamily}`;
    const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const timeOf = (step: number): Intl.DateTimeFormatOptions =>
      step < 60 ? { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } :
      step < 86_400 ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } : { month: 'short', day: 'numeric' };
    const made = new uPlot({
      width: element.clientWidth,
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        {
          ...axis, size: 28,
          values: (_, splits, __, ___, step) => {
            const written = new Intl.DateTimeFormat(f.language, timeOf(step));
            return splits.map((at) => written.format(at * 1000));
          },
        },
        {
          ...axis, size: 56,
          values: (_, splits, __, ___, step) =>
            splits.map((n) => (writing.current ? writing.current(n) : f.tick(n, step))),
        },
      ],
      series: [
        {},
        ...series.map((one): uPlot.Series => {
          const stroke = colorOf(element, `--series-${one.tone}`);
          const fill = one.isArea ? colorOf(element, `--series-${one.tone}-fill`) : undefined;
          return { stroke, fill, width: 1.5, points: { show: false }, spanGaps: false };
        }),
      ],
      hooks: { setCursor: [(u) => setHovered(u.cursor.idx ?? null)] },
    }, data, element);
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [shape, height, isDark, chosen, f]);

  useEffect(() => {
    if (width) plot.current?.setSize({ width, height });
  }, [width, height]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [times, ...series.map((one) => one.values)]);

  // The newest sample of the history may not be there yet.
  const newest = times.findLastIndex((_, i) => series.some((one) => one.values[i] != null));
  const at = hovered ?? (newest < 0 ? times.length - 1 : newest);
  return (
    <figure class="chart">
      <figcaption class="legend">
        {series.map((one) => (
          <span key={one.label} class={`legend-item series-${one.tone}`}>
            {one.label} <b class="number">{one.values[at] == null ? '–' : write(one.values[at])}</b>
          </span>
        ))}
        <span class="legend-time">{times[at] !== undefined && f.time(new Date(times[at] * 1000))}</span>
      </figcaption>
      <div ref={room} class="chart-room" role="img" aria-label={label} />
      <AsTable
        caption={label}
        head={[t.shell.time, ...series.map((one) => one.label)]}
        rows={() => times.map((at, i) => [
          f.dateTime(new Date(at * 1000)), ...series.map((one) => (one.values[i] == null ? '–' : write(one.values[i]))),
        ])}
      />
    </figure>
  );
}

interface AsTableProps {
  caption: string;
  head: readonly string[];
  /** Called when the table is opened. */
  rows: () => readonly (readonly string[])[];
}

/** What a chart shows, as a table that opens. */
export function AsTable({ caption, head, rows }: AsTableProps) {
  const { t } = useLocale();
  const [isOpen, setOpen] = useState(false);
  const columns = head.map((title, i) => ({ title, isNumber: i > 0, cell: (row: readonly string[]) => row[i] }));
  return (
    <details class="as-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t.shell.asTable}</summary>
      {isOpen && <Table caption={caption} columns={columns} rows={rows()} rowKey={(row) => row[0] ?? ''} />}
    </details>
  );
}
