// A device: its licence, what it uses, why it is denied, and its log.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { api } from '../calls';
import { announce } from '../components/announce';
import { Confirm } from '../components/dialog';
import { Input } from '../components/field';
import { Badge, Notice, Page } from '../components/layout';
import { Loaded } from '../components/state';
import { Problem } from '../http';
import { type Load, useLoad } from '../load';
import { useLocale } from '../locale';
import type { Device, Product } from '../model';
import { Link, to } from '../router';
import { may, session } from '../session';
import { useStore } from '../store';
import { LogSection } from './device/log';
import { Standing } from './device/standing';
import { Usage } from './device/usage';

const refreshMs = 5000;
const productRefreshMs = 60_000;

interface DevicePageProps {
  product: string;
  device: string;
}

export function DevicePage({ product, device }: DevicePageProps) {
  const { t } = useLocale();
  const load = useLoad((signal) => api.device(product, device, signal), [product, device], { everyMs: refreshMs });
  const its = useLoad((signal) => api.product(product, signal), [product], { everyMs: productRefreshMs });
  const [erased, setErased] = useState(0);
  // A device that was never active has a log all the same: of its denials.
  const isUnknown = load.error instanceof Problem && load.error.status === 404 && its.data !== undefined;
  const known = isUnknown ? undefined : load.data;
  const trail = (
    <>
      <Link to={to.overview}>{t.overview.title}</Link> / <Link to={to.product(product)}>{product}</Link> /{' '}
      {t.device.title}
    </>
  );
  return (
    <Page
      title={device} trail={trail} badges={known && <Badges device={known} />}
      actions={its.data && (
        <Actions product={product} device={device} known={known} load={load} erased={() => setErased(erased + 1)} />
      )}
    >
      {isUnknown && <Notice tone="info">{t.device.neverActive}</Notice>}
      {isUnknown && its.data && <Standing product={its.data} />}
      {!isUnknown && (
        <Loaded of={its}>
          {(theProduct) => (
            <Loaded of={load}>
              {(theDevice) => (
                <>
                  <Standing product={theProduct} device={theDevice} />
                  <Usage product={theProduct} device={theDevice} />
                </>
              )}
            </Loaded>
          )}
        </Loaded>
      )}
      {its.data && (known || isUnknown) && <LogSection key={erased} product={its.data} device={device} />}
    </Page>
  );
}

function Badges({ device }: { device: Device }) {
  const { t } = useLocale();
  return (
    <>
      <Badge tone={device.state === 'active' ? 'ok' : 'warn'}>{t.terms[device.state]}</Badge>
      <Badge tone={device.online ? 'ok' : 'plain'}>{device.online ? t.terms.online : t.terms.offline}</Badge>
      {device.suspended && <Badge tone="bad">{t.terms.suspended}</Badge>}
    </>
  );
}

interface ActionsProps {
  product: Product['product'];
  device: string;
  /** undefined: it was never active, and cannot be suspended. */
  known?: Device;
  load: Load<Device>;
  erased: () => void;
}

function Actions({ product, device, known, load, erased }: ActionsProps): ComponentChildren {
  const { t } = useLocale();
  const { who } = useStore(session);
  const [asked, ask] = useState<'suspend' | 'erase'>();
  if (!may(who, 'operate')) return null;
  return (
    <>
      {known && (
        <button type="button" onClick={() => ask('suspend')}>
          {known.suspended ? t.product.resume : t.product.suspend}
        </button>
      )}
      <button type="button" onClick={() => ask('erase')}>{t.device.erase}</button>
      {asked === 'suspend' && known && (
        <SuspendDialog
          device={known}
          close={(isDone) => {
            ask(undefined);
            if (isDone) load.reload();
          }}
        />
      )}
      {asked === 'erase' && (
        <EraseDialog
          product={product} device={device}
          close={(isDone) => {
            ask(undefined);
            if (isDone) erased();
          }}
        />
      )}
    </>
  );
}

function SuspendDialog({ device, close }: { device: Device; close: (isDone: boolean) => void }) {
  const { t } = useLocale();
  const name = device.device;
  const act = async () => {
    await api.suspendDevice(device.product, name, !device.suspended);
    announce(device.suspended ? t.product.resumed(name) : t.product.suspended(name));
  };
  return (
    <Confirm
      title={device.suspended ? t.product.resumeTitle(name) : t.product.suspendTitle(name)}
      action={device.suspended ? t.product.resume : t.product.suspend} isDanger={!device.suspended}
      act={act} close={close}
    >
      <p>{device.suspended ? t.device.resumeLead : t.device.suspendLead(device.online)}</p>
    </Confirm>
  );
}

interface EraseProps {
  product: string;
  device: string;
  close: (isDone: boolean) => void;
}

/** What is erased cannot come back: the name of the device is asked for. */
function EraseDialog({ product, device, close }: EraseProps) {
  const { t } = useLocale();
  const [typed, setTyped] = useState('');
  const act = async () => {
    await api.eraseLog(product, device);
    announce(t.device.isErased(device));
  };
  return (
    <Confirm
      title={t.device.eraseTitle(device)} action={t.device.erase} isDanger isDisabled={typed.trim() !== device}
      act={act} close={close}
    >
      <p>{t.device.eraseLead}</p>
      <Input label={t.device.eraseName(device)} value={typed} change={setTyped} isFocused isRequired maxLength={64} />
    </Confirm>
  );
}
