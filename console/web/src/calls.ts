// The calls of the API that pages make.
import { follow, get, getText, path, type Query, send } from './http';
import type {
  Account, AuditEntry, Cluster, DeadLetter, Device, DeviceDay, Disk, Enforcement, Forecast, License, LogEntry, LogPayload, Lot, Plan,
  Producer, Product, Renewal, Snapshot, Token, TopDevices, Topup, UsageRow, Webhook, WhatIf, WhoAmI,
} from './model';

/** A page of a list; next is the cursor of the one behind it. */
export interface Page<T> {
  rows: T[];
  next: string | null;
}

async function page<T>(at: string, member: string, query: Query, signal?: AbortSignal): Promise<Page<T>> {
  const answer = await get<Record<string, unknown>>(at, query, signal);
  return { rows: (answer[member] ?? []) as T[], next: (answer['next'] ?? null) as string | null };
}

/** The API's longest page. */
const pageMost = 1000;

/** All pages of a short list, one after the other, handed on and let go of. It stops after most rows. */
export async function eachPage<T>(
  load: (query: Query) => Promise<Page<T>>, most: number, rows: (rows: T[]) => void,
): Promise<{ isWhole: boolean }> {
  let cursor: string | null = null;
  for (let seen = 0; ;) {
    const got: Page<T> = await load({ limit: pageMost, cursor });
    rows(got.rows);
    seen += got.rows.length;
    cursor = got.next;
    if (!cursor) return { isWhole: true };
    if (seen >= most) return { isWhole: false };
  }
}

export const api = {
  whoAmI: (signal?: AbortSignal) => get<WhoAmI>('/v1/whoami', undefined, signal),
  signIn: (code: string) => send<{ token: string; expires_in: unknown }>('POST', '/v1/sign-in', { code }),

  accounts: (q: Query, s?: AbortSignal) => page<Account>('/v1/accounts', 'accounts', q, s),
  account: (account: string, s?: AbortSignal) => get<Account>(path`/v1/accounts/${account}`, undefined, s),
  suspendAccount: (account: string, suspended: boolean) =>
    send<unknown>('PUT', path`/v1/accounts/${account}/suspended`, { suspended }),

  products: (q: Query, s?: AbortSignal) => page<Product>('/v1/products', 'products', q, s),
  product: (product: string, s?: AbortSignal) => get<Product>(path`/v1/products/${product}`, undefined, s),
  setPlan: (product: string, plan: Partial<Plan>) => send<Product>('PUT', path`/v1/products/${product}/plan`, plan),
  suspendProduct: (product: string, suspended: boolean) =>
    send<unknown>('PUT', path`/v1/products/${product}/suspended`, { suspended }),
  renewal: (product: string, s?: AbortSignal) => get<Renewal>(path`/v1/products/${product}/renewal`, undefined, s),
  setRenewal: (product: string, renewal: Renewal) =>
    send<Renewal>('PUT', path`/v1/products/${product}/renewal`, renewal),
  enforcement: (product: string, s?: AbortSignal) =>
    get<Enforcement>(path`/v1/products/${product}/enforcement`, undefined, s),
  setEnforcement: (product: string, enforcement: Enforcement) =>
    send<Enforcement>('PUT', path`/v1/products/${product}/enforcement`, enforcement),
  logPayload: (product: string, s?: AbortSignal) =>
    get<LogPayload>(path`/v1/products/${product}/log-payload`, undefined, s),
  setLogPayload: (product: string, payload: LogPayload) =>
    send<LogPayload>('PUT', path`/v1/products/${product}/log-payload`, payload),
  forecast: (product: string, weeks: number, s?: AbortSignal) =>
    get<Forecast>(path`/v1/products/${product}/forecast`, { weeks }, s),
  lots: (product: string, q: Query, s?: AbortSignal) => page<Lot>(path`/v1/products/${product}/lots`, 'lots', q, s),
  creditLot: (product: string, lot: { order: string; quantity: number; plan?: Partial<Plan> }) =>
    send<Lot>('POST', path`/v1/products/${product}/lots`, lot),
  voidLot: (product: string, order: string, taken: { order: string; quantity: number }) =>
    send<Lot>('POST', path`/v1/products/${product}/lots/${order}/void`, taken),
  topups: (product: string, q: Query, s?: AbortSignal) =>
    page<Topup>(path`/v1/products/${product}/topups`, 'topups', q, s),
  creditTopup: (product: string, topup: { order: string; kind: 'ota'; units: number }) =>
    send<Topup>('POST', path`/v1/products/${product}/topups`, topup),
  voidTopup: (product: string, order: string, taken: { order: string; units: number }) =>
    send<Topup>('POST', path`/v1/products/${product}/topups/${order}/void`, taken),
  topDevices: (product: string, q: Query, s?: AbortSignal) =>
    get<TopDevices>(path`/v1/products/${product}/devices/top`, q, s),
  whatIf: (product: string, q: { messages_per_day: number; days: number }, s?: AbortSignal) =>
    get<WhatIf>(path`/v1/products/${product}/what-if`, q, s),

  devices: (product: string, q: Query, s?: AbortSignal) =>
    page<Device>(path`/v1/products/${product}/devices`, 'devices', q, s),
  device: (product: string, device: string, s?: AbortSignal) =>
    get<Device>(path`/v1/products/${product}/devices/${device}`, undefined, s),
  suspendDevice: (product: string, device: string, suspended: boolean) =>
    send<unknown>('PUT', path`/v1/products/${product}/devices/${device}/suspended`, { suspended }),
  deviceDays: (product: string, device: string, q: Query, s?: AbortSignal) =>
    get<{ rows: DeviceDay[]; available_from?: string }>(
      path`/v1/products/${product}/devices/${device}/usage`, q, s,
    ),
  deviceLog: (product: string, device: string, q: Query, s?: AbortSignal) =>
    page<LogEntry>(path`/v1/products/${product}/devices/${device}/logs`, 'logs', q, s),
  followDeviceLog: (
    product: string, device: string, q: Query, s: AbortSignal, tell?: (state: 'open' | 'lost') => void,
  ) => follow<LogEntry>(path`/v1/products/${product}/devices/${device}/logs`, { ...q, follow: true }, s, tell),
  /** Hides topics and payloads of what was decided until now; they leave the disk later. */
  eraseLog: (product: string, device: string) =>
    send<{ erased_until: string }>('DELETE', path`/v1/products/${product}/devices/${device}/logs`),

  productLicenses: (product: string, q: Query, s?: AbortSignal) =>
    page<License>(path`/v1/products/${product}/licenses`, 'licenses', q, s),
  accountLicenses: (account: string, q: Query, s?: AbortSignal) =>
    page<License>(path`/v1/accounts/${account}/licenses`, 'licenses', q, s),

  usage: (q: Query, s?: AbortSignal) => get<{ rows: UsageRow[]; available_from?: string }>('/v1/usage', q, s),
  snapshots: (q: Query, s?: AbortSignal) => page<Snapshot>('/v1/snapshots', 'snapshots', q, s),
  makeSnapshot: (snapshot: { account?: string; as_of: string; period: string; corrects?: string }) =>
    send<Snapshot>('POST', '/v1/snapshots', snapshot),

  /** With devices: true each with how many devices it holds, which looks at all of them. */
  producers: (q: Query, s?: AbortSignal) => page<Producer>('/v1/producers', 'producers', q, s),
  tokens: (q: Query, s?: AbortSignal) => page<Token>('/v1/tokens', 'tokens', q, s),
  makeToken: (token: { name: string; role: string; account?: string; expires_in?: string }) =>
    send<Token>('POST', '/v1/tokens', token),
  deleteToken: (name: string) => send<void>('DELETE', path`/v1/tokens/${name}`),
  webhooks: (q: Query, s?: AbortSignal) => page<Webhook>('/v1/webhooks', 'webhooks', q, s),
  deadLetters: (webhook: string, q: Query, s?: AbortSignal) =>
    page<DeadLetter>(path`/v1/webhooks/${webhook}/dead-letters`, 'dead_letters', q, s),
  retryDeadLetter: (webhook: string, id: string) =>
    send<unknown>('POST', path`/v1/webhooks/${webhook}/dead-letters/${id}/retry`),
  audit: (q: Query, s?: AbortSignal) => page<AuditEntry>('/v1/audit', 'entries', q, s),
  cluster: (s?: AbortSignal) => get<Cluster>('/v1/cluster', undefined, s),
  moveCell: (cell: number, node: string) =>
    send<unknown>('POST', path`/v1/cluster/cells/${String(cell)}/move`, { node }),
  repairCell: (cell: number) => send<unknown>('POST', path`/v1/cluster/cells/${String(cell)}/repair`),
  forgetNode: (node: string) => send<{ said: string }>('POST', path`/v1/cluster/nodes/${node}/forget`),

  disk: (s?: AbortSignal) => get<Disk>('/v1/disk', undefined, s),
  confirmClock: () => send<void>('POST', '/v1/clock/confirm'),

  ready: (s?: AbortSignal) => getText('/readyz', 'text/plain', { verbose: true }, s),
};

/**
 * Has the browser save a file of any size. A link cannot send the token, so a ticket is asked for, which is good once
 * and for a minute.
 */
export async function download(of: string): Promise<void> {
  const { url } = await send<{ url: string }>('POST', '/v1/downloads', { path: of });
  const link = document.createElement('a');
  link.href = url;
  link.download = '';
  link.click();
}
