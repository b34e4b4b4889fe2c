// What an account or a product used, month by month or day by day, as charts and as a table.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { Bars, type BarsSeries } from '../../components/bars';
import { Select } from '../../components/field';
import { Badge, Panel, Section } from '../../components/layout';
import { Save } from '../../components/save';
import { type Scope, type ScopeChoice, ScopeSelect } from '../../components/scope';
import { Empty, Loaded } from '../../components/state';
import { type Column, Table } from '../../components/table';
import { type Query, withQuery } from '../../http';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { UsageRow } from '../../model';
import { Link, to, useParameter } from '../../router';
import { dayOf, daysUpTo, instantOf, monthsUpTo } from '../../zone';

const months = 12;
const days = 31;

/** Rows of the table that are shown at first, and at each demand for more. */
const rowsShown = 100;

type Window = 'month' | 'day';

/** The months or days that are shown, oldest first, and what they are asked for with. */
function asked({ kind, name }: Scope, window: Window, zone: string): { windows: string[]; query: Query } {
  const today = dayOf(Date.now(), zone);
  const windows = window === 'month' ? monthsUpTo(today, months) : daysUpTo(today, days);
  const first = window === 'month' ? `${windows[0]}-01` : windows[0];
  return { windows, query: { [kind]: name, window, from: instantOf(`${first}T00:00`, zone), time_zone: zone } };
}

interface UsageSectionProps {
  choice: ScopeChoice;
  scope: Scope;
}

export function UsageSection({ choice, scope }: UsageSectionProps) {
  const { t, f } = useLocale();
  const [parameter, setWindow] = useParameter('window');
  const window: Window = parameter === 'day' ? 'day' : 'month';
  const zone = choice.zone ?? 'UTC';
  const { windows, query } = asked(scope, window, zone);
  const load = useLoad((signal) => api.usage(query, signal), [scope.kind, scope.name, window, zone]);
  const windowOf = (row: UsageRow) => dayOf(Date.parse(row.from), zone).slice(0, window === 'month' ? 7 : 10);
  const windowTitle = window === 'month' ? t.billing.month : t.billing.day;
  const nameOf = (at: string) => (window === 'month' ? f.monthShort(at) : f.day(at));
  return (
    <Section
      title={t.billing.usage} id="usage" lead={t.billing.inZone(zone)}
      actions={<Save at={withQuery('/v1/usage', query)} text={t.shell.saveCsv} />}
    >
      <div class="filters">
        <ScopeSelect of={choice} />
        <Select
          label={t.billing.window} value={window} change={(value) => setWindow(value === 'month' ? '' : value)}
          options={[['month', t.billing.lastMonths(months)], ['day', t.billing.lastDays(days)]]}
        />
      </div>
      <Loaded of={load} isEmpty={({ rows }) => !rows.length} empty={<Empty title={t.billing.noUsage} />}>
        {({ rows, available_from }) => (
          <>
            <Charts rows={rows} windows={windows} windowOf={windowOf} nameOf={nameOf} title={windowTitle} />
            <UsageTable
              rows={rows} isOfAccount={scope.kind === 'account'} title={windowTitle}
              nameOf={(row) => nameOf(windowOf(row))}
            />
            {available_from && <p class="muted small">{t.billing.keptFrom(f.dateTime(available_from))}</p>}
          </>
        )}
      </Loaded>
    </Section>
  );
}

interface ChartsProps {
  rows: readonly UsageRow[];
  windows: readonly string[];
  windowOf: (row: UsageRow) => string;
  nameOf: (window: string) => string;
  title: string;
}

function Charts({ rows, windows, windowOf, nameOf, title }: ChartsProps) {
  const { t } = useLocale();
  const place = new Map(windows.map((name, i) => [name, i]));
  const sum = (of: (row: UsageRow) => number) => {
    const values = windows.map(() => 0);
    for (const row of rows) {
      const at = place.get(windowOf(row));
      if (at !== undefined) values[at]! += of(row);
    }
    return values;
  };
  const charts: [string, BarsSeries[]][] = [
    [t.terms.message, [
      { label: t.terms.up, values: sum((row) => row.messages_up), tone: 'accent' },
      { label: t.terms.down, values: sum((row) => row.messages_down), tone: 'ok' },
      { label: t.terms.denied, values: sum((row) => row.messages_denied), tone: 'bad' },
    ]],
    [t.billing.otaUnits, [
      { label: t.billing.ofAllowance, values: sum((row) => row.ota_units - row.ota_topup_units), tone: 'accent' },
      { label: t.billing.ofPacks, values: sum((row) => row.ota_topup_units), tone: 'ok' },
      { label: t.terms.denied, values: sum((row) => row.ota_denied), tone: 'bad' },
    ]],
    [t.billing.licenses, [
      { label: t.terms.licenses, values: sum((row) => row.licenses_consumed), tone: 'accent' },
    ]],
  ];
  return (
    <div class="billing-charts">
      {charts.map(([label, series]) => (
        <Panel key={label}>
          <h3>{label}</h3>
          <Bars label={label} names={windows.map(nameOf)} series={series} nameTitle={title} height={160} />
        </Panel>
      ))}
    </div>
  );
}

interface UsageTableProps {
  rows: readonly UsageRow[];
  isOfAccount: boolean;
  title: string;
  nameOf: (row: UsageRow) => string;
}

/** The newest first, a product below the other. */
function UsageTable({ rows, isOfAccount, title, nameOf }: UsageTableProps) {
  const { t, f } = useLocale();
  const [shown, setShown] = useState(rowsShown);
  const sorted = [...rows].sort((a, b) => Date.parse(b.from) - Date.parse(a.from) || (a.product < b.product ? -1 : 1));
  const number = (name: string, of: (row: UsageRow) => number, isWide = false): Column<UsageRow> =>
    ({ title: name, cell: (row) => f.int(of(row)), isNumber: true, isWide });
  return (
    <>
      <Table
        caption={t.billing.usage} rows={sorted.slice(0, shown)} rowKey={(row) => `${row.from} ${row.product}`}
        columns={[
          {
            title,
            cell: (row) => (
              <>
                <span class="billing-window">{nameOf(row)}</span> {row.partial && <Badge tone="info">{t.billing.soFar}</Badge>}
                {isOfAccount && <span class="narrow muted">{row.product}</span>}
              </>
            ),
          },
          ...(isOfAccount
            ? [{
              title: t.terms.product, isWide: true,
              cell: (row: UsageRow) => <Link to={to.product(row.product)}>{row.product}</Link>,
            }] : []),
          number(t.terms.up, (row) => row.messages_up),
          number(t.terms.down, (row) => row.messages_down),
          number(t.terms.denied, (row) => row.messages_denied, true),
          number(t.billing.otaUnits, (row) => row.ota_units, true),
          number(t.billing.ofPacks, (row) => row.ota_topup_units, true),
          number(t.billing.otaDenied, (row) => row.ota_denied, true),
          number(t.terms.licenses, (row) => row.licenses_consumed),
        ]}
      />
      {shown < sorted.length && (
        <p class="pager">
          <span>{t.billing.shown(f.int(shown), f.int(sorted.length))}</span>
          <button type="button" onClick={() => setShown(shown + rowsShown)}>{t.billing.more}</button>
        </p>
      )}
    </>
  );
}
