// A product: what its devices use, its licences and packs, its plan, and what can be bought and changed.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { api } from '../calls';
import { Badge, Jumps, Notice, Page, Stat, Stats } from '../components/layout';
import { WhenSeen } from '../components/seen';
import { Empty, Failed, Loaded } from '../components/state';
import { Foreign } from '../components/text';
import { Problem } from '../http';
import { type Load, useList, useLoad } from '../load';
import { useLocale } from '../locale';
import type { Account, Forecast, Product } from '../model';
import { Link, to } from '../router';
import { may, session } from '../session';
import { useStore } from '../store';
import { DevicesSection, TopSection } from './product/devices';
import { LicensesSection } from './product/licenses';
import { BuyDialog, Orders } from './product/orders';
import { PlanSection } from './product/plan';
import { SuspendDialog } from './product/switches';
import { TrafficSection } from './product/traffic';
import { UpgradeDialog } from './product/upgrade';
import { WhatIfSection } from './product/whatif';

const refreshMs = 20_000;
const forecastWeeks = 26;

export function ProductPage({ product: name }: { product: string }) {
  const { t } = useLocale();
  const load = useLoad((signal) => api.product(name, signal), [name], { everyMs: refreshMs });
  const trail = <><Link to={to.overview}>{t.overview.title}</Link> / {t.product.title}</>;
  if (load.data) return <Known product={load.data} load={load} trail={trail} />;
  const isUnknown = load.error instanceof Problem && load.error.status === 404;
  return (
    <Page title={name} trail={trail}>
      {isUnknown
        ? <Empty title={t.product.unknown}><p><Link to={to.overview}>{t.shell.toOverview}</Link></p></Empty>
        : <Loaded of={load}>{() => null}</Loaded>}
    </Page>
  );
}

type Dialog = 'lot' | 'topup' | 'upgrade' | 'suspend';

interface KnownProps {
  product: Product;
  load: Load<Product>;
  trail: ComponentChildren;
}

function Known({ product, load, trail }: KnownProps) {
  const { t } = useLocale();
  const { who } = useStore(session);
  const [asked, ask] = useState<Dialog>();
  const name = product.product;
  const account = useLoad((signal) => api.account(product.account, signal), [product.account], { everyMs: refreshMs });
  const forecast = useLoad((signal) => api.forecast(name, forecastWeeks, signal), [name]);
  const gifts = account.data?.licenses.gift.available ?? 0;
  const lots = useList((page, signal) => api.lots(name, page, signal), [name], { limit: 20 });
  const topups = useList((page, signal) => api.topups(name, page, signal), [name], { limit: 20 });
  const hasLots = lots.number > 1 || !!lots.data?.rows.length;

  const changed = () => {
    load.reload();
    account.reload();
    forecast.reload();
    lots.reload();
    topups.reload();
  };
  const close = (isDone: boolean) => {
    ask(undefined);
    if (isDone) changed();
  };
  const buttons = may(who, 'administer') && (
    <>
      <button type="button" class="primary" onClick={() => ask('lot')}>{t.product.lot.buy}</button>
      <button type="button" onClick={() => ask('topup')}>{t.product.topup.buy}</button>
      <button type="button" disabled={!lots.data} onClick={() => ask('upgrade')}>{t.product.upgrade}</button>
      <button type="button" onClick={() => ask('suspend')}>
        {product.suspended ? t.product.resume : t.product.suspend}
      </button>
    </>
  );
  const sees = may(who, 'read');
  return (
    <Page
      title={name} trail={trail} actions={buttons}
      badges={product.suspended ? <Badge tone="bad">{t.terms.suspended}</Badge> : undefined}
    >
      <p class="lead product-of">
        {product.name && <><Foreign text={product.name} /> · </>}{t.terms.account} {product.account}
      </p>
      <Jumps
        to={[
          ['traffic', t.product.traffic], ['licenses', t.terms.licenses], ['plan', t.terms.plan],
          ['lots', t.product.lot.title], ['topups', t.product.topup.title], ['top', t.product.top],
          ['what-if', t.product.whatIf], ...(sees ? [['devices', t.terms.deviceMany] as const] : []),
        ]}
      />
      {load.error !== undefined && <Failed error={load.error} retry={load.reload} />}
      <Warnings product={product} account={account.data} />
      <Numbers product={product} gifts={gifts} forecast={forecast} />
      <TrafficSection product={product} />
      <LicensesSection product={product} gifts={gifts} forecast={forecast} />
      <PlanSection product={product} upgrade={() => ask('upgrade')} />
      <div class="columns section product-orders">
        <Orders kind="lot" product={product} list={lots} buy={() => ask('lot')} changed={changed} />
        <Orders kind="topup" product={product} list={topups} buy={() => ask('topup')} changed={changed} />
      </div>
      <WhenSeen>{() => <TopSection product={product} />}</WhenSeen>
      <WhatIfSection product={product} />
      {sees && <WhenSeen>{() => <DevicesSection product={product} />}</WhenSeen>}
      {(asked === 'lot' || asked === 'topup') && <BuyDialog kind={asked} product={product} close={close} />}
      {asked === 'upgrade' && <UpgradeDialog product={product} hasLots={hasLots} close={close} />}
      {asked === 'suspend' && <SuspendDialog product={product} close={close} />}
    </Page>
  );
}

function Warnings({ product, account }: { product: Product; account?: Account }) {
  const { t } = useLocale();
  return (
    <>
      {product.suspended && <Notice tone="bad">{t.product.isSuspended}</Notice>}
      {account?.suspended && <Notice tone="bad">{t.product.accountIsSuspended(account.account)}</Notice>}
      {account && product.licenses.available === 0 && account.licenses.gift.available === 0 && (
        <Notice tone="warn">{t.product.noneLeft}</Notice>
      )}
    </>
  );
}

interface NumbersProps {
  product: Product;
  /** Of its account, which the product may draw. */
  gifts: number;
  forecast: Load<Forecast>;
}

function Numbers({ product, gifts, forecast }: NumbersProps) {
  const { t, f } = useLocale();
  const { licenses, devices, topups } = product;
  const dry = forecast.data?.runs_dry_at;
  const lasts = forecast.data && (dry
    ? t.product.runsDryAt(f.date(dry, product.time_zone)) : t.product.lasts(forecast.data.weeks.length));
  return (
    <Stats>
      <Stat label={t.product.licensesTotal} value={f.int(licenses.total)} />
      <Stat label={t.product.licensesUsed} value={f.int(licenses.used)} />
      <Stat
        label={t.product.licensesAvailable} value={f.int(licenses.available)} tone={licenses.available || gifts ? 'plain' : 'bad'}
        note={licenses.available ? lasts : gifts ? t.product.giftsLeft(gifts) : t.overview.noneLeft}
      />
      <Stat
        label={t.overview.devices} value={f.int(devices.active)} note={t.overview.devicesOnline(f.int(devices.online))}
      />
      <Stat
        label={t.product.packsAvailable} value={f.int(topups.ota.available)}
        note={t.overview.giftsUsed(f.int(topups.ota.used), f.int(topups.ota.total))}
      />
    </Stats>
  );
}
