// The devices of a product: those that use most, and all of them.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { Input, isName, Select } from '../../components/field';
import { Badge, Section, Time } from '../../components/layout';
import { Empty, Loaded } from '../../components/state';
import { ListTable, Table } from '../../components/table';
import { useList, useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Product } from '../../model';
import { go, Link, to, useParameter } from '../../router';
import { may, session } from '../../session';
import { useStore } from '../../store';
import { addDays, dayOf } from '../../zone';

const topMost = 10;
const spans = { '1': 1, '7': 7, '30': 30 } as const;

export function TopSection({ product }: { product: Product }) {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const [by, setBy] = useState<keyof typeof t.product.topBy>('messages');
  const [span, setSpan] = useState<keyof typeof spans>('7');
  const load = useLoad((signal) => {
    const last = dayOf(Date.now(), product.time_zone);
    const query = { by, from: addDays(last, 1 - spans[span]), to: last, limit: topMost };
    return api.topDevices(product.product, query, signal);
  }, [product.product, by, span]);
  return (
    <Section
      title={t.product.top} id="top" lead={t.product.topLead}
      actions={(
        <>
          <Select
            label={t.product.by} value={by} change={(value) => setBy(value as typeof by)}
            options={Object.entries(t.product.topBy)}
          />
          <Select
            label={t.product.span} value={span} change={(value) => setSpan(value as typeof span)}
            options={Object.entries(t.product.topSpans)}
          />
        </>
      )}
    >
      <Loaded of={load} isEmpty={(got) => !got.top.length} empty={<Empty title={t.product.noTop} />}>
        {(got) => (
          <>
            <Table
              caption={t.product.top} rows={got.top} rowKey={(row) => row.device}
              columns={[
                {
                  title: t.terms.device,
                  cell: (row) => (may(who, 'read')
                    ? <Link to={to.device(product.product, row.device)}>{row.device}</Link> : row.device),
                },
                { title: t.terms.up, cell: (row) => f.int(row.up), isNumber: true, isWide: by !== 'messages' },
                { title: t.terms.down, cell: (row) => f.int(row.down), isNumber: true, isWide: by !== 'messages' },
                { title: t.terms.denied, cell: (row) => f.int(row.denied), isNumber: true },
                { title: t.product.otaUnits, cell: (row) => f.int(row.ota_units), isNumber: true, isWide: by !== 'ota' },
              ]}
            />
            {got.available_from && <p class="muted small">{t.product.keptFrom(f.day(got.available_from))}</p>}
          </>
        )}
      </Loaded>
    </Section>
  );
}

export function DevicesSection({ product }: { product: Product }) {
  const { t, f } = useLocale();
  const [state, setState] = useParameter('state');
  const [online, setOnline] = useParameter('online');
  const list = useList(
    (page, signal) => api.devices(product.product, { ...page, state, online }, signal),
    [product.product, state, online], { limit: 20 },
  );
  return (
    <Section title={t.terms.deviceMany} id="devices">
      <div class="filters">
        <Select
          label={t.product.state} value={state} change={setState}
          options={[['', t.product.any], ['active', t.terms.active], ['unactivated', t.terms.unactivated]]}
        />
        <Select
          label={t.product.connection} value={online} change={setOnline}
          options={[['', t.product.any], ['true', t.terms.online], ['false', t.terms.offline]]}
        />
        <OpenDevice product={product} />
      </div>
      <ListTable
        list={list} caption={t.terms.deviceMany} rowKey={(row) => row.device}
        columns={[
          { title: t.terms.device, cell: (row) => <Link to={to.device(row.product, row.device)}>{row.device}</Link> },
          {
            title: t.product.state,
            cell: (row) => (
              <span class="product-switch">
                <Badge tone={row.state === 'active' ? 'ok' : 'warn'}>{t.terms[row.state]}</Badge>
                {row.suspended && <Badge tone="bad">{t.terms.suspended}</Badge>}
              </span>
            ),
          },
          { title: t.product.connection, cell: (row) => (row.online ? t.terms.online : t.terms.offline), isWide: true },
          {
            title: t.product.usedToday,
            cell: ({ messages: { up, down, limit } }) => (limit === null
              ? f.int(up + down) : `${f.int(up + down)} / ${f.int(limit)}`),
            isNumber: true,
          },
          { title: t.product.deniedToday, cell: (row) => f.int(row.messages.denied), isNumber: true, isWide: true },
          { title: t.product.seen, cell: (row) => <Time at={row.last_seen_at} as="ago" />, isWide: true },
          {
            title: t.product.ends, isWide: true,
            cell: (row) => <Time at={row.expires_at} as="date" zone={product.time_zone} />,
          },
        ]}
        empty={<Empty title={state || online ? t.product.noneFits : t.product.noDevices} />}
      />
    </Section>
  );
}

/** To any device by its name: also to one that was never active, whose log says why. */
function OpenDevice({ product }: { product: Product }) {
  const { t } = useLocale();
  const [name, setName] = useState('');
  const wrong = name !== '' && !isName(name);
  const open = (event: Event) => {
    event.preventDefault();
    if (isName(name)) go(to.device(product.product, name));
  };
  return (
    <form class="product-open" role="search" onSubmit={open}>
      <Input
        label={t.product.openDevice} type="search" value={name} change={(value) => setName(value.trim())} maxLength={64}
        placeholder={t.product.openHint} error={wrong ? t.shell.notAName : undefined}
      />
      <button type="submit" disabled={!isName(name)}>{t.product.open}</button>
    </form>
  );
}
