// Sealed snapshots: what a month's bill is made from, with the check sums that prove that nothing was changed.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Copy } from '../../components/copy';
import { Confirm, Dialog } from '../../components/dialog';
import { Input, isName, Switch } from '../../components/field';
import { Badge, Facts, Notice, Section, Time } from '../../components/layout';
import { Save } from '../../components/save';
import { Empty } from '../../components/state';
import { ListTable, Table } from '../../components/table';
import { useTyped } from '../../components/typed';
import { path, withQuery } from '../../http';
import { type List, useList } from '../../load';
import { useLocale } from '../../locale';
import type { Snapshot } from '../../model';
import { useParameter } from '../../router';
import { may, session } from '../../session';
import { useStore } from '../../store';
import { dayOf } from '../../zone';

/** As much of a check sum as one compares at a glance; the whole stands in the dialog. */
const sumShown = 12;

/** Files of a snapshot that have their columns by other names too. */
const hasFocus = (file: string) => /\.(csv|ndjson)$/.test(file) && file.startsWith('devices');

const isMonth = (text: string) => /^\d{4}-(0[1-9]|1[0-2])$/.test(text);

/** What is asked about: a snapshot that is looked at, or one that is to be made. */
type Asked = { show: Snapshot } | { seal: { corrects?: Snapshot } };

export function SnapshotsSection() {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const [period, setPeriod] = useParameter('period');
  const [about, setAbout] = useParameter('about');
  const [aboutText, typeAbout, isWrong] = useTyped(about, setAbout, isName);
  const [asked, ask] = useState<Asked>();
  const list = useList(
    (page, signal) => api.snapshots({ ...page, period, account: about }, signal), [period, about], { limit: 20 },
  );
  const isFiltered = !!(period || about);
  const account = (one: Snapshot) => one.account ?? t.shell.allAccounts;
  return (
    <Section
      title={t.billing.snapshots} id="snapshots" lead={t.billing.snapshotsLead}
      actions={may(who, 'snapshot') && (
        <button type="button" class="primary" onClick={() => ask({ seal: {} })}>{t.billing.seal}</button>
      )}
    >
      <div class="filters">
        <Input label={t.billing.month} type="month" value={period} change={(value) => setPeriod(isMonth(value) ? value : '')} />
        {!who?.account && (
          <Input
            label={t.terms.account} type="search" value={aboutText} change={typeAbout} maxLength={64}
            error={isWrong ? t.shell.notAName : undefined}
          />
        )}
      </div>
      <ListTable
        list={list} caption={t.billing.snapshots} rowKey={(row) => row.id}
        columns={[
          {
            title: t.billing.snapshot,
            cell: (row) => (
              <>
                <button type="button" class="quiet mono" aria-haspopup="dialog" onClick={() => ask({ show: row })}>
                  {row.id}
                </button>
                <Corrections of={row} list={list} />
                <span class="narrow muted"><Time at={row.as_of} as="date" /></span>
              </>
            ),
          },
          {
            title: t.billing.month,
            cell: (row) => (
              <>
                <span class="billing-window">{f.monthShort(row.period)}</span>{' '}
                {row.final ? <Badge tone="ok">{t.billing.final}</Badge> : <Badge tone="info">{t.billing.soFar}</Badge>}
              </>
            ),
          },
          { title: t.terms.account, cell: account, isWide: true },
          { title: t.billing.asOf, cell: (row) => <Time at={row.as_of} />, isWide: true },
          { title: t.billing.madeBy, cell: (row) => row.made_by, isWide: true },
          { title: t.terms.deviceMany, cell: (row) => f.int(row.rows), isNumber: true, isWide: true },
          {
            title: t.billing.sum, isWide: true,
            cell: (row) => <span class="mono" title={row.sha256}>{row.sha256.slice(0, sumShown)}…</span>,
          },
        ]}
        empty={(
          <Empty title={isFiltered ? t.billing.noneFits : t.billing.noSnapshots}>
            {!isFiltered && <p>{t.billing.noSnapshotsLead}</p>}
          </Empty>
        )}
      />
      {asked && 'show' in asked && (
        <SnapshotDialog
          snapshot={asked.show} list={list} close={() => ask(undefined)}
          correct={may(who, 'snapshot') ? () => ask({ seal: { corrects: asked.show } }) : undefined}
        />
      )}
      {asked && 'seal' in asked && (
        <SealDialog
          corrects={asked.seal.corrects}
          close={(isDone) => {
            ask(undefined);
            if (isDone) list.reload();
          }}
        />
      )}
    </Section>
  );
}

interface CorrectionsProps {
  of: Snapshot;
  list: List<Snapshot>;
}

/** Whose place it takes, and which took its place, as far as the page of the list shows it. */
function Corrections({ of, list }: CorrectionsProps) {
  const { t } = useLocale();
  const by = list.data?.rows.find((one) => one.corrects === of.id);
  return (
    <>
      {of.corrects && <> <Badge tone="warn">{t.billing.corrects(of.corrects)}</Badge></>}
      {by && <> <Badge tone="bad">{t.billing.correctedBy(by.id)}</Badge></>}
    </>
  );
}

interface SnapshotDialogProps {
  snapshot: Snapshot;
  list: List<Snapshot>;
  /** undefined: the token may not. */
  correct?: () => void;
  close: () => void;
}

function SnapshotDialog({ snapshot, list, correct, close }: SnapshotDialogProps) {
  const { t, f } = useLocale();
  const [isFocus, setFocus] = useState(false);
  const { id } = snapshot;
  const at = (file: string) =>
    withQuery(path`/v1/snapshots/${id}/${file}`, { columns: isFocus && hasFocus(file) ? 'focus' : '' });
  const save = (file: string) => (
    <Save at={at(file)} text={t.shell.download} label={`${t.shell.download}: ${file}`} class="quiet" />
  );
  return (
    <Dialog title={t.billing.dialogTitle(id, f.month(snapshot.period))} close={close} isWide>
      <div class="dialog-body">
        <p>
          {snapshot.final ? <Badge tone="ok">{t.billing.final}</Badge> : <Badge tone="info">{t.billing.soFar}</Badge>}
          <Corrections of={snapshot} list={list} />
        </p>
        <Facts
          rows={[
            [t.terms.account, snapshot.account ?? t.shell.allAccounts],
            [t.billing.asOf, <Time at={snapshot.as_of} />],
            [t.billing.sealedAt, <><Time at={snapshot.sealed_at} /> · {snapshot.made_by}</>],
            [t.billing.group, f.int(snapshot.group)],
            [t.billing.sum, <Sum of={snapshot.sha256} name={id} />],
            [t.billing.previousSum, snapshot.previous_sha256
              ? <Sum of={snapshot.previous_sha256} name={t.billing.previousSum} /> : t.terms.none],
          ]}
        />
        <p class="muted small">{t.billing.sumLead}</p>
        <Table
          caption={t.billing.files} rowKey={(file) => file.name}
          rows={[...snapshot.files, { name: 'SHA256SUMS', bytes: 0, rows: 0, sha256: '' }]}
          columns={[
            {
              title: t.billing.file,
              cell: (file) => (
                <>
                  <span class="mono">{file.name}</span>
                  {file.sha256 && <span class="billing-sum mono muted">{file.sha256}</span>}
                </>
              ),
            },
            { title: t.billing.rows, cell: (file) => file.sha256 && f.int(file.rows), isNumber: true, isWide: true },
            { title: t.billing.size, cell: (file) => file.sha256 && f.bytes(file.bytes), isNumber: true, isWide: true },
            { title: t.billing.action, cell: (file) => save(file.name) },
          ]}
        />
        <Switch label={t.billing.focus} isOn={isFocus} change={setFocus} />
        {isFocus && <p class="muted small">{t.billing.focusLead}</p>}
      </div>
      <div class="dialog-actions">
        {correct && <button type="button" onClick={correct}>{t.billing.correct}</button>}
        <button type="button" class="primary" onClick={close}>{t.shell.close}</button>
      </div>
    </Dialog>
  );
}

function Sum({ of, name }: { of: string; name: string }) {
  return <><span class="mono">{of}</span> <Copy text={of} of={name} /></>;
}

interface SealDialogProps {
  corrects?: Snapshot;
  close: (isDone: boolean) => void;
}

/** Asks for the month, and says what sealing it means. */
function SealDialog({ corrects, close }: SealDialogProps) {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const thisMonth = dayOf(Date.now(), 'UTC').slice(0, 7);
  const [period, setPeriod] = useState(corrects?.period ?? thisMonth);
  const [account, setAccount] = useState(corrects?.account ?? who?.account ?? '');
  const isWrong = account !== '' && !isName(account);
  const act = async () => {
    const made = await api.makeSnapshot({
      as_of: 'now', period, ...(account && { account }), ...(corrects && { corrects: corrects.id }),
    });
    announce(t.billing.sealed(made.id, f.month(made.period), made.rows));
  };
  return (
    <Confirm
      title={corrects ? t.billing.correctTitle(corrects.id) : t.billing.sealTitle}
      action={corrects ? t.billing.correct : t.billing.seal}
      isDisabled={!isMonth(period) || isWrong} act={act} close={close}
    >
      <p>{corrects ? t.billing.correctLead(corrects.id) : t.billing.sealLead}</p>
      {corrects ? (
        <Facts rows={[[t.billing.month, f.month(period)], [t.terms.account, account || t.shell.allAccounts]]} />
      ) : (
        <>
          <Input label={t.billing.month} type="month" value={period} change={setPeriod} isRequired isFocused />
          {!who?.account && (
            <Input
              label={t.terms.account} hint={t.billing.accountHint} value={account} change={(value) => setAccount(value.trim())}
              maxLength={64} error={isWrong ? t.shell.notAName : undefined}
            />
          )}
        </>
      )}
      {isMonth(period) && period >= thisMonth && <Notice tone="warn">{t.billing.notOver(f.month(period))}</Notice>}
    </Confirm>
  );
}
