// The plan of a product, and its switches.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { Badge, Facts, Panel, Section } from '../../components/layout';
import { Loaded } from '../../components/state';
import { useLoad } from '../../load';
import { type Locale, useLocale } from '../../locale';
import type { Enforcement, LogPayload, Plan, Product, Renewal } from '../../model';
import { may, session } from '../../session';
import { useStore } from '../../store';
import { EnforcementDialog, LogPayloadDialog, RenewalDialog } from './switches';

/** A value of a plan in words. */
export function planValue(plan: Plan, field: keyof Plan, { t, f }: Locale): string {
  switch (field) {
    case 'validity':
      return f.period(plan.validity);
    case 'messages_per_day':
      return plan.messages_per_day === null ? t.terms.noLimit : f.int(plan.messages_per_day);
    case 'message_unit_bytes':
      return plan.message_unit_bytes ? f.bytes(plan.message_unit_bytes) : t.product.eachIsOne;
    case 'ota_per_month':
      return t.terms.units(plan.ota_per_month);
    case 'ota_unit_bytes':
      return f.bytes(plan.ota_unit_bytes);
    case 'log_days':
      return plan.log_days === null ? t.product.underADay : t.terms.days(plan.log_days);
  }
}

export function planTitle(field: keyof Plan, { t }: Locale): string {
  return {
    validity: t.terms.validity, messages_per_day: t.terms.messagesPerDay, message_unit_bytes: t.terms.messageUnit,
    ota_per_month: t.terms.otaPerMonth, ota_unit_bytes: t.terms.otaUnit, log_days: t.terms.logDays,
  }[field];
}

interface PlanSectionProps {
  product: Product;
  upgrade: () => void;
}

export function PlanSection({ product, upgrade }: PlanSectionProps) {
  const locale = useLocale();
  const { t } = locale;
  const { who } = useStore(session);
  const { plan } = product;
  const row = (field: keyof Plan) => [planTitle(field, locale), planValue(plan, field, locale)] as const;
  return (
    <Section
      title={t.terms.plan} id="plan"
      actions={may(who, 'administer') && <button type="button" onClick={upgrade}>{t.product.upgrade}</button>}
    >
      <div class="columns">
        <Panel>
          <Facts
            rows={[
              row('validity'), row('messages_per_day'), row('message_unit_bytes'), row('ota_per_month'),
              row('ota_unit_bytes'), row('log_days'), [t.terms.timeZone, product.time_zone],
            ]}
          />
        </Panel>
        {may(who, 'read') && <Panel><Switches product={product} /></Panel>}
      </div>
    </Section>
  );
}

interface SwitchStates {
  renewal: Renewal;
  enforcement: Enforcement;
  payload: LogPayload;
}

/** Renewal, enforcement and what is logged: each with what it is set to, and a button to set it. */
function Switches({ product }: { product: Product }) {
  const { t } = useLocale();
  const { who } = useStore(session);
  const [asked, ask] = useState<keyof SwitchStates>();
  const states = useLoad(async (signal): Promise<SwitchStates> => {
    const [renewal, enforcement, payload] = await Promise.all([
      api.renewal(product.product, signal), api.enforcement(product.product, signal),
      api.logPayload(product.product, signal),
    ]);
    return { renewal, enforcement, payload };
  }, [product.product]);
  const close = (isDone: boolean) => {
    ask(undefined);
    if (isDone) states.reload();
  };
  const change = (what: keyof SwitchStates, title: string) => {
    if (!may(who, what === 'enforcement' ? 'administer' : 'operate')) return null;
    return (
      <button type="button" class="quiet" aria-label={`${t.product.change}: ${title}`} onClick={() => ask(what)}>
        {t.product.change}
      </button>
    );
  };
  return (
    <Loaded of={states}>
      {({ renewal, enforcement, payload }) => (
        <>
          <Facts
            rows={[
              [t.product.renewal, (
                <span class="product-switch">
                  {renewal.auto_renew
                    ? <Badge tone="ok">{t.product.on}</Badge> : <Badge tone="warn">{t.product.off}</Badge>}
                  {renewal.auto_renew && renewal.except.length > 0 && t.product.except(renewal.except.length)}
                  {change('renewal', t.product.renewal)}
                </span>
              )],
              [t.product.enforcement, (
                <span class="product-switch">
                  <Badge tone={enforcement.mode === 'enforce' ? 'ok' : 'warn'}>{t.product.modes[enforcement.mode]}</Badge>
                  {change('enforcement', t.product.enforcement)}
                </span>
              )],
              [t.product.logPayload, (
                <span class="product-switch">
                  <Badge>{t.product.keeps[payload.keep]}</Badge>
                  {change('payload', t.product.logPayload)}
                </span>
              )],
            ]}
          />
          {asked === 'renewal' && <RenewalDialog product={product} now={renewal} close={close} />}
          {asked === 'enforcement' && <EnforcementDialog product={product} now={enforcement} close={close} />}
          {asked === 'payload' && <LogPayloadDialog product={product} now={payload} close={close} />}
        </>
      )}
    </Loaded>
  );
}
