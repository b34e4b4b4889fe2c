// Licences consumed over time, and how long those that are there will last.
import { api } from '../../calls';
import { Bars } from '../../components/bars';
import { Select } from '../../components/field';
import { Gauge } from '../../components/gauge';
import { Facts, Panel, Section, Time } from '../../components/layout';
import { Empty, Loaded } from '../../components/state';
import { type Load, useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Forecast, Product } from '../../model';
import { useParameter } from '../../router';
import { dayOf, daysUpTo, instantOf, monthsUpTo } from '../../zone';

const days = 30;
const months = 12;
const refreshMs = 60_000;

interface Consumed {
  /** Days or months. */
  windows: string[];
  licenses: number[];
  availableFrom?: string;
}

async function consumed(product: Product, window: 'day' | 'month', signal: AbortSignal): Promise<Consumed> {
  const zone = product.time_zone;
  const today = dayOf(Date.now(), zone);
  const windows = window === 'day' ? daysUpTo(today, days) : monthsUpTo(today, months);
  const first = window === 'day' ? windows[0] : `${windows[0]}-01`;
  const from = instantOf(`${first}T00:00`, zone);
  const usage = await api.usage({ product: product.product, window, from, time_zone: zone }, signal);
  const place = new Map(windows.map((name, i) => [name, i]));
  const licenses = windows.map(() => 0);
  for (const row of usage.rows) {
    const day = dayOf(Date.parse(row.from), zone);
    const at = place.get(window === 'day' ? day : day.slice(0, 7));
    if (at !== undefined) licenses[at]! += row.licenses_consumed;
  }
  return { windows, licenses, availableFrom: usage.available_from };
}

interface LicensesSectionProps {
  product: Product;
  /** Of its account, which the product may draw. */
  gifts: number;
  forecast: Load<Forecast>;
}

export function LicensesSection({ product, gifts, forecast }: LicensesSectionProps) {
  const { t, f } = useLocale();
  const [parameter, setWindow] = useParameter('consumed');
  const window = parameter === 'month' ? 'month' : 'day';
  const load = useLoad((signal) => consumed(product, window, signal), [product.product, window], { everyMs: refreshMs });
  const { licenses } = product;
  return (
    <Section
      title={t.terms.licenses} id="licenses"
      actions={(
        <Select
          label={t.product.span} value={window} change={(value) => setWindow(value === 'day' ? '' : value)}
          options={[['day', t.product.consumedDays], ['month', t.product.consumedMonths]]}
        />
      )}
    >
      <div class="columns">
        <Panel>
          <h3>{t.product.consumed}</h3>
          <Loaded
            of={load} isEmpty={(got) => !got.licenses.some((n) => n > 0)} empty={<Empty title={t.product.noneConsumed} />}
          >
            {(got) => (
              <>
                <Bars
                  label={t.product.consumed} height={240} nameTitle={window === 'day' ? t.product.day : t.product.month}
                  names={got.windows.map((name) => (window === 'day' ? f.day(name) : f.monthShort(name)))}
                  series={[{ label: t.terms.licenses, values: got.licenses, tone: 'accent' }]}
                />
                {got.availableFrom && <p class="muted small">{t.product.keptFrom(f.dateTime(got.availableFrom))}</p>}
              </>
            )}
          </Loaded>
        </Panel>
        <Panel>
          <h3>{t.product.forecast}</h3>
          <div class="product-forecast">
            <Gauge
              label={t.terms.licenses} used={licenses.used} limit={licenses.total} warnAt={0.9}
              tone={!licenses.available && gifts ? 'warn' : undefined}
              note={!licenses.available && gifts
                ? t.product.giftsLeft(gifts) : `${t.terms.available} ${f.int(licenses.available)}`}
            />
            <Loaded of={forecast}>
              {(got) => (
                <>
                  <Facts
                    rows={[
                      [t.product.runsDry, got.runs_dry_at
                        ? <><Time at={got.runs_dry_at} as="date" zone={product.time_zone} /> ({f.ago(got.runs_dry_at)})</>
                        : t.product.lasts(got.weeks.length)],
                      [t.product.atRisk, f.int(got.devices_at_risk)],
                    ]}
                  />
                  {got.weeks.some((week) => week.needed > 0) && (
                    <Bars
                      label={t.product.neededWeekly} nameTitle={t.product.weekFrom} height={150}
                      names={got.weeks.map((week) => f.day(dayOf(Date.parse(week.from), product.time_zone)))}
                      series={[
                        { label: t.product.renewals, values: got.weeks.map((week) => week.renewals), tone: 'accent' },
                        { label: t.product.activations, values: got.weeks.map((week) => week.activations), tone: 'ok' },
                      ]}
                    />
                  )}
                </>
              )}
            </Loaded>
          </div>
        </Panel>
      </div>
    </Section>
  );
}
