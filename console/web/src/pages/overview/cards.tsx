import { useEffect, useMemo, useState } from 'preact/hooks';
import { api } from '../../calls';
import { Input } from '../../components/field';
import { Gauge } from '../../components/gauge';
import { Badge, Section, Time } from '../../components/layout';
import { Empty } from '../../components/state';
import { daysUntil } from '../../format';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Forecast, Product } from '../../model';
import { query } from '../../prom';
import { Link, to } from '../../router';
import type { ProductList, Totals } from '../overview';
import { type Concern, concerns, urgency } from './concerns';

const cardsFirst = 12;
const forecastWeeks = 26;

/** What the products were denied in a day, by name; empty without a history. */
async function denials(signal: AbortSignal): Promise<Record<string, number>> {
  const promql = 'sum by (product) (increase(meterd_messages_total{verdict!="accepted"}[24h]))';
  const samples = await query(promql, signal);
  return Object.fromEntries(samples.map((s) => [s.labels['product'] ?? '', Math.round(s.value)]));
}

/**
 * The forecasts of some products, one after the other: each passes over the device table. Those that are there stay
 * until the page goes.
 */
function useForecasts(names: readonly string[]): Map<string, Forecast> {
  const [known, setKnown] = useState(new Map<string, Forecast>());
  const missing = names.filter((name) => !known.has(name)).sort();
  useEffect(() => {
    if (!missing.length) return;
    const abort = new AbortController();
    const ask = async () => {
      const came = new Map<string, Forecast>();
      for (const name of missing) {
        came.set(name, await api.forecast(name, forecastWeeks, abort.signal));
      }
      // All at once: the cards are sorted anew.
      setKnown((old) => new Map([...old, ...came]));
    };
    ask().catch(() => undefined); // The cards say nothing about the future then.
    return () => abort.abort();
  }, [missing.join()]);
  return known;
}

interface CardsProps {
  list: ProductList;
  /** Undefined: not known yet. */
  totals?: Totals;
}

interface Judged {
  product: Product;
  forecast?: Forecast;
  denied?: number;
  giftsLeft: number;
  concerns: Concern[];
}

/** Products as cards, those that need attention first. */
export function Cards({ list, totals }: CardsProps) {
  const { t, f } = useLocale();
  const [sought, setSought] = useState('');
  const [most, setMost] = useState(cardsFirst);
  const { data: denied, error: noHistory } = useLoad(denials, [], { everyMs: 60_000 });

  const judge = (product: Product, forecast?: Forecast): Judged => {
    const facts = {
      product, forecast, denied: denied && (denied[product.product] ?? 0),
      isOfSuspended: totals?.suspended.has(product.account) ?? false,
      giftsLeft: totals?.giftsLeft.get(product.account) ?? 0,
    };
    return { ...facts, concerns: concerns(facts) };
  };
  const sorted = (forecasts?: Map<string, Forecast>) =>
    list.products
      .map((product) => judge(product, forecasts?.get(product.product)))
      .sort((a, b) => urgency(b.concerns) - urgency(a.concerns) || a.product.product.localeCompare(b.product.product));
  const firstNames = useMemo(
    () => sorted().slice(0, most).map((one) => one.product.product),
    [list, denied, most, totals],
  );
  // Which cards come first depends on the denials.
  const forecasts = useForecasts(denied || noHistory !== undefined ? firstNames : []);
  const text = sought.trim().toLowerCase();
  const fitting = sorted(forecasts).filter(({ product }) =>
    [product.product, product.account, product.name].some((name) => name.toLowerCase().includes(text)));
  const shown = fitting.slice(0, most);

  if (!list.products.length) return <Empty title={t.overview.noProducts}><p>{t.overview.noProductsLead}</p></Empty>;
  return (
    <Section
      title={t.overview.products} lead={t.overview.productsLead}
      actions={list.products.length > cardsFirst && (
        <Input label={t.overview.filter} type="search" placeholder={t.overview.filterHint} value={sought} change={setSought} />
      )}
    >
      {!list.isWhole && <p class="lead">{t.overview.notAll(list.products.length)}</p>}
      {shown.length ? <ul class="overview-cards">{shown.map((one) => <Card key={one.product.product} {...one} />)}</ul>
        : <Empty title={t.overview.noneFits} />}
      {fitting.length > most && (
        <p class="overview-more">
          <button type="button" onClick={() => setMost(most + 2 * cardsFirst)}>
            {t.overview.showMore(Math.min(2 * cardsFirst, fitting.length - most))}
          </button>
          <span class="muted">{t.overview.shown(f.int(shown.length), f.int(fitting.length))}</span>
        </p>
      )}
    </Section>
  );
}

function Card({ product, forecast, denied, giftsLeft, concerns: list }: Judged) {
  const { t, f } = useLocale();
  const { licenses, devices, topups } = product;
  return (
    <li class="panel overview-card">
      <div>
        <h3><Link to={to.product(product.product)}>{product.product}</Link></h3>
        <p class="muted small">{product.name ? `${product.name} · ${product.account}` : product.account}</p>
      </div>
      <p class="overview-concerns">
        {list.map((one) => <Badge key={one.kind} tone={one.tone}>{concernText(one)}</Badge>)}
        {!list.length && <Badge tone="ok">{t.overview.reasons.ok}</Badge>}
      </p>
      <Gauge
        label={t.terms.licenses} used={licenses.used} limit={licenses.total} warnAt={0.9}
        note={`${t.terms.available} ${f.int(licenses.available)}`}
      />
      <dl class="overview-facts">
        <dt>{t.overview.runOut}</dt>
        <dd>{runOut()}</dd>
        <dt>{t.terms.deviceMany}</dt>
        <dd>{t.overview.online(f.int(devices.online), f.int(devices.active))}</dd>
        <dt>{t.overview.denied24h}</dt>
        <dd>{denied === undefined ? '–' : f.int(denied)}</dd>
        <dt>{t.terms.topup}</dt>
        <dd>
          {topups.ota.total ? t.overview.packs(f.int(topups.ota.available), f.int(topups.ota.total)) : t.terms.none}
        </dd>
      </dl>
    </li>
  );

  function runOut() {
    if (licenses.available === 0) return giftsLeft ? t.overview.giftsLeft(giftsLeft) : t.overview.noneLeft;
    if (!forecast) return '–';
    return forecast.runs_dry_at ? <Time at={forecast.runs_dry_at} as="date" /> : t.overview.notWithin(forecastWeeks);
  }

  function concernText(one: Concern): string {
    const { reasons } = t.overview;
    switch (one.kind) {
      case 'runsOut':
        return reasons.runsOut(Math.max(0, daysUntil(forecast?.runs_dry_at ?? '')));
      case 'low':
        return reasons.low(f.percent(licenses.available / licenses.total));
      case 'denials':
        return reasons.denials(f.int(denied ?? 0));
      default:
        return reasons[one.kind];
    }
  }
}
