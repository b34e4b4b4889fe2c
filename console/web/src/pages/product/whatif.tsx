import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { Bars } from '../../components/bars';
import { NumberInput, Select, wholeNumber } from '../../components/field';
import { Panel, Section } from '../../components/layout';
import { Loaded } from '../../components/state';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Product } from '../../model';

const most = 16_000_000;
const likely = 1000; // messages a day to begin with, where there is no limit to begin from

/** How many devices another quota would have denied: asked for by a button, since it looks at all of them. */
export function WhatIfSection({ product }: { product: Product }) {
  const { t, f } = useLocale();
  const [limit, setLimit] = useState(String(product.plan.messages_per_day ?? likely));
  const [days, setDays] = useState('7');
  const [asked, ask] = useState<{ messages_per_day: number; days: number }>();
  const n = wholeNumber(limit, 1, most);
  const load = useLoad(
    (signal) => api.whatIf(product.product, asked ?? { messages_per_day: 1, days: 1 }, signal), [product.product, asked],
    { skip: !asked },
  );
  const submit = (event: Event) => {
    event.preventDefault();
    if (n === undefined) return;
    const next = { messages_per_day: n, days: Number(days) };
    if (asked?.messages_per_day === n && asked.days === next.days) load.reload();
    else ask(next);
  };
  return (
    <Section title={t.product.whatIf} id="what-if" lead={t.product.whatIfLead}>
      <Panel>
        <form class="filters" onSubmit={submit}>
          <NumberInput
            label={t.terms.messagesPerDay} value={limit} change={setLimit} min={1} max={most} isRequired
            error={n === undefined ? t.shell.number('1', f.int(most)) : undefined}
          />
          <Select
            label={t.product.span} value={days} change={setDays}
            options={['1', '7', '30', '90'].map((count) => [count, t.product.lastDays(Number(count))])}
          />
          <button type="submit" class="primary" disabled={n === undefined}>{t.product.ask}</button>
        </form>
        {asked && (
          <Loaded of={load}>
            {(got) => (
              <div aria-live="polite">
                <p class="product-answer">
                  {got.devices === 0 ? t.product.noDemand
                    : t.product.wouldDeny(
                      got.devices_denied, got.devices, f.int(got.messages_per_day), f.int(got.messages_denied),
                    )}
                </p>
                <div class="columns">
                  <Bars
                    label={t.product.devicesDenied} nameTitle={t.product.day} hasNoSum
                    names={got.days.map(({ day }) => f.day(day))}
                    series={[{
                      label: t.product.devicesDenied, values: got.days.map((day) => day.devices_denied), tone: 'warn',
                    }]}
                  />
                  <Bars
                    label={t.product.messagesDenied} nameTitle={t.product.day}
                    names={got.days.map(({ day }) => f.day(day))}
                    series={[{
                      label: t.product.messagesDenied, values: got.days.map((day) => day.messages_denied), tone: 'bad',
                    }]}
                  />
                </div>
                <p class="muted small">
                  {t.product.leavesOut} {got.available_from && t.product.keptFrom(f.day(got.available_from))}
                </p>
              </div>
            )}
          </Loaded>
        )}
      </Panel>
    </Section>
  );
}
