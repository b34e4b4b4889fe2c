// The licence of a device with the time that is left, what it uses, and its last days.
import { api } from '../../calls';
import { Bars } from '../../components/bars';
import { Gauge } from '../../components/gauge';
import { Facts, Panel, Section, Time } from '../../components/layout';
import { Empty, Loaded } from '../../components/state';
import { useLoad, useNow } from '../../load';
import { useLocale } from '../../locale';
import type { Device, DeviceDay, Product } from '../../model';
import { daysUpTo } from '../../zone';

const daysShown = 30;

interface UsageProps {
  product: Product;
  device: Device;
}

export function Usage({ product, device }: UsageProps) {
  const { t } = useLocale();
  return (
    <>
      <div class="device-panels section">
        <Panel><License product={product} device={device} /></Panel>
        <Panel><Quotas product={product} device={device} /></Panel>
      </div>
      <Section title={t.device.days} lead={t.device.daysLead(product.time_zone)} id="days">
        <Panel><Days device={device} /></Panel>
      </Section>
    </>
  );
}

function License({ product, device }: UsageProps) {
  const { t, f } = useLocale();
  const now = useNow(1000);
  const [from, end] = [Date.parse(device.activated_at), Date.parse(device.expires_at)];
  const left = Math.max(0, end - now) / 1000;
  return (
    <>
      <h3>{t.terms.license}</h3>
      {device.state === 'active' && (
        <Gauge
          label={t.device.validity} used={Math.min(now, end) - from} limit={Math.max(end - from, 1)} warnAt={0.9}
          text={t.device.left(f.duration(left))}
        />
      )}
      <Facts
        rows={[
          [t.device.activatedAt, <Time at={device.activated_at} zone={product.time_zone} />],
          [device.state === 'active' ? t.device.expiresAt : t.device.ended, (
            <Time at={device.expires_at} zone={product.time_zone} />
          )],
          [t.device.holder, device.holder
            ? <span class="mono">{device.holder}</span> : <span class="muted">{t.terms.none}</span>],
          [t.device.seen, <Time at={device.last_seen_at} as="ago" />],
        ]}
      />
    </>
  );
}

function Quotas({ product, device }: UsageProps) {
  const { t, f } = useLocale();
  useNow(1000); // "in 5 minutes" goes on between two answers.
  const { messages, ota } = device;
  return (
    <>
      <h3>{t.device.quotas}</h3>
      <div class="device-gauges">
        <Gauge
          label={t.device.today(f.day(messages.day))} used={messages.up + messages.down} limit={messages.limit}
          note={t.device.todayNote(
            f.int(messages.up), f.int(messages.down), f.int(messages.denied), f.ago(messages.resets_at),
          )}
        />
        <Gauge
          label={t.device.otaMonth(f.month(ota.month))} used={ota.allowance_used} limit={ota.limit}
          tone={ota.allowance_used >= ota.limit && !product.topups.ota.available ? 'warn' : 'ok'}
          note={t.device.otaNote(f.int(ota.topup_used), f.int(ota.denied), f.date(ota.resets_at, product.time_zone))}
        />
      </div>
    </>
  );
}

function Days({ device }: { device: Device }) {
  const { t, f } = useLocale();
  const today = device.messages.day;
  const days = daysUpTo(today, daysShown);
  const load = useLoad(
    (signal) => api.deviceDays(device.product, device.device, { from: days[0], to: today }, signal),
    [device.product, device.device, today], { everyMs: 60_000 },
  );
  return (
    <Loaded of={load} isEmpty={(got) => !got.rows.length} empty={<Empty title={t.device.noDays} />}>
      {(got) => {
        const byDay = new Map(got.rows.map((row): [string, DeviceDay] => [row.day, row]));
        const values = (of: (row: DeviceDay) => number) => days.map((day) => {
          const row = byDay.get(day);
          return row ? of(row) : 0;
        });
        const limit = device.messages.limit;
        return (
          <>
            <Bars
              label={t.device.days} nameTitle={t.product.day} names={days.map((day) => f.day(day))} limit={limit}
              series={[
                { label: t.terms.up, values: values((row) => row.up), tone: 'accent' },
                { label: t.terms.down, values: values((row) => row.down), tone: 'ok' },
                { label: t.terms.denied, values: values((row) => row.denied), tone: 'bad' },
              ]}
            />
            <p class="muted small">
              {limit !== null && t.device.limitLine(f.int(limit))}{' '}
              {got.available_from && t.product.keptFrom(f.day(got.available_from))}
            </p>
          </>
        );
      }}
    </Loaded>
  );
}
