// Who may do what: the tokens of the API.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Copy } from '../../components/copy';
import { Confirm, Dialog } from '../../components/dialog';
import { Choice, Input, isName, Select } from '../../components/field';
import { Badge, Facts, Notice, Section, Time } from '../../components/layout';
import { ListTable } from '../../components/table';
import { daysUntil } from '../../format';
import { useList } from '../../load';
import { useLocale } from '../../locale';
import type { Role, Token } from '../../model';
import { session } from '../../session';
import { useStore } from '../../store';

/** Days before its end from which on a token is marked. */
const soonDays = 14;

const roles: readonly Role[] = ['viewer', 'billing', 'gateway', 'admin'];
const periods = ['P30D', 'P90D', 'P1Y'] as const;

type Asked = { make: true } | { remove: Token } | { made: Token };

export function TokensSection() {
  const { t } = useLocale();
  const text = t.operations;
  const { who } = useStore(session);
  const [asked, ask] = useState<Asked>();
  const list = useList((page, signal) => api.tokens(page, signal), [], { limit: 20 });
  return (
    <Section
      title={text.tokens} id="tokens" lead={text.tokensLead}
      actions={<button type="button" onClick={() => ask({ make: true })}>{text.makeToken}</button>}
    >
      <ListTable
        list={list} caption={text.tokens} rowKey={(row) => row.name}
        columns={[
          {
            title: text.name,
            cell: (row) => <>{row.name} {row.name === who?.token && <Badge tone="info">{text.thisOne}</Badge>}</>,
          },
          { title: t.terms.role, cell: (row) => t.terms.roles[row.role] },
          { title: t.terms.account, cell: (row) => row.account ?? t.shell.allAccounts, isWide: true },
          { title: text.made, cell: (row) => <Time at={row.created_at} as="date" />, isWide: true },
          { title: text.expires, cell: (row) => <Expires at={row.expires_at} />, isWide: true },
          {
            title: text.action,
            cell: (row) => (
              <button
                type="button" class="quiet" aria-label={`${text.remove}: ${row.name}`} onClick={() => ask({ remove: row })}
              >
                {text.remove}
              </button>
            ),
          },
        ]}
      />
      {asked && 'make' in asked && (
        <MakeDialog
          made={(token) => {
            ask({ made: token });
            list.reload();
          }}
          close={() => ask(undefined)}
        />
      )}
      {asked && 'made' in asked && <MadeDialog token={asked.made} close={() => ask(undefined)} />}
      {asked && 'remove' in asked && (
        <Confirm
          title={text.removeTitle(asked.remove.name)} action={text.remove} isDanger
          act={async () => {
            await api.deleteToken(asked.remove.name);
            announce(text.removed(asked.remove.name));
          }}
          close={(isDone) => {
            ask(undefined);
            if (isDone) list.reload();
          }}
        >
          <p>{text.removeLead}</p>
          {asked.remove.role === 'gateway' && <Notice tone="warn">{text.removeGateway}</Notice>}
          {asked.remove.name === who?.token && <Notice tone="warn">{text.removeOwn}</Notice>}
        </Confirm>
      )}
    </Section>
  );
}

function Expires({ at }: { at: string | null }) {
  const { t } = useLocale();
  if (!at) return <>{t.operations.never}</>;
  const days = daysUntil(at);
  return (
    <>
      <Time at={at} as="date" />{' '}
      {days < 0 ? <Badge>{t.operations.expired}</Badge>
        : days < soonDays && <Badge tone="warn">{t.operations.expiresSoon}</Badge>}
    </>
  );
}

interface MakeDialogProps {
  made: (token: Token) => void;
  close: () => void;
}

function MakeDialog({ made, close }: MakeDialogProps) {
  const { t } = useLocale();
  const text = t.operations;
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [account, setAccount] = useState('');
  const [period, setPeriod] = useState<string>('P90D');
  const wrong = (value: string) => (value && !isName(value) ? t.shell.notAName : undefined);
  // The dialog with the secret takes the place of this one, so closing it must not close that.
  const [isMade, setMade] = useState(false);
  const act = async () => {
    const token = await api.makeToken({ name, role, ...(account && { account }), ...(period && { expires_in: period }) });
    setMade(true);
    made(token);
  };
  return (
    <Confirm
      title={text.makeToken} action={text.makeToken} isDisabled={!isName(name) || !!wrong(account)} act={act}
      close={(isDone) => isDone || isMade || close()}
    >
      <Input
        label={text.name} value={name} change={(value) => setName(value.trim())} maxLength={64} isFocused isRequired
        error={wrong(name)}
      />
      <Choice
        label={t.terms.role} value={role} change={(value) => setRole(value as Role)}
        options={roles.map((one) => [one, t.terms.roles[one], text.roleLeads[one]])}
      />
      <Input
        label={t.terms.account} hint={text.accountHint} value={account} change={(value) => setAccount(value.trim())}
        maxLength={64} error={wrong(account)}
      />
      <Select
        label={text.expires} value={period} change={setPeriod}
        options={[...periods.map((one) => [one, text.periods[one]] as const), ['', text.never]]}
      />
      {role === 'admin' && !account && <Notice tone="warn">{text.allPowerful}</Notice>}
    </Confirm>
  );
}

/** The secret, the one time that it can be seen. */
function MadeDialog({ token, close }: { token: Token; close: () => void }) {
  const { t } = useLocale();
  const text = t.operations;
  return (
    <Dialog title={text.madeTitle(token.name)} close={close}>
      <div class="dialog-body">
        <Notice tone="warn">{text.madeLead}</Notice>
        <p class="operations-secret"><code>{token.token}</code> <Copy text={token.token ?? ''} of={t.shell.token} /></p>
        <Facts
          rows={[
            [t.terms.role, t.terms.roles[token.role]], [t.terms.account, token.account ?? t.shell.allAccounts],
            [text.expires, token.expires_at ? <Time at={token.expires_at} /> : text.never],
          ]}
        />
      </div>
      <div class="dialog-actions"><button type="button" class="primary" onClick={close}>{t.shell.close}</button></div>
    </Dialog>
  );
}
