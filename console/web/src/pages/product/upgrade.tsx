import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Confirm } from '../../components/dialog';
import { Input, type Measure, MeasureInput, NumberInput, Switch, wholeNumber } from '../../components/field';
import { Badge, Notice } from '../../components/layout';
import { type Locale, useLocale } from '../../locale';
import type { Plan, Product } from '../../model';
import { planTitle, planValue } from './plan';
import {
  bytesOf, endOf, measureOfBytes, measureOfPeriod, type PlanChange, planChanges, periodOf,
} from './planchange';

/** What is typed: it may be no plan yet. */
interface Draft {
  validity: Measure;
  hasLimit: boolean;
  messages: string;
  messageUnit: string;
  ota: string;
  otaUnit: Measure;
  logDays: string;
}

function draftOf(plan: Plan): Draft {
  return {
    validity: measureOfPeriod(plan.validity),
    hasLimit: plan.messages_per_day !== null,
    messages: String(plan.messages_per_day ?? ''),
    messageUnit: String(plan.message_unit_bytes),
    ota: String(plan.ota_per_month),
    otaUnit: measureOfBytes(plan.ota_unit_bytes),
    logDays: String(plan.log_days ?? ''),
  };
}

/** The API's bounds of a plan's values. How many log days it takes depends on its retention, so it says so itself. */
const bounds = {
  messages: 16_000_000, unitLeast: 64, unitMost: 262_144, ota: 1000, otaUnitLeast: 1024, otaUnitMost: 2 ** 40,
};
const logDaysMost = 3650;

/** The plan that a draft is, and the fields that are wrong. */
function read(draft: Draft, old: Plan): { plan: Plan; wrong: ReadonlySet<keyof Plan> } {
  const wrong = new Set<keyof Plan>();
  const number = (field: keyof Plan, n: number | undefined) => {
    if (n === undefined) wrong.add(field);
    return n ?? 0;
  };
  const validity = periodOf(draft.validity);
  const isWhole = !draft.validity.unit || wholeNumber(draft.validity.amount, 1);
  if (!isWhole || !endOf(validity, new Date())) wrong.add('validity');
  const unit = wholeNumber(draft.messageUnit, 0, bounds.unitMost);
  const otaUnit = bytesOf(draft.otaUnit);
  const plan: Plan = {
    validity,
    messages_per_day: draft.hasLimit
      ? number('messages_per_day', wholeNumber(draft.messages, 1, bounds.messages)) : null,
    message_unit_bytes: number('message_unit_bytes', unit && unit < bounds.unitLeast ? undefined : unit),
    ota_per_month: number('ota_per_month', wholeNumber(draft.ota, 0, bounds.ota)),
    ota_unit_bytes: number(
      'ota_unit_bytes', otaUnit >= bounds.otaUnitLeast && otaUnit <= bounds.otaUnitMost ? otaUnit : undefined,
    ),
    log_days: old.log_days === null && draft.logDays.trim() === ''
      ? null : number('log_days', wholeNumber(draft.logDays, 1, logDaysMost)),
  };
  return { plan, wrong };
}

interface UpgradeProps {
  product: Product;
  /** Before the first lot a plan may change either way. */
  hasLots: boolean;
  close: (isDone: boolean) => void;
}

/** Asks for the new plan, and says what it changes before it is sent. */
export function UpgradeDialog({ product, hasLots, close }: UpgradeProps) {
  const locale = useLocale();
  const { t } = locale;
  const old = product.plan;
  const [draft, setDraft] = useState(() => draftOf(old));
  const set = <K extends keyof Draft>(field: K) => (value: Draft[K]) => setDraft((now) => ({ ...now, [field]: value }));
  const { plan, wrong } = read(draft, old);
  const changes = planChanges(old, plan).filter((change) => !wrong.has(change.field));
  const refused = hasLots && changes.some((change) => change.isLower);
  const text = t.product.upgrading;
  const error = (field: keyof Plan) => (wrong.has(field) ? text.wrong[field] : undefined);
  const act = async () => {
    await api.setPlan(product.product, Object.fromEntries(changes.map(({ field }) => [field, plan[field]])));
    announce(text.done(product.product));
  };
  const periods = (['Y', 'M', 'W', 'D', 'TH', 'TM', 'TS'] as const).map((unit) => [unit, text.periods[unit]] as const);
  return (
    <Confirm
      title={text.title(product.product)} action={text.action} isDisabled={!changes.length || wrong.size > 0 || refused}
      act={act} close={close}
    >
      <p class="muted">{hasLots ? text.lead : text.leadFirst}</p>
      <div class="product-upgrade">
        {measureOfPeriod(old.validity).unit ? (
          <MeasureInput
            label={t.terms.validity} unitLabel={`${t.terms.validity}: ${t.shell.unit}`} units={periods}
            value={draft.validity} change={set('validity')} error={error('validity')}
          />
        ) : (
          <Input
            label={t.terms.validity} hint={text.iso} value={draft.validity.amount} error={error('validity')}
            change={(amount) => set('validity')({ amount, unit: '' })}
          />
        )}
        <div>
          <NumberInput
            label={t.terms.messagesPerDay} value={draft.hasLimit ? draft.messages : ''} min={1} max={bounds.messages}
            change={(value) => setDraft((now) => ({ ...now, messages: value, hasLimit: true }))}
            error={error('messages_per_day')}
          />
          <Switch
            label={t.terms.noLimit} isOn={!draft.hasLimit}
            change={(isOn) => setDraft((now) => ({
              ...now, hasLimit: !isOn, messages: now.messages || String(bounds.messages),
            }))}
          />
        </div>
        <NumberInput
          label={text.messageUnit} hint={text.messageUnitHint} value={draft.messageUnit} min={0} max={bounds.unitMost}
          change={set('messageUnit')} error={error('message_unit_bytes')}
        />
        <NumberInput
          label={text.ota} value={draft.ota} min={0} max={bounds.ota} change={set('ota')} error={error('ota_per_month')}
        />
        <MeasureInput
          label={t.terms.otaUnit} unitLabel={`${t.terms.otaUnit}: ${t.shell.unit}`} value={draft.otaUnit}
          change={set('otaUnit')}
          units={[['B', text.bytes], ['KiB', 'KiB'], ['MiB', 'MiB'], ['GiB', 'GiB']]} error={error('ota_unit_bytes')}
        />
        <NumberInput
          label={text.logDays} value={draft.logDays} min={1} max={logDaysMost} change={set('logDays')}
          error={error('log_days')}
        />
      </div>
      <div class="product-preview" aria-live="polite">
        <h3>{text.preview}</h3>
        {!changes.length && <p class="muted">{text.nothing}</p>}
        <ul>
          {changes.map((change) => (
            <ChangeItem
              key={change.field} change={change} product={product} plan={plan} isRefused={hasLots && change.isLower}
            />
          ))}
        </ul>
        {refused && <Notice tone="bad">{text.refused}</Notice>}
        {changes.length > 0 && !refused && (
          <p class="muted small">{text.reaches(product.devices.active)} {hasLots && text.forEver}</p>
        )}
      </div>
    </Confirm>
  );
}

interface ChangeItemProps {
  change: PlanChange;
  product: Product;
  plan: Plan;
  isRefused: boolean;
}

function ChangeItem({ change: { field, isLower }, product, plan, isRefused }: ChangeItemProps) {
  const locale = useLocale();
  const { t } = locale;
  return (
    <li>
      <p>
        {planTitle(field, locale)}{' '}
        <b class="number">{t.shell.of(planValue(product.plan, field, locale), planValue(plan, field, locale))}</b>{' '}
        {isLower && <Badge tone={isRefused ? 'bad' : 'warn'}>{t.product.upgrading.lower}</Badge>}
      </p>
      {!isRefused && <p class="muted small">{meaning(field, isLower, product, plan, locale)}</p>}
    </li>
  );
}

/** What a change means for devices that are active. */
function meaning(field: keyof Plan, isLower: boolean, product: Product, plan: Plan, { t, f }: Locale): string {
  const text = t.product.upgrading;
  if (field === 'validity') {
    const [old, next] = [product.plan, plan].map((of) => endOf(of.validity, new Date()));
    const shown = (end: Date | undefined) => (end ? f.date(end, product.time_zone) : '–');
    return text.meansValidity(shown(old), shown(next)) + (isLower ? ` ${text.meansEnds}` : '');
  }
  return isLower ? text.meansLower : text.means[field] ?? '';
}
