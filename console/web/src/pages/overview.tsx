// The first look: licences, what happens now, and the products, those that need attention first.
import { api, eachPage } from '../calls';
import { Notice, Page, Section, Stat, Stats } from '../components/layout';
import { Failed, Loaded } from '../components/state';
import { useLoad } from '../load';
import { useLocale } from '../locale';
import type { Account, Counts, Product } from '../model';
import { Cards } from './overview/cards';
import { useRates } from './overview/rates';
import { Traffic } from './overview/traffic';

/** How many accounts and products are looked at: each is read with its licences, a page of 1000 at a time. */
const accountsMost = 100_000;
const productsMost = 5000;

const refreshMs = 20_000;

export interface Totals {
  accounts: number;
  licenses: Counts;
  gifts: Counts;
  suspended: Set<string>;
  /** Gift licences that are left, by the account; none is left of those that are not named. */
  giftsLeft: Map<string, number>;
}

async function totals(signal: AbortSignal): Promise<Totals> {
  const none = { total: 0, used: 0, available: 0 };
  const all: Totals = { accounts: 0, licenses: { ...none }, gifts: { ...none }, suspended: new Set(), giftsLeft: new Map() };
  const add = (sum: Counts, more: Counts) => {
    sum.total += more.total;
    sum.used += more.used;
    sum.available += more.available;
  };
  await eachPage<Account>((q) => api.accounts(q, signal), accountsMost, (rows) => {
    for (const account of rows) {
      all.accounts++;
      add(all.licenses, account.licenses);
      add(all.gifts, account.licenses.gift);
      if (account.suspended) all.suspended.add(account.account);
      const { available } = account.licenses.gift;
      if (available > 0) all.giftsLeft.set(account.account, available);
    }
  });
  return all;
}

export interface ProductList {
  products: Product[];
  isWhole: boolean;
}

async function productList(signal: AbortSignal): Promise<ProductList> {
  const products: Product[] = [];
  const { isWhole } = await eachPage<Product>((q) => api.products(q, signal), productsMost, (rows) => {
    products.push(...rows);
  });
  return { products, isWhole };
}

export function OverviewPage() {
  const { t } = useLocale();
  const sums = useLoad(totals, [], { everyMs: refreshMs });
  const list = useLoad(productList, [], { everyMs: refreshMs });
  return (
    <Page title={t.overview.title}>
      {sums.error !== undefined && <Failed error={sums.error} retry={sums.reload} />}
      <Numbers totals={sums.data} products={list.data?.products} />
      <Traffic />
      <Loaded of={list}>
        {(loaded) => <Cards list={loaded} totals={sums.data} />}
      </Loaded>
    </Page>
  );
}

interface NumbersProps {
  totals?: Totals;
  products?: Product[];
}

/** They stand from the beginning, with a dash for what is not known yet: nothing moves when it comes. */
function Numbers({ totals, products }: NumbersProps) {
  const { t, f } = useLocale();
  const rates = useRates();
  const int = (n: number | undefined) => (n === undefined ? '–' : f.int(n));
  const sum = (of: (product: Product) => number) => products?.reduce((all, product) => all + of(product), 0);
  const online = sum((product) => product.devices.online);
  const rate = (n: number | undefined) => (n === undefined ? '–' : f.decimal(n));
  const since = rates.isLive ? undefined : t.overview.lastMinute;
  return (
    <>
      {rates.stopped.map((reason) => (
        <Notice key={reason} tone="bad">{t.overview.ingestStopped(t.overview.stopped[reason] ?? reason)}</Notice>
      ))}
      <div class="overview-numbers">
        <Section title={t.terms.licenses} lead={totals && t.overview.inAccounts(totals.accounts)}>
          <Stats>
            <Stat label={t.terms.total} value={int(totals?.licenses.total)} />
            <Stat label={t.terms.used} value={int(totals?.licenses.used)} />
            <Stat
              label={t.terms.available} value={int(totals?.licenses.available)}
              tone={totals?.licenses.total && !totals.licenses.available ? 'bad' : 'plain'}
            />
            <Stat
              label={t.overview.giftsAvailable} value={int(totals?.gifts.available)}
              note={totals && t.overview.giftsUsed(f.int(totals.gifts.used), f.int(totals.gifts.total))}
            />
          </Stats>
        </Section>
        <Section title={t.overview.now} lead={since}>
          <Stats>
            <Stat
              label={t.overview.devices} value={int(sum((product) => product.devices.active))}
              note={online !== undefined && t.overview.devicesOnline(f.int(online))}
            />
            <Stat label={t.overview.events} value={rate(rates.events)} />
            <Stat label={t.overview.denials} value={rate(rates.denied)} tone={rates.denied ? 'warn' : 'plain'} />
          </Stats>
        </Section>
      </div>
    </>
  );
}
