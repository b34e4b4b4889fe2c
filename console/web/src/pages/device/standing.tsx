// Whether the next event of a device would pass, and if not, why: in words.
import { api } from '../../calls';
import { Badge, Panel, Section, type Tone } from '../../components/layout';
import { Failed } from '../../components/state';
import { type DenialFacts, denialTitle, explainDenial } from '../../denial';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import type { Account, Device, Enforcement, Product, Renewal } from '../../model';

interface Facts {
  product: Product;
  /** undefined: it was never active. */
  device?: Device;
  account?: Account;
  renewal?: Renewal;
  enforcement?: Enforcement;
}

interface Obstacle extends DenialFacts {
  /** Of a suspension: the widest that holds. */
  scope?: 'account' | 'product' | 'device';
}

/** What stands against a device, as RULES.md's table has it, the first first. */
function obstacles({ product, device, account, renewal, enforcement }: Facts): Obstacle[] {
  if (account?.suspended) return [{ code: 'suspended', scope: 'account' }];
  if (product.suspended) return [{ code: 'suspended', scope: 'product' }];
  if (device?.suspended) return [{ code: 'suspended', scope: 'device' }];
  if (device?.state !== 'active') {
    const isOff = renewal && (!renewal.auto_renew || (device && renewal.except.includes(device.device)));
    if (device && isOff) return [{ code: 'renewal_off' }];
    const isLeft = product.licenses.available > 0 || (account?.licenses.gift.available ?? 0) > 0;
    return [{ code: isLeft ? 'not_activated' : 'license_exhausted' }];
  }
  if (enforcement?.mode === 'observe') return [];
  const list: Obstacle[] = [];
  const { messages, ota } = device;
  const used = messages.up + messages.down;
  if (messages.limit !== null && used >= messages.limit) {
    list.push({ code: 'message_quota_exceeded', limit: messages.limit, used, resets_at: messages.resets_at });
  }
  if (ota.allowance_used >= ota.limit && product.topups.ota.available === 0) {
    list.push({ code: 'ota_quota_exceeded', limit: ota.limit, used: ota.allowance_used, resets_at: ota.resets_at });
  }
  return list;
}

export function Standing({ product, device }: { product: Product; device?: Device }) {
  const locale = useLocale();
  const { t } = locale;
  const load = useLoad(async (signal) => {
    const [account, renewal, enforcement] = await Promise.all([
      api.account(product.account, signal), api.renewal(product.product, signal),
      api.enforcement(product.product, signal),
    ]);
    return { account, renewal, enforcement };
  }, [product.product, device?.state], { everyMs: 60_000 });
  if (!load.data) { // What is said before all is known might be wrong.
    return (
      <Section title={t.device.standing} id="standing">
        {load.error === undefined
          ? <Panel><p class="muted">{t.shell.loading}</p></Panel> : <Failed error={load.error} retry={load.reload} />}
      </Section>
    );
  }
  const list = obstacles({ product, device, ...load.data });
  const denied = device?.messages.denied ?? 0;
  const toneOf = (code: string): Tone => (code === 'ota_quota_exceeded' || code === 'not_activated' ? 'warn' : 'bad');
  return (
    <Section title={t.device.standing} id="standing">
      <Panel>
        {load.data.enforcement.mode === 'observe' && (
          <p><Badge tone="warn">{t.product.modes.observe}</Badge> {t.device.observed}</p>
        )}
        {!list.some((one) => one.code !== 'ota_quota_exceeded') && (
          <p><Badge tone="ok">{t.device.passes}</Badge> {list.length ? t.device.messagesPass : t.device.passesLead}</p>
        )}
        <ul class="device-obstacles">
          {list.map((one) => (
            <li key={one.code}>
              <Badge tone={toneOf(one.code)}>{denialTitle(one.code, locale)}</Badge>{' '}
              {one.scope ? t.device.scopes[one.scope] : explainDenial(one, locale, product.time_zone)}
            </li>
          ))}
        </ul>
        {denied > 0 && <p class="muted small">{t.device.deniedToday(denied)}</p>}
      </Panel>
    </Section>
  );
}
