// What the daemon takes in now, how fast, and what follows its log.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Chart } from '../../components/chart';
import { Confirm } from '../../components/dialog';
import { Badge, Facts, Notice, Panel, Section, Stat, Stats, Time, type Tone } from '../../components/layout';
import { Loaded } from '../../components/state';
import { Table } from '../../components/table';
import { useLocale } from '../../locale';
import type { Metrics } from '../../prom';
import { may, session } from '../../session';
import { useStore } from '../../store';
import { type Samples, useSamples } from './samples';

/** Seconds behind from which on a part is late: docs/operating.md. The archive writes an hour at a time. */
const lateAfter = 60;
const archiveLateAfter = 2 * 3600;

export function NowSection() {
  const { t } = useLocale();
  const samples = useSamples();
  return (
    <Section title={t.operations.now} id="now" lead={t.operations.nowLead}>
      <Loaded of={samples.load}>
        {(now) => (
          <>
            <Stopped now={now} />
            <Numbers now={now} samples={samples} />
            <Charts samples={samples} />
            <div class="columns">
              <Parts now={now} />
              <Panel><DaemonFacts now={now} /></Panel>
            </div>
          </>
        )}
      </Loaded>
    </Section>
  );
}

/** Why events are refused, and what can be done about it here. */
function Stopped({ now }: { now: Metrics }) {
  const { t } = useLocale();
  const { who } = useStore(session);
  const [isAsked, ask] = useState(false);
  const reasons = now.all('meterd_ingest_stopped').filter((s) => s.value > 0).map((s) => s.labels['reason'] ?? '');
  return (
    <>
      {reasons.map((reason) => (
        <Notice key={reason} tone="bad">
          {t.overview.ingestStopped(t.overview.stopped[reason] ?? reason)}{' '}
          {reason === 'clock_leap' && may(who, 'administer') && (
            <button type="button" onClick={() => ask(true)}>{t.operations.confirmClock}</button>
          )}
        </Notice>
      ))}
      {isAsked && (
        <Confirm
          title={t.operations.confirmClockTitle} action={t.operations.confirmClock} isDanger close={() => ask(false)}
          act={async () => {
            await api.confirmClock();
            announce(t.operations.clockConfirmed);
          }}
        >
          <p>{t.operations.confirmClockLead}</p>
        </Confirm>
      )}
    </>
  );
}

interface NumbersProps {
  now: Metrics;
  samples: Samples;
}

function Numbers({ now, samples }: NumbersProps) {
  const { t, f } = useLocale();
  const point = samples.points.at(-1);
  const rate = (n: number | null | undefined) => (n == null ? '–' : f.decimal(n));
  const long = (n: number | null | undefined) =>
    (n == null ? '–' : Number.isFinite(n) ? t.operations.atMost(f.duration(n)) : t.operations.veryLong);
  return (
    <Stats>
      <Stat label={t.overview.events} value={rate(point?.events)} />
      <Stat label={t.overview.denials} value={rate(point?.denied)} tone={point?.denied ? 'warn' : 'plain'} />
      <Stat
        label={t.operations.groups} value={rate(samples.groups)}
        note={samples.rowsOfGroup !== undefined && t.operations.rowsOfGroup(f.decimal(samples.rowsOfGroup))}
      />
      <Stat
        label={t.operations.commit} value={long(point?.commitMost)}
        note={point?.commitHalf != null && t.operations.half(f.duration(point.commitHalf))}
      />
      <Stat label={t.operations.gate} value={long(samples.gateMost)} />
      <Stat
        label={t.overview.devices} value={f.int(now.sum('meterd_devices_active') ?? 0)}
        note={t.overview.devicesOnline(f.int(now.sum('meterd_devices_online') ?? 0))}
      />
    </Stats>
  );
}

function Charts({ samples: { points } }: { samples: Samples }) {
  const { t, f } = useLocale();
  const times = points.map((point) => point.at);
  return (
    <div class="columns operations-charts">
      <Panel>
        <h3>{t.operations.rates}</h3>
        <Chart
          label={t.operations.rates} times={times}
          series={[
            { label: t.operations.events, values: points.map((point) => point.events), tone: 'accent', isArea: true },
            { label: t.terms.denied, values: points.map((point) => point.denied), tone: 'bad', isArea: true },
          ]}
        />
      </Panel>
      <Panel>
        <h3>{t.operations.latency}</h3>
        <Chart
          label={t.operations.latency} times={times} format={(n) => (n === 0 ? '0' : f.duration(n))}
          series={[
            { label: t.operations.p99, values: points.map((point) => point.commitMost), tone: 'warn' },
            { label: t.operations.p50, values: points.map((point) => point.commitHalf), tone: 'accent' },
          ]}
        />
      </Panel>
    </div>
  );
}

/** Something that follows the log or the clock, and how far behind it is. */
interface Part {
  name: string;
  tone: Tone;
  state: string;
  seconds?: number;
}

function Parts({ now }: { now: Metrics }) {
  const { t, f } = useLocale();
  const text = t.operations;
  const one = (name: string, label: string, value: string) => now.sum(name, (labels) => labels[label] === value);
  const part = (name: string, seconds: number | undefined, hasFailed: boolean, late: number): Part => {
    const isLate = (seconds ?? 0) > late;
    return {
      name, seconds,
      tone: hasFailed ? 'bad' : isLate ? 'warn' : 'ok',
      state: hasFailed ? text.failed : isLate ? text.late : text.follows,
    };
  };
  const parts: Part[] = [
    ...now.all('meterd_view_lag_seconds').map((s) => {
      const view = s.labels['view'] ?? '';
      const late = view === 'archive' ? archiveLateAfter : lateAfter;
      return part(text.views[view] ?? view, s.value, !!one('meterd_view_failed', 'view', view), late);
    }),
    ...now.all('meterd_history_lag_seconds').map((s) => {
      const store = s.labels['store'] ?? '';
      return part(text.stores[store] ?? store, s.value, one('meterd_history_up', 'store', store) === 0, lateAfter);
    }),
    part(
      text.schedule, now.sum('meterd_snapshot_export_lag_seconds'),
      !!now.sum('meterd_snapshot_schedule_failing') || !!now.sum('meterd_snapshots_damaged'), 3600,
    ),
  ];
  return (
    <Table
      caption={text.parts} rows={parts} rowKey={(row) => row.name}
      columns={[
        { title: text.part, cell: (row) => row.name },
        { title: text.state, cell: (row) => <Badge tone={row.tone}>{row.state}</Badge> },
        { title: text.behind, cell: (row) => (row.seconds === undefined ? '–' : f.duration(row.seconds)), isNumber: true },
      ]}
    />
  );
}

function DaemonFacts({ now }: { now: Metrics }) {
  const { t, f } = useLocale();
  const text = t.operations;
  const amount = (name: string, write: (n: number) => string) => {
    const n = now.sum(name);
    return n === undefined ? '–' : write(n);
  };
  const started = now.sum('process_start_time_seconds');
  const int = (n: number) => f.int(n);
  return (
    <Facts
      rows={[
        [text.checkpoint, amount('meterd_checkpoint_age_seconds', (n) => f.duration(n))],
        [text.groupsTotal, amount('meterd_groups_total', int)],
        [text.logBytes, amount('meterd_log_bytes', (n) => f.bytes(n))],
        [text.memory, amount('process_resident_memory_bytes', (n) => f.bytes(n))],
        [text.connections, amount('meterd_connections', int)],
        [text.refused, amount('meterd_connections_refused_total', int)],
        [text.streams, amount('meterd_streams', int)],
        [text.started, started ? <Time at={new Date(started * 1000).toISOString()} as="ago" /> : '–'],
      ]}
    />
  );
}
