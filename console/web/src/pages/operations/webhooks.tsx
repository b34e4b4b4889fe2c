// Who is told what happens, whether they take it, and what they never took.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Dialog } from '../../components/dialog';
import { Badge, Section, Time, type Tone } from '../../components/layout';
import { Empty, Failed } from '../../components/state';
import { ListTable } from '../../components/table';
import { Foreign, visible } from '../../components/text';
import { Problem } from '../../http';
import { useList } from '../../load';
import { useLocale } from '../../locale';
import type { DeadLetter, Webhook } from '../../model';

const refreshMs = 15_000;

const tones: Record<Webhook['state'], Tone> = { ok: 'ok', failing: 'warn', gone: 'bad' };

export function WebhooksSection() {
  const { t, f } = useLocale();
  const text = t.operations;
  const [opened, open] = useState<string>();
  const list = useList((page, signal) => api.webhooks(page, signal), [], { limit: 20, everyMs: refreshMs });
  const isOff = list.error instanceof Problem && list.error.status === 404;
  return (
    <Section title={text.webhooks} id="webhooks" lead={text.webhooksLead}>
      {isOff ? <Empty title={text.webhooksOff} /> : (
        <ListTable
          list={list} caption={text.webhooks} rowKey={(row) => row.name}
          columns={[
            {
              title: text.name,
              cell: (row) => <>{row.name}<span class="operations-url muted"><Foreign text={row.url} /></span></>,
            },
            { title: t.terms.account, cell: (row) => row.account ?? t.shell.allAccounts, isWide: true },
            {
              title: text.state,
              cell: (row) => (
                <>
                  <Badge tone={tones[row.state]}>{text.hookStates[row.state]}</Badge>
                  {row.last_error && row.state !== 'ok' && <p class="muted"><Foreign text={row.last_error} /></p>}
                </>
              ),
            },
            {
              title: text.queued, isNumber: true, isWide: true,
              cell: (row) => <>{f.int(row.queued)}{row.oldest_queued_at && <> · {f.ago(row.oldest_queued_at)}</>}</>,
            },
            { title: text.delivered, cell: (row) => f.int(row.delivered), isNumber: true, isWide: true },
            {
              title: text.dead, isNumber: true,
              cell: (row) => (row.dead_letters ? (
                <button
                  type="button" class="quiet" aria-haspopup="dialog"
                  aria-label={`${text.dead}: ${row.name}, ${f.int(row.dead_letters)}`} onClick={() => open(row.name)}
                >
                  {f.int(row.dead_letters)}
                </button>
              ) : '0'),
            },
          ]}
          empty={<Empty title={text.noWebhooks}><p>{text.noWebhooksLead}</p></Empty>}
        />
      )}
      {opened !== undefined && (
        <DeadLettersDialog
          webhook={opened}
          close={() => {
            open(undefined);
            list.reload();
          }}
        />
      )}
    </Section>
  );
}

function DeadLettersDialog({ webhook, close }: { webhook: string; close: () => void }) {
  const { t, f } = useLocale();
  const text = t.operations;
  const list = useList((page, signal) => api.deadLetters(webhook, page, signal), [webhook], { limit: 10 });
  const [error, setError] = useState<unknown>();
  const retry = async (letter: DeadLetter) => {
    setError(undefined);
    try {
      await api.retryDeadLetter(webhook, letter.id);
      announce(text.retried(letter.event));
      list.reload();
    } catch (failed) {
      setError(failed);
    }
  };
  return (
    <Dialog title={text.deadOf(webhook)} close={close} isWide>
      <div class="dialog-body">
        <p class="muted">{text.deadLead}</p>
        {error !== undefined && <Failed error={error} />}
        <ListTable
          list={list} caption={text.deadOf(webhook)} rowKey={(row) => row.id}
          columns={[
            {
              title: text.event,
              cell: (row) => (
                <>
                  <span class="mono">{row.event}</span>
                  <p class="muted"><Foreign text={row.error} /></p>
                  <details class="small">
                    <summary>{text.message}</summary>
                    <pre class="operations-body">{visible(JSON.stringify(row.body, null, 2))}</pre>
                  </details>
                </>
              ),
            },
            { title: text.queuedAt, cell: (row) => <Time at={row.queued_at} />, isWide: true },
            { title: text.tries, cell: (row) => f.int(row.tries), isNumber: true, isWide: true },
            {
              title: text.action,
              cell: (row) => (
                <button type="button" class="quiet" aria-label={`${text.retry}: ${row.id}`} onClick={() => void retry(row)}>
                  {text.retry}
                </button>
              ),
            },
          ]}
          empty={<Empty title={text.noDead} />}
        />
      </div>
      <div class="dialog-actions"><button type="button" class="primary" onClick={close}>{t.shell.close}</button></div>
    </Dialog>
  );
}
