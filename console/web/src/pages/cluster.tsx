// How the cluster stands: its nodes, its cells, who owns them and what the copies lack.
import { useState } from 'preact/hooks';
import { api } from '../calls';
import { announce } from '../components/announce';
import { Confirm } from '../components/dialog';
import { Select } from '../components/field';
import { Badge, Notice, Page, Section, type Tone } from '../components/layout';
import { Empty, Loaded } from '../components/state';
import { type Column, Table } from '../components/table';
import { Foreign } from '../components/text';
import { useLoad } from '../load';
import { useLocale } from '../locale';
import type { Cell, CellState, Cluster, NodeState, Replica, ReplicaRole } from '../model';
import { may, session } from '../session';
import { useStore } from '../store';

const refreshMs = 2_000;

const nodeTones: Record<NodeState, Tone> = { starting: 'info', ready: 'ok', leaving: 'info', silent: 'bad' };
const cellTones: Record<CellState, Tone> = { owned: 'ok', unowned: 'warn', damaged: 'bad' };
const roleTones: Record<ReplicaRole, Tone> = {
  owner: 'ok', standby: 'ok', following: 'info', reseeding: 'warn', damaged: 'bad',
};

export function ClusterPage() {
  const { t } = useLocale();
  const { who } = useStore(session);
  const name = who?.cluster;
  if (!may(who, 'read')) return <Page title={t.shell.cluster}><Empty title={t.shell.forbidden} /></Page>;
  if (!name) return <Page title={t.shell.cluster}><Empty title={t.cluster.alone} /></Page>;
  return <Page title={t.cluster.title(name)}><Standing /></Page>;
}

function Standing() {
  const load = useLoad((signal) => api.cluster(signal), [], { everyMs: refreshMs });
  return (
    <Loaded of={load}>
      {(cluster) => (
        <>
          <Verdict cluster={cluster} />
          <Nodes cluster={cluster} reload={load.reload} />
          <Cells cluster={cluster} reload={load.reload} />
        </>
      )}
    </Loaded>
  );
}

/** What somebody must look at, or that there is nothing. */
function Verdict({ cluster }: { cluster: Cluster }) {
  const { t } = useLocale();
  const cells = (state: CellState) => cluster.cells.filter((c) => c.state === state).map((c) => c.cell).join(', ');
  const silent = cluster.nodes.filter((n) => n.state === 'silent').map((n) => n.node).join(', ');
  const unowned = cells('unowned');
  const damaged = cells('damaged');
  return (
    <>
      {damaged && <Notice tone="bad">{t.cluster.damagedCells(damaged)}</Notice>}
      {unowned && <Notice tone="warn">{t.cluster.unownedCells(unowned)}</Notice>}
      {silent && <Notice tone="warn">{t.cluster.silentNodes(silent)}</Notice>}
      {!damaged && !unowned && !silent && <Notice tone="ok">{t.cluster.healthy}</Notice>}
    </>
  );
}

function Nodes({ cluster, reload }: { cluster: Cluster; reload: () => void }) {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const text = t.cluster;
  const [forgetting, forget] = useState<string>();
  const owned = (node: string) => cluster.cells.filter((c) => c.owner === node).length;
  return (
    <Section title={text.nodes} id="nodes" lead={text.nodesLead}>
      <Table
        caption={text.nodes} rows={cluster.nodes} rowKey={(row) => row.node}
        columns={[
          {
            title: text.node,
            cell: (row) => <>{row.node}<span class="narrow muted"><Foreign text={row.address} /></span></>,
          },
          {
            title: text.state,
            cell: (row) => (
              <>
                <Badge tone={nodeTones[row.state]}>{text.nodeStates[row.state]}</Badge>{' '}
                {row.state === 'silent' && may(who, 'administer') && (
                  <button
                    type="button" class="quiet" aria-haspopup="dialog" aria-label={text.forgetNode(row.node)}
                    onClick={() => forget(row.node)}
                  >
                    {text.forget}
                  </button>
                )}
              </>
            ),
          },
          { title: text.owns, cell: (row) => f.int(owned(row.node)), isNumber: true },
          { title: text.address, cell: (row) => <span class="mono"><Foreign text={row.address} /></span>, isWide: true },
          { title: text.version, cell: (row) => <Foreign text={row.version} />, isWide: true },
        ]}
      />
      {forgetting && (
        <Confirm
          title={text.forgetTitle(forgetting)} action={text.forget} isDanger
          act={async () => {
            await api.forgetNode(forgetting);
            announce(text.forgotten(forgetting));
          }}
          close={() => {
            forget(undefined);
            reload();
          }}
        >
          <p>{text.forgetLead}</p>
        </Confirm>
      )}
    </Section>
  );
}

function Cells({ cluster, reload }: { cluster: Cluster; reload: () => void }) {
  const { t, f } = useLocale();
  const { who } = useStore(session);
  const text = t.cluster;
  const silent = new Set(cluster.nodes.filter((n) => n.state === 'silent').map((n) => n.node));
  const [moving, move] = useState<Cell>();
  const [repairing, repair] = useState<Cell>();
  const columns: Column<Cell>[] = [
    { title: text.cell, cell: (row) => row.cell, isNumber: true },
    { title: text.state, cell: (row) => <Badge tone={cellTones[row.state]}>{text.cellStates[row.state]}</Badge> },
    {
      title: text.owner,
      cell: (row) => (
        <>
          {row.owner || text.nobody}{' '}
          {may(who, 'administer') && <Action cell={row} silent={silent} move={move} repair={repair} />}
        </>
      ),
    },
    { title: text.copies, cell: (row) => <Copies cell={row} silent={silent} /> },
    { title: text.devices, cell: (row) => f.int(row.devices), isNumber: true, isWide: true },
    { title: text.group, cell: (row) => f.int(row.group), isNumber: true, isWide: true },
    { title: text.epoch, cell: (row) => f.int(row.epoch), isNumber: true, isWide: true },
  ];
  return (
    <Section title={text.cells} id="cells" lead={text.cellsLead}>
      <Table caption={text.cells} rows={cluster.cells} rowKey={(row) => row.cell} columns={columns} />
      {moving && (
        <Move
          cell={moving} silent={silent}
          close={() => {
            move(undefined);
            reload();
          }}
        />
      )}
      {repairing && (
        <Confirm
          title={text.repairTitle(String(repairing.cell))} action={text.repair} isDanger
          act={async () => {
            await api.repairCell(repairing.cell);
            announce(text.repaired(String(repairing.cell)));
          }}
          close={() => {
            repair(undefined);
            reload();
          }}
        >
          <p>{text.repairLead}</p>
        </Confirm>
      )}
    </Section>
  );
}

/** The copies beside the owner's, with what each lacks, and why it could not own the cell. */
function Copies({ cell, silent }: { cell: Cell; silent: Set<string> }) {
  const { t, f } = useLocale();
  const text = t.cluster;
  const said = (r: Replica) => (r.lag_groups ? text.lacks(f.int(r.lag_groups)) : text.hasAll);
  return (
    <ul class="cluster-copies">
      {cell.replicas.filter((r) => r.node !== cell.owner).map((r) => (
        <li key={r.node}>
          {r.node} <span class="muted">{said(r)}</span>{' '}
          {silent.has(r.node) ? <Badge tone="bad">{text.nodeStates.silent}</Badge>
            : r.role !== 'standby' && <Badge tone={roleTones[r.role]}>{text.roles[r.role]}</Badge>}
          {r.why && <p class="muted"><Foreign text={r.why} /></p>}
        </li>
      ))}
    </ul>
  );
}

interface ActionProps {
  cell: Cell;
  silent: Set<string>;
  move: (cell: Cell) => void;
  repair: (cell: Cell) => void;
}

/** What can be done about a cell as it stands. */
function Action({ cell, silent, move, repair }: ActionProps) {
  const { t } = useLocale();
  const text = t.cluster;
  const number = String(cell.cell);
  if (cell.state === 'damaged') {
    return (
      <button type="button" class="quiet" aria-haspopup="dialog" aria-label={text.repairCell(number)} onClick={() => repair(cell)}>
        {text.repair}
      </button>
    );
  }
  if (cell.state !== 'owned' || !standbys(cell, silent).length) return null;
  return (
    <button type="button" class="quiet" aria-haspopup="dialog" aria-label={text.moveCell(number)} onClick={() => move(cell)}>
      {text.move}
    </button>
  );
}

function standbys(cell: Cell, silent: Set<string>): string[] {
  return cell.replicas.filter((r) => r.role === 'standby' && !silent.has(r.node)).map((r) => r.node);
}

function Move({ cell, silent, close }: { cell: Cell; silent: Set<string>; close: () => void }) {
  const { t } = useLocale();
  const text = t.cluster;
  const names = standbys(cell, silent);
  const [node, setNode] = useState(names[0] ?? '');
  return (
    <Confirm
      title={text.moveTitle(String(cell.cell))} action={text.move} close={close} isDisabled={!node}
      act={async () => {
        await api.moveCell(cell.cell, node);
        announce(text.moved(String(cell.cell), node));
      }}
    >
      <Select
        label={text.node} value={node} change={setNode} options={names.map((name) => [name, name] as const)}
      />
      <p>{text.moveLead}</p>
    </Confirm>
  );
}
