// The dialogs that switch something for all devices of a product.
import { useState } from 'preact/hooks';
import { api } from '../../calls';
import { announce } from '../../components/announce';
import { Confirm } from '../../components/dialog';
import { Choice, isName, Switch, TextArea } from '../../components/field';
import { useLocale } from '../../locale';
import type { Enforcement, LogPayload, Product, Renewal } from '../../model';

interface SwitchProps<T> {
  product: Product;
  now: T;
  close: (isDone: boolean) => void;
}

export function SuspendDialog({ product, close }: Omit<SwitchProps<never>, 'now'>) {
  const { t } = useLocale();
  const { suspended, devices } = product;
  const act = async () => {
    await api.suspendProduct(product.product, !suspended);
    announce(suspended ? t.product.resumed(product.product) : t.product.suspended(product.product));
  };
  return (
    <Confirm
      title={suspended ? t.product.resumeTitle(product.product) : t.product.suspendTitle(product.product)}
      action={suspended ? t.product.resume : t.product.suspend} isDanger={!suspended} act={act} close={close}
    >
      <p>{suspended ? t.product.resumeLead : t.product.suspendLead(devices.online, devices.active)}</p>
    </Confirm>
  );
}

export function RenewalDialog({ product, now, close }: SwitchProps<Renewal>) {
  const { t } = useLocale();
  const [isOn, setOn] = useState(now.auto_renew);
  const [except, setExcept] = useState(now.except.join('\n'));
  const names = except.split(/[\s,]+/).filter(Boolean);
  const wrong = names.find((name) => !isName(name));
  const act = async () => {
    await api.setRenewal(product.product, { auto_renew: isOn, except: isOn ? names : [] });
    announce(isOn ? t.product.renewalIsOn : t.product.renewalIsOff);
  };
  return (
    <Confirm
      title={t.product.renewal} action={t.product.save} isDanger={!isOn} isDisabled={isOn && !!wrong}
      act={act} close={close}
    >
      <Switch label={t.product.renewalSwitch} isOn={isOn} change={setOn} />
      <p class="muted">{isOn ? t.product.renewalOnLead : t.product.renewalOffLead(product.devices.active)}</p>
      {isOn && (
        <TextArea
          label={t.product.exceptLabel} hint={t.product.exceptHint} value={except} change={setExcept}
          error={wrong && `${wrong}: ${t.shell.notAName}`}
        />
      )}
    </Confirm>
  );
}

export function EnforcementDialog({ product, now, close }: SwitchProps<Enforcement>) {
  const { t } = useLocale();
  const [mode, setMode] = useState(now.mode);
  const act = async () => {
    await api.setEnforcement(product.product, { mode });
    announce(t.product.modeSet(t.product.modes[mode]));
  };
  return (
    <Confirm
      title={t.product.enforcement} action={t.product.save} isDanger={mode !== now.mode} isDisabled={mode === now.mode}
      act={act} close={close}
    >
      <Choice
        label={t.product.modeLabel} value={mode} change={(value) => setMode(value as Enforcement['mode'])}
        options={[
          ['enforce', t.product.modes.enforce, t.product.modeLeads.enforce],
          ['observe', t.product.modes.observe, t.product.modeLeads.observe],
        ]}
      />
    </Confirm>
  );
}

export function LogPayloadDialog({ product, now, close }: SwitchProps<LogPayload>) {
  const { t } = useLocale();
  const [keep, setKeep] = useState(now.keep);
  const act = async () => {
    await api.setLogPayload(product.product, { keep });
    announce(t.product.keepSet(t.product.keeps[keep]));
  };
  return (
    <Confirm title={t.product.logPayload} action={t.product.save} isDisabled={keep === now.keep} act={act} close={close}>
      <Choice
        label={t.product.keepLabel} value={keep} change={(value) => setKeep(value as LogPayload['keep'])}
        options={[
          ['full', t.product.keeps.full, t.product.keepLeads.full],
          ['none', t.product.keeps.none, t.product.keepLeads.none],
        ]}
      />
    </Confirm>
  );
}
