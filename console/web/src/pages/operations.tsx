// How the daemon does: what it takes in, how far what follows the log is, its disk, and who may do what.
import { Jumps, Page } from '../components/layout';
import { WhenSeen } from '../components/seen';
import { Empty } from '../components/state';
import { useLocale } from '../locale';
import { may, session } from '../session';
import { useStore } from '../store';
import { AuditSection } from './operations/audit';
import { DiskSection } from './operations/disk';
import { GatewaysSection } from './operations/gateways';
import { NowSection } from './operations/now';
import { TokensSection } from './operations/tokens';
import { WebhooksSection } from './operations/webhooks';

export function OperationsPage() {
  const { t } = useLocale();
  const { who } = useStore(session);
  if (!may(who, 'read')) return <Page title={t.operations.title}><Empty title={t.shell.forbidden} /></Page>;
  const seesDaemon = may(who, 'daemon');
  const sections: [boolean, string, string][] = [
    [seesDaemon, 'now', t.operations.now], [seesDaemon, 'disk', t.operations.disk], [true, 'gateways', t.operations.gateways],
    [may(who, 'administer'), 'tokens', t.operations.tokens], [may(who, 'operate'), 'webhooks', t.operations.webhooks],
    [true, 'audit', t.operations.audit],
  ];
  return (
    <Page title={t.operations.title}>
      <Jumps to={sections.filter(([isThere]) => isThere).map(([, id, title]) => [id, title] as const)} />
      {seesDaemon && <NowSection />}
      {seesDaemon && <DiskSection />}
      <GatewaysSection />
      {may(who, 'administer') && <TokensSection />}
      {may(who, 'operate') && <WebhooksSection />}
      <WhenSeen>{() => <AuditSection />}</WhenSeen>
    </Page>
  );
}
