import { api } from '../../calls';
import { Section, Time } from '../../components/layout';
import { Empty } from '../../components/state';
import { ListTable } from '../../components/table';
import { Foreign } from '../../components/text';
import { useList } from '../../load';
import { useLocale } from '../../locale';
import { session } from '../../session';
import { useStore } from '../../store';

/** As much of what something became as a cell has room for, and of a check sum in it. */
const detailMost = 300;
const sumShown = 12;

/** What it became, without what it has not: "order: PO-1, quantity: 1000". */
function written(detail: unknown): string {
  const text = members(detail);
  return text.length > detailMost ? `${text.slice(0, detailMost)}…` : text;
}

function members(detail: unknown): string {
  if (typeof detail === 'string') return /^[0-9a-f]{64}$/.test(detail) ? `${detail.slice(0, sumShown)}…` : detail;
  if (typeof detail !== 'object' || detail === null) return JSON.stringify(detail) ?? '';
  if (Array.isArray(detail)) return detail.map(members).join(', ');
  return Object.entries(detail).filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => (typeof value === 'object' && !Array.isArray(value) ? members(value) : `${name}: ${members(value)}`))
    .join(', ');
}

/** Who changed what, the newest first. */
export function AuditSection() {
  const { t } = useLocale();
  const text = t.operations;
  const { who } = useStore(session);
  const list = useList((page, signal) => api.audit(page, signal), [], { limit: 20 });
  return (
    <Section
      title={text.audit} id="audit" lead={text.auditLead}
      actions={<button type="button" onClick={list.reload}>{text.again}</button>}
    >
      <ListTable
        list={list} caption={text.audit} rowKey={(row) => `${row.at} ${row.action} ${row.target}`}
        columns={[
          { title: t.shell.time, cell: (row) => <Time at={row.at} /> },
          { title: text.by, cell: (row) => <Foreign text={row.token} />, isWide: true },
          {
            title: text.action,
            cell: (row) => (
              <>
                {text.actions[row.action] ?? row.action}
                <span class="narrow muted"><Foreign text={row.target} /></span>
              </>
            ),
          },
          { title: text.target, cell: (row) => <Foreign text={row.target} />, isWide: true },
          { title: text.detail, cell: (row) => <span class="muted"><Foreign text={written(row.detail)} /></span>, isWide: true },
        ]}
        empty={<Empty title={who?.account ? text.noAuditOf(who.account) : text.noAudit} />}
      />
    </Section>
  );
}
