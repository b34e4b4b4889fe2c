// Whose things a page shows: those of an account or of a product. It stands in the address.
import { useId, useMemo, useState } from 'preact/hooks';
import { api } from '../calls';
import { type Load, useLoad } from '../load';
import { useLocale } from '../locale';
import type { Account, Product } from '../model';
import { useParameter } from '../router';
import { Input, isName, Select } from './field';

export interface Scope {
  kind: 'account' | 'product';
  name: string;
}

interface Known {
  accounts: Account[];
  products: Product[];
  /** They are all that this token sees. */
  isWhole: boolean;
}

export interface ScopeChoice {
  /** undefined before it is known, and if there is no account. */
  scope?: Scope;
  load: Load<Known>;
  choose: (scope: Scope) => void;
  /** The time zone of a product, undefined if it is not among those that are known. */
  zoneOf: (product: string) => string | undefined;
  /** The one time zone of all that the scope has; undefined if there are several. */
  zone?: string;
}

/** How many of each are offered by name; who has more types one. */
const most = 1000;

async function known(signal: AbortSignal): Promise<Known> {
  const [accounts, products] = await Promise.all([
    api.accounts({ limit: most }, signal), api.products({ limit: most }, signal),
  ]);
  return { accounts: accounts.rows, products: products.rows, isWhole: !accounts.next && !products.next };
}

/** The scope of the address; without one, the account that has used most licences. */
export function useScope(): ScopeChoice {
  const [account, setAccount] = useParameter('account');
  const [product, setProduct] = useParameter('product');
  const load = useLoad(known, []);
  const zones = useMemo(() => new Map(load.data?.products.map((one) => [one.product, one.time_zone])), [load.data]);
  const busiest = load.data?.accounts.reduce<Account | undefined>(
    (best, one) => (!best || one.licenses.used > best.licenses.used ? one : best), undefined,
  );
  const scope: Scope | undefined = product ? { kind: 'product', name: product }
    : account ? { kind: 'account', name: account }
      : busiest && { kind: 'account', name: busiest.account };
  const choose = (next: Scope) => {
    setAccount(next.kind === 'account' ? next.name : '');
    setProduct(next.kind === 'product' ? next.name : '');
  };
  const own = load.data?.products.filter((one) => scope && one[scope.kind] === scope.name) ?? [];
  const first = own[0]?.time_zone;
  return {
    scope, load, choose, zoneOf: (name) => zones.get(name),
    zone: load.data?.isWhole !== false && own.every((one) => one.time_zone === first) ? first : undefined,
  };
}

/** Chooses it: from a list, or by its name if there are too many for one. */
export function ScopeSelect({ of }: { of: ScopeChoice }) {
  const { t } = useLocale();
  const id = useId();
  const { scope, load: { data }, choose } = of;
  if (!data) return null;
  if (!data.isWhole) return <ScopeByName of={of} />;
  const names = scope?.kind === 'product' ? data.products.map((one) => one.product) : data.accounts.map((one) => one.account);
  const isKnown = scope && names.includes(scope.name);
  return (
    <div class="field">
      <label for={id}>{t.shell.scope}</label>
      <select
        id={id} value={scope && `${scope.kind}:${scope.name}`}
        onChange={(event) => {
          const [kind, ...name] = event.currentTarget.value.split(':');
          choose({ kind: kind as Scope['kind'], name: name.join(':') });
        }}
      >
        {scope && !isKnown && <option value={`${scope.kind}:${scope.name}`}>{scope.name}</option>}
        {data.accounts.map(({ account }) => (
          <optgroup key={account} label={account}>
            <option value={`account:${account}`}>{t.shell.wholeAccount(account)}</option>
            {data.products.filter((one) => one.account === account).map(({ product }) => (
              <option key={product} value={`product:${product}`}>{product}</option>
            ))}
          </optgroup>
        ))}
      </select>
    </div>
  );
}

function ScopeByName({ of: { scope, choose } }: { of: ScopeChoice }) {
  const { t } = useLocale();
  const [kind, setKind] = useState<Scope['kind']>(scope?.kind ?? 'account');
  const [name, setName] = useState(scope?.name ?? '');
  const submit = (event: Event) => {
    event.preventDefault();
    if (isName(name)) choose({ kind, name });
  };
  return (
    <form class="scope-by-name" onSubmit={submit}>
      <Select
        label={t.shell.scope} value={kind} change={(value) => setKind(value as Scope['kind'])}
        options={[['account', t.terms.account], ['product', t.terms.product]]}
      />
      <Input
        label={t.terms[kind]} value={name} change={(value) => setName(value.trim())} maxLength={64}
        error={name && !isName(name) ? t.shell.notAName : undefined}
      />
      <button type="submit" disabled={!isName(name)}>{t.shell.show}</button>
    </form>
  );
}
