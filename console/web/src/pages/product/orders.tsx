// What was bought: lots of licences and packs of OTA units, and what can be taken back of them.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Confirm } from '../../components/dialog';
import { Input, isName, NumberInput, wholeNumber } from '../../components/field';
import { Facts, Section, Time } from '../../components/layout';
import { Empty } from '../../components/state';
import { type Column, ListTable } from '../../components/table';
import type { List } from '../../load';
import { useLocale } from '../../locale';
import type { Counts, Lot, Product, Topup } from '../../model';
import { may, session } from '../../session';
import { useStore } from '../../store';

const quantityMost = 1_000_000_000;

/** A lot or a pack, as orders are alike in both. */
interface Order {
  order: string;
  quantity: number;
  used: number;
  available: number;
  credited_at: string;
}

type Kind = 'lot' | 'topup';

function orderOf(row: Lot | Topup): Order {
  return { ...row, quantity: 'units' in row ? row.units : row.quantity };
}

interface OrdersProps<T> {
  kind: Kind;
  product: Product;
  list: List<T>;
  buy: () => void;
  /** Called when something was taken back. */
  changed: () => void;
}

/** The lots or the packs of a product. */
export function Orders<T extends Lot | Topup>({ kind, product, list, buy, changed }: OrdersProps<T>) {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const [asked, ask] = useState<Order>();
  const isAdmin = may(who, 'administer');
  const text = t.product[kind];
  const columns: Column<T>[] = [
    { title: t.terms.order, cell: (row) => <span class="mono">{row.order}</span> },
    { title: t.product.quantity, cell: (row) => f.int(orderOf(row).quantity), isNumber: true },
    { title: t.terms.used, cell: (row) => f.int(row.used), isNumber: true },
    { title: t.terms.available, cell: (row) => f.int(row.available), isNumber: true },
    {
      title: t.product.creditedAt, isWide: true,
      cell: (row) => <Time at={row.credited_at} as="date" zone={product.time_zone} />,
    },
  ];
  if (isAdmin) {
    columns.push({
      title: t.product.action,
      cell: (row) => row.available > 0 && (
        <button
          type="button" class="quiet" aria-label={`${t.product.takeBack}: ${row.order}`} onClick={() => ask(orderOf(row))}
        >
          {t.product.takeBack}
        </button>
      ),
    });
  }
  return (
    <Section
      title={text.title} id={kind === 'lot' ? 'lots' : 'topups'} lead={text.lead}
      actions={isAdmin && <button type="button" onClick={buy}>{text.buy}</button>}
    >
      <ListTable
        list={list} caption={text.title} rowKey={(row) => row.order} columns={columns}
        empty={<Empty title={text.none}><p>{text.noneLead}</p></Empty>}
      />
      {asked && (
        <TakeBackDialog
          kind={kind} product={product} of={asked}
          close={(isDone) => {
            ask(undefined);
            if (isDone) changed();
          }}
        />
      )}
    </Section>
  );
}

interface OrderDialogProps {
  kind: Kind;
  product: Product;
  close: (isDone: boolean) => void;
}

/** What an order will make of the counts. */
function Outcome({ now, by }: { now: Counts; by: number }) {
  const { t, f } = useLocale();
  const row = (n: number) => <b class="number">{t.shell.of(f.int(n), f.int(n + by))}</b>;
  return <Facts rows={[[t.terms.total, row(now.total)], [t.terms.available, row(now.available)]]} />;
}

function countsOf(kind: Kind, product: Product): Counts {
  return kind === 'lot' ? product.licenses : product.topups.ota;
}

function useOrder(most: number) {
  const { t, f } = useLocale();
  const [order, setOrder] = useState('');
  const [amount, setAmount] = useState('');
  const n = wholeNumber(amount, 1, most);
  return {
    order, setOrder, amount, setAmount, n,
    orderError: order && !isName(order) ? t.shell.notAName : undefined,
    amountError: amount && n === undefined ? t.shell.number('1', f.int(most)) : undefined,
    isReady: isName(order) && n !== undefined,
  };
}

export function BuyDialog({ kind, product, close }: OrderDialogProps) {
  const { t } = useLocale();
  const text = t.product[kind];
  const { order, amount, n, ...form } = useOrder(quantityMost);
  const act = async () => {
    const made = orderOf(kind === 'lot'
      ? await api.creditLot(product.product, { order, quantity: n ?? 0 })
      : await api.creditTopup(product.product, { order, kind: 'ota', units: n ?? 0 }));
    announce(text.bought(made.order, made.quantity));
  };
  return (
    <Confirm title={text.buyTitle(product.product)} action={text.buy} isDisabled={!form.isReady} act={act} close={close}>
      <Input
        label={t.terms.order} hint={t.product.orderHint} value={order} change={form.setOrder} isFocused isRequired
        maxLength={64} error={form.orderError}
      />
      <NumberInput
        label={text.amount} value={amount} change={form.setAmount} min={1} max={quantityMost} isRequired
        error={form.amountError}
      />
      <Outcome now={countsOf(kind, product)} by={n ?? 0} />
      <p class="muted small">{text.buyLead}</p>
    </Confirm>
  );
}

function TakeBackDialog({ kind, product, of, close }: OrderDialogProps & { of: Order }) {
  const { t, f } = useLocale();
  const text = t.product[kind];
  const { order, amount, n, ...form } = useOrder(of.available);
  const act = async () => {
    if (kind === 'lot') await api.voidLot(product.product, of.order, { order, quantity: n ?? 0 });
    else await api.voidTopup(product.product, of.order, { order, units: n ?? 0 });
    announce(text.takenBack(of.order, n ?? 0));
  };
  return (
    <Confirm
      title={t.product.takeBackTitle(of.order)} action={t.product.takeBack} isDanger isDisabled={!form.isReady}
      act={act} close={close}
    >
      <p>{text.takeBackLead(of.order, f.int(of.available), f.int(of.quantity))}</p>
      <Input
        label={t.product.takeBackOrder} hint={t.product.takeBackOrderHint} value={order} change={form.setOrder} isFocused
        isRequired maxLength={64} error={form.orderError}
      />
      <NumberInput
        label={text.amount} value={amount} change={form.setAmount} min={1} max={of.available} isRequired
        error={form.amountError}
      />
      <Outcome now={countsOf(kind, product)} by={-(n ?? 0)} />
    </Confirm>
  );
}
