import { Dialog } from '../../components/dialog';
import { Badge, Facts, Notice, Time } from '../../components/layout';
import { Foreign } from '../../components/text';
import { denialTitle, explainDenial } from '../../denial';
import { useLocale } from '../../locale';
import type { LogEntry } from '../../model';
import { Payload } from './payload';

export function Verdict({ entry }: { entry: LogEntry }) {
  const locale = useLocale();
  if (entry.would_deny) {
    return <Badge tone="warn">{locale.t.device.wouldDeny(denialTitle(entry.would_deny, locale))}</Badge>;
  }
  if (entry.verdict === 'accepted') return <Badge tone="ok">{locale.t.terms.accepted}</Badge>;
  return <Badge tone="bad">{denialTitle(entry.verdict, locale)}</Badge>;
}

interface EntryDialogProps {
  entry: LogEntry;
  zone: string;
  close: () => void;
}

/** All that the log has of one event; a denial in words. */
export function EntryDialog({ entry, zone, close }: EntryDialogProps) {
  const locale = useLocale();
  const { t, f } = locale;
  const code = entry.would_deny ?? (entry.verdict === 'accepted' ? undefined : entry.verdict);
  return (
    <Dialog
      title={`${t.terms.eventTypes[entry.type] ?? entry.type}, ${f.dateTime(entry.decided_at, zone)}`} close={close} isWide
    >
      <div class="dialog-body">
        {code && (
          <Notice tone={entry.would_deny ? 'warn' : 'bad'}>
            <b>{entry.would_deny ? t.device.wouldDeny(denialTitle(code, locale)) : denialTitle(code, locale)}</b>
            {entry.would_deny && <p>{t.device.onlyObserved}</p>}
            <p>{explainDenial({ ...entry, code }, locale, zone)}</p>
          </Notice>
        )}
        <Facts
          rows={[
            [t.terms.verdict, <Verdict entry={entry} />],
            [t.device.decidedAt, <Time at={entry.decided_at} zone={zone} />],
            [t.device.sentAt, <Time at={entry.time} zone={zone} />],
            [t.device.sizeOf, t.device.bytes(entry.size)],
            [t.device.topic, entry.topic ? <Foreign text={entry.topic} /> : <span class="muted">{t.terms.none}</span>],
            [t.device.dayUsed, f.int(entry.day_used)],
          ]}
        />
        <h3>{t.device.payload}</h3>
        <Payload entry={entry} />
      </div>
      <div class="dialog-actions"><button type="button" onClick={close}>{t.shell.close}</button></div>
    </Dialog>
  );
}
