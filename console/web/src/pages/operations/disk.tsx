import { api } from '../../calls';
import { Section, Stat, Stats } from '../../components/layout';
import { Loaded } from '../../components/state';
import { Table } from '../../components/table';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';

const refreshMs = 60_000;

/** Days that are left from which on it is time to do something. */
const soonDays = 14;

/** What the data takes, by kind, and how long there will be room. */
export function DiskSection() {
  const { t, f } = useLocale();
  const load = useLoad((signal) => api.disk(signal), [], { everyMs: refreshMs });
  const text = t.operations;
  const growth = (n: number | null) => (n === null ? '–' : f.bytes(n));
  return (
    <Section title={text.disk} id="disk" lead={text.diskLead}>
      <Loaded of={load}>
        {(disk) => {
          const all = disk.kinds.reduce((sum, kind) => sum + kind.bytes, 0);
          const left = disk.days_left;
          return (
            <div class="operations-disk">
              <Stats>
                <Stat
                  label={text.daysLeft} value={left === null ? '–' : f.int(Math.floor(left))}
                  note={left === null ? text.daysUnknown : undefined} tone={left !== null && left < soonDays ? 'bad' : 'plain'}
                />
                <Stat
                  label={text.free} value={f.bytes(disk.free_bytes)} note={text.stopsAt(f.bytes(disk.stop_bytes))}
                  tone={disk.free_bytes < 2 * disk.stop_bytes ? 'bad' : 'plain'}
                />
                <Stat label={text.taken} value={f.bytes(all)} />
              </Stats>
              <Table
                caption={text.disk} rows={[...disk.kinds].sort((a, b) => b.bytes - a.bytes)} rowKey={(row) => row.kind}
                columns={[
                  { title: text.kind, cell: (row) => text.kinds[row.kind] ?? row.kind },
                  { title: text.directory, cell: (row) => <span class="mono">{row.kind}</span>, isWide: true },
                  { title: text.size, cell: (row) => f.bytes(row.bytes), isNumber: true },
                  { title: text.share, cell: (row) => f.percent(all ? row.bytes / all : 0), isNumber: true, isWide: true },
                  { title: text.growth, cell: (row) => growth(row.growth_bytes_per_day), isNumber: true },
                ]}
              />
            </div>
          );
        }}
      </Loaded>
    </Section>
  );
}
