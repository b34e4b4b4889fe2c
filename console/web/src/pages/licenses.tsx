// The licences that were consumed: which device has which one, from which order, and until when.
import { api } from '../calls';
import { Input, isName, Select } from '../components/field';
import { Badge, Page, Section, Stat, Stats, Time } from '../components/layout';
import { Save } from '../components/save';
import { type Scope, type ScopeChoice, ScopeSelect, useScope } from '../components/scope';
import { Empty, Failed, Loading } from '../components/state';
import { type Column, ListTable } from '../components/table';
import { useTyped } from '../components/typed';
import { daysUntil } from '../format';
import { path, type Query, withQuery } from '../http';
import { useList, useLoad } from '../load';
import { type Locale, useLocale } from '../locale';
import type { Counts, License } from '../model';
import { Link, to, useParameter } from '../router';
import { may, session } from '../session';
import { useStore } from '../store';

/** Days from now within which a licence ends soon. */
const soonDays = 30;

/** Days before its end from which on it is said how long a licence lasts. */
const countdownDays = 90;

/** As far as those that end soon are counted: the API counts none, they are read. */
const countedMost = 1000;

function pathOf({ kind, name }: Scope): string {
  return kind === 'account' ? path`/v1/accounts/${name}/licenses` : path`/v1/products/${name}/licenses`;
}

function licenses({ kind, name }: Scope, query: Query, signal: AbortSignal) {
  return kind === 'account' ? api.accountLicenses(name, query, signal) : api.productLicenses(name, query, signal);
}

/** So many days from now, on the whole minute: the same question a moment later is the same question. */
function inDays(days: number): string {
  const minute = 60_000;
  return new Date(Math.ceil(Date.now() / minute) * minute + days * 86_400_000).toISOString();
}

export function LicensesPage() {
  const { t } = useLocale();
  const choice = useScope();
  const { scope, load } = choice;
  return (
    <Page title={t.licenses.title}>
      {load.error !== undefined && <Failed error={load.error} retry={load.reload} />}
      {!scope && load.isLoading && <Loading />}
      {!scope && load.data && <Empty title={t.licenses.noAccounts} />}
      {scope && <Licenses choice={choice} scope={scope} />}
    </Page>
  );
}

interface LicensesProps {
  choice: ScopeChoice;
  scope: Scope;
}

function Licenses({ choice, scope }: LicensesProps) {
  const locale = useLocale();
  const { t } = locale;
  const { who } = useStore(session);
  const [state, setState] = useParameter('state');
  const [within, setWithin] = useParameter('within');
  const [device, setDevice] = useParameter('device');
  const [source, setSource] = useParameter('source');
  const [deviceText, typeDevice, isDeviceWrong] = useTyped(device, setDevice, isName);
  const [sourceText, typeSource, isSourceWrong] = useTyped(source, setSource, isName);
  const days = Number(within) || 0;
  const filters = { state, device, source, expiring_before: days > 0 ? inDays(days) : '' };
  const list = useList(
    (page, signal) => licenses(scope, { ...page, ...filters }, signal), [scope.kind, scope.name, state, within, device, source],
  );
  const isFiltered = !!(state || within || device || source);
  const clear = () => {
    for (const set of [setState, setWithin, setDevice, setSource]) set('');
  };
  const sees = may(who, 'read');
  const name = isDeviceWrong || isSourceWrong ? t.shell.notAName : undefined;
  return (
    <>
      <Numbers scope={scope} showSoon={() => setWithin(String(soonDays))} />
      <Section
        title={t.licenses.consumed} lead={t.licenses.consumedLead}
        actions={<Save at={withQuery(pathOf(scope), filters)} text={t.shell.saveCsv} />}
      >
        <div class="filters">
          <ScopeSelect of={choice} />
          <Select
            label={t.licenses.state} value={state} change={setState}
            options={[['', t.licenses.any], ['active', t.terms.active], ['ended', t.terms.ended]]}
          />
          <Select
            label={t.licenses.ends} value={within} change={setWithin}
            options={[
              ['', t.licenses.any], ...['1', '7', '30', '90', '365'].map((n) => [n, t.licenses.within(Number(n))] as const),
            ]}
          />
          <Input
            label={t.terms.device} type="search" value={deviceText} change={typeDevice} maxLength={64}
            placeholder={t.licenses.wholeName} error={isDeviceWrong ? name : undefined}
          />
          <Input
            label={t.licenses.source} type="search" value={sourceText} change={typeSource} maxLength={64}
            placeholder={t.licenses.sourceHint} error={isSourceWrong ? name : undefined}
          />
          {isFiltered && <button type="button" onClick={clear}>{t.licenses.clear}</button>}
        </div>
        <ListTable
          list={list} caption={t.licenses.consumed} rowKey={(row) => `${row.product}/${row.serial}`}
          columns={columns(choice, scope, sees, locale)}
          empty={(
            <Empty title={isFiltered ? t.licenses.noneFits : t.licenses.none}>
              {!isFiltered && <p>{t.licenses.noneLead}</p>}
            </Empty>
          )}
        />
      </Section>
    </>
  );
}

function columns({ zoneOf }: ScopeChoice, scope: Scope, sees: boolean, { t, f }: Locale): Column<License>[] {
  return [
    {
      title: t.licenses.serial, isNumber: true, isWide: true,
      cell: (row) => (typeof row.serial === 'number' ? f.int(row.serial) : row.serial),
    },
    ...(scope.kind === 'account'
      ? [{
        title: t.terms.product, isWide: true,
        cell: (row: License) => <Link to={to.product(row.product)}>{row.product}</Link>,
      }] : []),
    {
      title: t.terms.device,
      cell: (row) => (
        <>
          {sees ? <Link to={to.device(row.product, row.device)}>{row.device}</Link> : row.device}
          {scope.kind === 'account' && <span class="narrow muted">{row.product}</span>}
        </>
      ),
    },
    {
      title: t.licenses.source, isWide: true,
      cell: (row) => (row.source === 'gift'
        ? <Badge tone="info">{t.licenses.gift}</Badge> : <span class="mono">{row.source}</span>),
    },
    {
      title: t.licenses.activated, isWide: true,
      cell: (row) => <Time at={row.activated_at} as="date" zone={zoneOf(row.product)} />,
    },
    {
      title: t.licenses.ends,
      cell: (row) => (
        <>
          <Time at={row.expires_at} as="date" zone={zoneOf(row.product)} />
          {row.state === 'active' && daysUntil(row.expires_at) < countdownDays && (
            <span class="licenses-left">{f.ago(row.expires_at)}</span>
          )}
        </>
      ),
    },
    { title: t.licenses.state, cell: (row) => <State of={row} /> },
  ];
}

function State({ of: { state, expires_at } }: { of: License }) {
  const { t } = useLocale();
  if (state === 'ended') return <Badge>{t.terms.ended}</Badge>;
  return daysUntil(expires_at) < soonDays
    ? <Badge tone="warn">{t.licenses.endsSoon}</Badge> : <Badge tone="ok">{t.terms.active}</Badge>;
}

function Numbers({ scope, showSoon }: { scope: Scope; showSoon: () => void }) {
  const { t, f } = useLocale();
  const { data: counts } = useLoad(async (signal): Promise<Counts> => {
    const { kind, name } = scope;
    return (kind === 'account' ? await api.account(name, signal) : await api.product(name, signal)).licenses;
  }, [scope.kind, scope.name]);
  const soon = useLoad(async (signal) => {
    const page = await licenses(scope, { expiring_before: inDays(soonDays), limit: countedMost }, signal);
    return { n: page.rows.length, isWhole: !page.next };
  }, [scope.kind, scope.name]);
  const int = (n: number | undefined) => (n === undefined ? '–' : f.int(n));
  return (
    <Stats>
      <Stat label={t.terms.total} value={int(counts?.total)} note={scope.name} />
      <Stat label={t.terms.used} value={int(counts?.used)} />
      <Stat
        label={t.terms.available} value={int(counts?.available)} tone={counts?.total && !counts.available ? 'bad' : 'plain'}
      />
      <Stat
        label={t.licenses.endsWithin(soonDays)} tone={soon.data?.n ? 'warn' : 'plain'}
        value={soon.data ? (soon.data.isWhole ? f.int(soon.data.n) : t.licenses.orMore(f.int(soon.data.n))) : '–'}
        note={!!soon.data?.n && (
          <button
            type="button" class="quiet" aria-label={`${t.shell.show}: ${t.licenses.endsWithin(soonDays)}`} onClick={showSoon}
          >
            {t.shell.show}
          </button>
        )}
      />
    </Stats>
  );
}
