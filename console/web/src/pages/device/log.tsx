// The raw log of a device: filters, pages, and what comes as it comes.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api } from '../../calls';
import { Input, Select, Switch } from '../../components/field';
import { Badge, Section } from '../../components/layout';
import { Empty, Failed } from '../../components/state';
import { type Column, ListTable, Table } from '../../components/table';
import { Foreign } from '../../components/text';
import type { Query } from '../../http';
import { useFollow, useList } from '../../load';
import { useLocale } from '../../locale';
import type { LogEntry, Product } from '../../model';
import { useParameter } from '../../router';
import { instantOf } from '../../zone';
import { EntryDialog, Verdict } from './entry';
import { payloadPreview } from './payload';

/** Live begins with what came shortly before, so that it does not begin empty. */
const liveBeforeMs = 60_000;
const typedMs = 400; // after the last key, a text that is typed is looked for
const topicLongest = 256;
/** Denials of these are counted, and not logged. */
const notLogged = ['unknown_product', 'invalid_event'];

interface LogSectionProps {
  product: Product;
  device: string;
}

export function LogSection({ product, device }: LogSectionProps) {
  const { t } = useLocale();
  const [from, setFrom] = useParameter('from');
  const [until, setUntil] = useParameter('to');
  const [type, setType] = useParameter('type');
  const [verdict, setVerdict] = useParameter('verdict');
  const [topic, setTopic] = useParameter('topic');
  const [order, setOrder] = useParameter('order');
  const [liveFrom, setLiveFrom] = useState<string>();
  const zone = product.time_zone;
  const filter: Query = { type, verdict, topic };
  const isFiltered = [from, until, type, verdict, topic].some(Boolean);
  const reset = () => [setFrom, setUntil, setType, setVerdict, setTopic, setOrder].forEach((set) => set(''));
  const verdicts = Object.entries(t.denials.title).filter(([code]) => !notLogged.includes(code));
  return (
    <Section
      title={t.device.log} id="log"
      lead={product.plan.log_days === null ? t.device.logLead(zone) : t.device.logLeadDays(product.plan.log_days, zone)}
      actions={(
        <Switch
          label={t.device.liveSwitch} isOn={liveFrom !== undefined}
          change={(isOn) => setLiveFrom(isOn ? new Date(Date.now() - liveBeforeMs).toISOString() : undefined)}
        />
      )}
    >
      <div class="filters">
        {liveFrom === undefined && (
          <>
            <Input label={t.terms.from} type="datetime-local" value={from} change={setFrom} />
            <Input label={t.terms.to} type="datetime-local" value={until} change={setUntil} />
          </>
        )}
        <Select
          label={t.device.type} value={type} change={setType}
          options={[['', t.product.any], ...Object.entries(t.terms.eventTypes)]}
        />
        <Select
          label={t.terms.verdict} value={verdict} change={setVerdict}
          options={[['', t.product.any], ['accepted', t.terms.accepted], ...verdicts]}
        />
        <Topic topic={topic} change={setTopic} />
        {liveFrom === undefined && (
          <Select
            label={t.device.order} value={order} change={setOrder}
            options={[['', t.device.newestFirst], ['asc', t.device.oldestFirst]]}
          />
        )}
        {(isFiltered || order) && <button type="button" onClick={reset}>{t.device.reset}</button>}
      </div>
      {liveFrom === undefined ? (
        <Past
          product={product} device={device} isFiltered={isFiltered}
          filter={{ ...filter, order, from: from && instantOf(from, zone), to: until && instantOf(until, zone) }}
        />
      ) : <Live product={product} device={device} filter={{ ...filter, from: liveFrom }} />}
    </Section>
  );
}

/** A topic is looked for when nothing more is typed: it must fit as a whole. */
function Topic({ topic, change }: { topic: string; change: (topic: string) => void }) {
  const { t } = useLocale();
  const [typed, setTyped] = useState(topic);
  const sent = useRef(topic);
  useEffect(() => {
    if (topic === sent.current) return;
    sent.current = topic; // It was set elsewhere: the filters were cleared.
    setTyped(topic);
  }, [topic]);
  useEffect(() => {
    if (typed === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = typed;
      change(typed);
    }, typedMs);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <Input
      label={t.device.topic} type="search" value={typed} change={setTyped} placeholder={t.device.topicHint}
      maxLength={topicLongest}
    />
  );
}

function useColumns(zone: string, show: (entry: LogEntry) => void): Column<LogEntry>[] {
  const { t, f } = useLocale();
  return [
    {
      title: t.shell.time,
      cell: (row) => (
        <button type="button" class="quiet number" title={t.device.details} onClick={() => show(row)}>
          <time dateTime={row.decided_at}>{f.stamp(row.decided_at, zone)}</time>
        </button>
      ),
    },
    { title: t.device.type, cell: (row) => t.terms.eventTypes[row.type] ?? row.type },
    { title: t.terms.verdict, cell: (row) => <Verdict entry={row} /> },
    { title: t.device.size, cell: (row) => f.int(row.size), isNumber: true, isWide: true },
    {
      title: t.device.topic, isWide: true,
      cell: (row) => row.topic && <span class="device-topic"><Foreign text={row.topic} /></span>,
    },
    {
      title: t.device.payload, isWide: true,
      cell: (row) => <span class="mono device-preview">{payloadPreview(row)}</span>,
    },
    { title: t.device.dayUsed, cell: (row) => f.int(row.day_used), isNumber: true, isWide: true },
  ];
}

interface PastProps extends LogSectionProps {
  filter: Query;
  isFiltered: boolean;
}

function Past({ product, device, filter, isFiltered }: PastProps) {
  const { t } = useLocale();
  const [shown, show] = useState<LogEntry>();
  const columns = useColumns(product.time_zone, show);
  const list = useList(
    (page, signal) => api.deviceLog(product.product, device, { ...filter, ...page }, signal),
    [product.product, device, filter], { limit: 50 },
  );
  return (
    <>
      <ListTable
        list={list} caption={t.device.log} columns={columns} rowKey={keyOf(list.data?.rows ?? [])}
        empty={<Empty title={isFiltered ? t.device.noneFits : t.device.noLog} />}
      />
      {shown && <EntryDialog entry={shown} zone={product.time_zone} close={() => show(undefined)} />}
    </>
  );
}

/** Entries have no name: several may be decided in one millisecond. */
function keyOf(rows: readonly LogEntry[]): (row: LogEntry) => string {
  const places = new Map<LogEntry, string>();
  const seen = new Map<string, number>();
  for (const row of rows) {
    const n = seen.get(row.decided_at) ?? 0;
    seen.set(row.decided_at, n + 1);
    places.set(row, `${row.decided_at} ${n}`);
  }
  return (row) => places.get(row) ?? row.decided_at;
}

function Live({ product, device, filter }: LogSectionProps & { filter: Query }) {
  const { t } = useLocale();
  const [shown, show] = useState<LogEntry>();
  const columns = useColumns(product.time_zone, show);
  const { rows, state, error } = useFollow(
    (signal, tell) => api.followDeviceLog(product.product, device, filter, signal, tell),
    [product.product, device, filter], true,
  );
  return (
    <>
      {error !== undefined ? <Failed error={error} /> : (
        <p class="device-live" role="status">
          <Badge tone={state === 'open' ? 'ok' : 'warn'}>
            {state === 'open' ? t.shell.live : state === 'lost' ? t.shell.lost : t.shell.loading}
          </Badge>{' '}
          <span class="muted">{t.device.liveLead}</span>
        </p>
      )}
      {rows.length
        ? <Table caption={t.device.log} columns={columns} rows={rows} rowKey={keyOf(rows)} />
        : <Empty title={t.device.nothingYet} />}
      {shown && <EntryDialog entry={shown} zone={product.time_zone} close={() => show(undefined)} />}
    </>
  );
}
