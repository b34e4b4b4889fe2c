import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { Section, Time } from '../../components/layout';
import { Empty } from '../../components/state';
import { type Column, ListTable } from '../../components/table';
import { Foreign } from '../../components/text';
import { useList } from '../../load';
import { useLocale } from '../../locale';
import type { Producer } from '../../model';

const refreshMs = 10_000;

/** The gateways with their sequences. How many devices each holds is asked for by a button: it looks at all of them. */
export function GatewaysSection() {
  const { t, f } = useLocale();
  const text = t.operations;
  const [counts, setCounts] = useState(false);
  const list = useList(
    (page, signal) => api.producers({ ...page, ...(counts && { devices: true }) }, signal), [counts],
    { limit: 20, everyMs: counts ? undefined : refreshMs },
  );
  const number = (n: number | null | undefined) => (n == null ? '–' : f.int(n));
  const columns: Column<Producer>[] = [
    { title: t.terms.gateway, cell: (row) => <Foreign text={row.producer} /> },
    { title: t.terms.account, cell: (row) => row.account ?? t.shell.allAccounts, isWide: true },
    { title: text.lastSequence, cell: (row) => number(row.last_sequence), isNumber: true },
    { title: text.oldestRemembered, cell: (row) => number(row.oldest_remembered), isNumber: true, isWide: true },
    { title: text.seen, cell: (row) => <Time at={row.last_seen_at} as="ago" /> },
    ...(counts ? [{ title: text.holds, cell: (row: Producer) => number(row.devices), isNumber: true }] : []),
  ];
  return (
    <Section
      title={text.gateways} id="gateways" lead={text.gatewaysLead}
      actions={<button type="button" onClick={() => (counts ? list.reload() : setCounts(true))}>{text.countDevices}</button>}
    >
      <ListTable
        list={list} caption={text.gateways} rowKey={(row) => `${row.account ?? ''}/${row.producer}`}
        columns={columns}
        empty={<Empty title={text.noGateways}><p>{text.noGatewaysLead}</p></Empty>}
      />
    </Section>
  );
}
