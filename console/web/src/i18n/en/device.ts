import { counted } from '../number';

export const device = {
  title: 'Device',
  neverActive: 'This device has never been active: it holds no licence and has no usage. What it tried stands in its log.',

  standing: 'Would its next event pass?',
  passes: 'Passes',
  passesLead: 'Nothing stands against it: events are decided as the plan says.',
  messagesPass: 'Messages pass, but an OTA does not:',
  observed: 'The quotas of the product deny nothing at the moment; what they would deny is marked in the log.',
  scopes: {
    account: 'The whole account is suspended: every event is denied until it is resumed.',
    product: 'The whole product is suspended: every event is denied until it is resumed.',
    device: 'This device is suspended: every event is denied until it is resumed.',
  },
  deniedToday: (n: number) => `The quota denied ${counted(n, 'message', 'messages')} today.`,

  validity: 'Validity',
  left: (time: string) => `${time} left`,
  activatedAt: 'Activated',
  expiresAt: 'Ends',
  ended: 'Ended',
  holder: 'Held by',
  seen: 'Last seen',

  quotas: 'Quotas',
  today: (day: string) => `Messages, ${day}`,
  todayNote: (up: string, down: string, denied: string, resets: string) =>
    `${up} up · ${down} down · ${denied} denied · begins anew ${resets}`,
  otaMonth: (month: string) => `OTA units, ${month}`,
  otaNote: (packs: string, denied: string, resets: string) =>
    `${packs} more from packs · ${denied} denied · begins anew ${resets}`,

  days: 'Messages, last 30 days',
  daysLead: (zone: string) => `Days of ${zone}`,
  noDays: 'It used nothing in the last 30 days.',
  limitLine: (limit: string) => `The line is the plan of now: ${limit} a day, up and down together.`,

  log: 'Log',
  logLead: (zone: string) => `Times are those of ${zone}`,
  logLeadDays: (days: number, zone: string) => `Kept for ${counted(days, 'day', 'days')}; times are those of ${zone}`,
  liveSwitch: 'Live',
  liveLead: 'The newest 200 entries stay here, from a minute ago on.',
  nothingYet: 'Nothing came yet.',
  type: 'Type',
  topic: 'Topic',
  topicHint: 'The whole topic',
  order: 'Order',
  newestFirst: 'Newest first',
  oldestFirst: 'Oldest first',
  reset: 'Clear the filters',
  noLog: 'No event of this device stands in the log.',
  noneFits: 'No entry fits.',
  size: 'Bytes',
  sizeOf: 'Size',
  bytes: (n: number) => counted(n, 'byte', 'bytes'),
  dayUsed: 'Used that day',
  payload: 'Payload',
  details: 'Details',
  decidedAt: 'Decided',
  sentAt: 'Sent, says the gateway',
  wouldDeny: (title: string) => `Observed: ${title}`,

  onlyObserved: 'It passed, because the quotas of the product are only observed. Enforced, they would say:',

  asText: 'Text',
  asHex: 'Hex',
  noPayload: 'There was none, or it is not kept.',
  deniedPayload: 'Denied events stand in the log without their payload.',
  firstBytes: (shown: string, all: string) => `The first ${shown} of ${all} bytes.`,
  truncated: (kept: string, sent: string) => `Kept are ${kept} of the ${sent} bytes that were sent.`,

  suspendLead: (online: boolean) =>
    `${online ? 'It is online and is put offline at once. ' : ''}All its events are denied until it is resumed. Its licence runs on meanwhile.`,
  resumeLead: 'It can connect again, and its events are decided as the plan says. Its licence ran on meanwhile.',
  erase: 'Erase the log',
  eraseTitle: (device: string) => `Erase the log of ${device}?`,
  eraseLead: 'Topics and payloads of all its events until now can be read by nobody any more, and leave the disk soon. That cannot be undone. Types, sizes, times and verdicts stay, and so does what is billed.',
  eraseName: (device: string) => `Type the name of the device, ${device}`,
  isErased: (device: string) => `Topics and payloads of ${device} are erased.`,
};
