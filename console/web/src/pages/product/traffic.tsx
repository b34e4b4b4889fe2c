// Messages and denials by hour and day, from the usage history.
import { Bars } from '../../components/bars';
import { Select } from '../../components/field';
import { OfHistory } from '../../components/history';
import { Panel, Section } from '../../components/layout';
import { Empty } from '../../components/state';
import { Table } from '../../components/table';
import { denialTitle, explainDenial } from '../../denial';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Product } from '../../model';
import { queryRange, quoted } from '../../prom';
import { useParameter } from '../../router';
import { dayOf, daysUpTo, stepOf } from '../../zone';

/** What the bars are of: hours of a day, or so many days. */
const spans = { '24h': 0, '7d': 7, '30d': 30 } as const;
type Span = keyof typeof spans;

const hours = 24;
const refreshMs = 60_000;
const quota = 'message_quota_exceeded';

interface Flow {
  /** Of each bar: the beginning of its hour in Unix seconds, or its day. */
  bars: (number | string)[];
  up: number[];
  down: number[];
  /** Denied by the quota, and by all else. */
  quota: number[];
  other: number[];
  /** How often each code denied a message, the most frequent first. */
  codes: [code: string, n: number][];
}

/** Each bar is filled from the steps that lie in it: a day of the product has 23 to 25 hours. */
async function flow(product: Product, span: Span, signal: AbortSignal): Promise<Flow> {
  const nowMs = Date.now();
  const days = spans[span];
  const step = days ? stepOf(product.time_zone, nowMs) : 3600;
  const end = Math.ceil(nowMs / 1000 / step) * step; // The running step is not over.
  const bars = days
    ? daysUpTo(dayOf(nowMs, product.time_zone), days)
    : Array.from({ length: hours }, (_, i) => end - (hours - i) * step);
  const from = days ? end - (days + 1) * 86_400 : end - (hours - 1) * step;
  const promql =
    `sum by (direction, verdict) (increase(meterd_messages_total{product=${quoted(product.product)}}[${step}s]))`;
  const got = await queryRange(promql, from, end, step, signal);

  const place = new Map(bars.map((bar, i) => [bar, i]));
  const barOf = got.times.map((at) => place.get(days ? dayOf((at - step) * 1000, product.time_zone) : at - step));
  const none = () => bars.map(() => 0);
  const all: Flow = { bars, up: none(), down: none(), quota: none(), other: none(), codes: [] };
  const codes = new Map<string, number>();
  for (const { labels, values } of got.series) {
    const { verdict = '', direction } = labels;
    const accepted = direction === 'down' ? all.down : all.up;
    const into = verdict === 'accepted' ? accepted : verdict === quota ? all.quota : all.other;
    values.forEach((value, i) => {
      const bar = barOf[i];
      if (bar === undefined || !value) return;
      into[bar]! += value;
      if (verdict !== 'accepted') codes.set(verdict, (codes.get(verdict) ?? 0) + value);
    });
  }
  for (const series of [all.up, all.down, all.quota, all.other]) series.forEach((n, i) => (series[i] = Math.round(n)));
  all.codes = [...codes].map(([code, n]): [string, number] => [code, Math.round(n)]).filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1]);
  return all;
}

const isQuiet = (got: Flow) => ![got.up, got.down, got.quota, got.other].some((series) => series.some((n) => n > 0));

export function TrafficSection({ product }: { product: Product }) {
  const locale = useLocale();
  const { t, f } = locale;
  const [parameter, setSpan] = useParameter('span');
  const span: Span = parameter in spans ? (parameter as Span) : '24h';
  const load = useLoad((signal) => flow(product, span, signal), [product.product, span], { everyMs: refreshMs });
  const nameOf = (bar: number | string) =>
    typeof bar === 'string' ? f.day(bar) : f.time(new Date(bar * 1000), product.time_zone).slice(0, 5);
  const label = `${t.terms.message}. ${t.product.spans[span]}`;
  return (
    <Section
      title={t.product.traffic} id="traffic" lead={t.product.inZone(product.time_zone)}
      actions={(
        <Select
          label={t.product.span} value={span} change={(value) => setSpan(value === '24h' ? '' : value)}
          options={Object.entries(t.product.spans)}
        />
      )}
    >
      <div class="product-traffic">
        <Panel>
          <OfHistory of={load} isQuiet={isQuiet}>
            {(got) => (
              <Bars
                label={label} names={got.bars.map(nameOf)} nameTitle={spans[span] ? t.product.day : t.product.hour}
                series={[
                  { label: t.terms.up, values: got.up, tone: 'accent' },
                  { label: t.terms.down, values: got.down, tone: 'ok' },
                  { label: t.product.deniedByQuota, values: got.quota, tone: 'bad' },
                  ...(got.other.some((n) => n > 0)
                    ? [{ label: t.product.deniedOtherwise, values: got.other, tone: 'warn' as const }] : []),
                ]}
              />
            )}
          </OfHistory>
        </Panel>
        <Panel>
          <h3>{t.product.reasons}</h3>
          <OfHistory of={load} isQuiet={isQuiet}>
            {({ codes }) => (codes.length ? (
              <Table
                caption={t.product.reasons} rows={codes} rowKey={([code]) => code}
                columns={[
                  {
                    title: t.product.reason,
                    cell: ([code]) => (
                      <>
                        <b>{denialTitle(code, locale)}</b>
                        <p class="muted">{explainDenial({ code }, locale)}</p>
                      </>
                    ),
                  },
                  { title: t.terms.message, cell: ([, n]) => f.int(n), isNumber: true },
                ]}
              />
            ) : <Empty title={t.product.noneDenied} />)}
          </OfHistory>
        </Panel>
      </div>
    </Section>
  );
}
