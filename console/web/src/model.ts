// The shapes of the API's answers, as docs/openapi.yaml has them.

/** A moment, RFC 3339 in UTC. */
export type Instant = string;
/** YYYY-MM-DD. */
export type Day = string;

export type Role = 'admin' | 'gateway' | 'billing' | 'viewer';

export interface WhoAmI {
  token: string;
  role: Role;
  account?: string | null;
  expires_at?: Instant | null;
  region: string;
  version: string;
  demo?: boolean;
  /** The name of the cluster; without: it is one daemon alone. */
  cluster?: string;
}

export interface Counts {
  total: number;
  used: number;
  available: number;
}

export interface Account {
  account: string;
  kind: 'personal' | 'enterprise';
  region: string;
  suspended: boolean;
  licenses: Counts & { gift: Counts };
}

export interface Plan {
  /** ISO 8601: P5Y, P30D, PT10S. */
  validity: string;
  /** null: no limit. */
  messages_per_day: number | null;
  message_unit_bytes: number;
  ota_per_month: number;
  ota_unit_bytes: number;
  /** null: under a day. */
  log_days: number | null;
}

export interface Product {
  product: string;
  account: string;
  name: string;
  time_zone: string;
  plan: Plan;
  suspended: boolean;
  licenses: Counts;
  topups: { ota: Counts };
  devices: { active: number; online: number };
}

export interface Forecast {
  weeks: {
    from: Instant;
    to: Instant;
    renewals: number;
    activations: number;
    needed: number;
    /** Negative: so many are missing. */
    available_after: number;
  }[];
  /** null: no licence will be missing. */
  runs_dry_at: Instant | null;
  devices_at_risk: number;
}

export interface Lot {
  order: string;
  quantity: number;
  used: number;
  available: number;
  credited_at: Instant;
}

export interface Topup {
  order: string;
  kind: 'ota';
  units: number;
  used: number;
  available: number;
  credited_at: Instant;
}

export interface License {
  /** A number, and in a cluster of several cells "3-12077". */
  serial: number | string;
  product: string;
  device: string;
  /** The order of its lot, or "gift". */
  source: string;
  activated_at: Instant;
  expires_at: Instant;
  state: 'active' | 'ended';
}

export interface Device {
  product: string;
  device: string;
  state: 'active' | 'unactivated';
  online: boolean;
  holder: string | null;
  suspended: boolean;
  activated_at: Instant;
  expires_at: Instant;
  last_seen_at: Instant | null;
  messages: {
    day: Day;
    up: number;
    down: number;
    denied: number;
    limit: number | null;
    resets_at: Instant;
  };
  ota: {
    month: string;
    allowance_used: number;
    topup_used: number;
    denied: number;
    limit: number;
    resets_at: Instant;
  };
}

export interface DeviceDay {
  day: Day;
  up: number;
  down: number;
  denied: number;
  ota_units: number;
}

export interface TopDevices {
  from: Day;
  to: Day;
  top: TopDevice[];
  /** The first day that is kept, if from was before it. */
  available_from?: Day;
}

export interface TopDevice {
  device: string;
  up: number;
  down: number;
  denied: number;
  ota_units: number;
}

export interface WhatIf {
  from: Day;
  to: Day;
  messages_per_day: number;
  devices: number;
  devices_denied: number;
  messages_denied: number;
  days: { day: Day; devices_denied: number; messages_denied: number }[];
  available_from?: Day;
}

export type EventType = 'connect' | 'disconnect' | 'up' | 'down' | 'ota' | 'ota_void';

export interface LogEntry {
  /** In the log of a product. */
  device?: string;
  /** What the gateway said. */
  time: Instant | null;
  decided_at: Instant;
  type: EventType;
  size: number;
  topic: string | null;
  payload?: string;
  payload_base64?: string;
  payload_truncated?: boolean;
  /** accepted, or the code of the denial. */
  verdict: string;
  day_used: number;
  would_deny?: string;
  limit?: number;
  used?: number;
  resets_at?: Instant;
}

export interface UsageRow {
  from: Instant;
  to: Instant;
  product: string;
  messages_up: number;
  messages_down: number;
  messages_denied: number;
  ota_units: number;
  ota_topup_units: number;
  ota_denied: number;
  licenses_consumed: number;
  partial?: true;
}

export interface Snapshot {
  id: string;
  sequence: number;
  account: string | null;
  as_of: Instant;
  group: number;
  period: string;
  final: boolean;
  rows: number;
  sha256: string;
  previous_sha256: string | null;
  corrects: string | null;
  sealed: true;
  sealed_at: Instant;
  made_by: string;
  scheduled_day?: Day;
  scheduled_month?: string;
  files: { name: string; bytes: number; rows: number; sha256: string }[];
}

export interface Producer {
  producer: string;
  account?: string | null;
  /** null: it has sent none that is remembered. */
  last_sequence: number | null;
  oldest_remembered: number | null;
  last_seen_at: Instant;
  /** That it holds online, if they were asked for. */
  devices?: number;
}

export interface Disk {
  free_bytes: number;
  /** Events are refused when less is free. */
  stop_bytes: number;
  /** Until then; null: it does not grow, or it is not known yet. */
  days_left: number | null;
  kinds: { kind: string; bytes: number; growth_bytes_per_day: number | null }[];
}

export type NodeState = 'starting' | 'ready' | 'leaving' | 'silent';
export type CellState = 'owned' | 'unowned' | 'damaged';
export type ReplicaRole = 'owner' | 'standby' | 'following' | 'reseeding' | 'damaged';

export interface Replica {
  node: string;
  role: ReplicaRole;
  lag_groups: number;
  /** What keeps it from owning the cell. */
  why?: string;
}

export interface Cell {
  cell: number;
  state: CellState;
  /** Empty: none. */
  owner: string;
  epoch: number;
  group: number;
  devices: number;
  replicas: Replica[];
}

export interface ClusterNode {
  node: string;
  address: string;
  state: NodeState;
  version: string;
}

export interface Cluster {
  cluster: string;
  nodes: ClusterNode[];
  cells: Cell[];
}

export interface Token {
  name: string;
  role: Role;
  account: string | null;
  created_at: Instant;
  expires_at: Instant | null;
  /** The secret: in the answer that made it, never again. */
  token?: string;
}

export interface Webhook {
  name: string;
  url: string;
  events: string[];
  account: string | null;
  licenses_low_percent: number;
  packs_low_percent: number;
  created_at: Instant;
  changed_at: Instant;
  secret?: string;
  state: 'ok' | 'failing' | 'gone';
  queued: number;
  oldest_queued_at: Instant | null;
  dead_letters: number;
  delivered: number;
  failed_tries: number;
  dropped: number;
  last_delivered_at: Instant | null;
  last_tried_at: Instant | null;
  last_error: string | null;
  next_try_at: Instant | null;
}

export interface DeadLetter {
  id: string;
  event: string;
  queued_at: Instant;
  died_at: Instant;
  tries: number;
  error: string;
  body: unknown;
}

export interface AuditEntry {
  at: Instant;
  token: string;
  action: string;
  target: string;
  detail: unknown;
}

export interface Renewal {
  auto_renew: boolean;
  except: string[];
}

export interface Enforcement {
  mode: 'enforce' | 'observe';
}

/** What of payloads is logged; full: as much as --log-payload says. */
export interface LogPayload {
  keep: 'full' | 'none';
}
