// A payload as text or as bytes. It is foreign: it is only ever text of an element.
import { useMemo, useState } from 'preact/hooks';
import { Copy } from '../../components/copy';
import { visible } from '../../components/text';
import { useLocale } from '../../locale';
import type { LogEntry } from '../../model';

/** How much of one is shown: bytes as text, and in the four times longer dump. */
const textMost = 64 * 1024;
const hexMost = 8 * 1024;
const perLine = 16;

function bytesOf(entry: LogEntry): Uint8Array | undefined {
  if (entry.payload !== undefined) return new TextEncoder().encode(entry.payload);
  if (entry.payload_base64 === undefined) return undefined;
  const text = atob(entry.payload_base64);
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Offset, bytes and what of them is ASCII, as hex dumps have been for ever. */
function dump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += perLine) {
    const line = [...bytes.subarray(at, at + perLine)];
    const hex = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = line.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(perLine * 3 - 1)}  ${text}`);
  }
  return lines.join('\n');
}

/** The beginning of a payload, for a cell: one line. */
export function payloadPreview(entry: LogEntry): string {
  if (entry.payload !== undefined) return visible(entry.payload.slice(0, 80).replace(/\s+/g, ' '));
  if (entry.payload_base64 === undefined) return '';
  try {
    const bytes = atob(entry.payload_base64.slice(0, 32));
    return Array.from(bytes, (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
  } catch {
    return '';
  }
}

export function Payload({ entry }: { entry: LogEntry }) {
  const { t, f } = useLocale();
  const [isHex, setHex] = useState(entry.payload === undefined);
  const bytes = useMemo(() => bytesOf(entry), [entry]);
  if (!bytes) {
    return <p class="muted">{entry.verdict === 'accepted' ? t.device.noPayload : t.device.deniedPayload}</p>;
  }
  const most = isHex ? hexMost : textMost;
  const shown = bytes.subarray(0, most);
  const text = isHex ? dump(shown) : visible(new TextDecoder().decode(shown));
  return (
    <div class="device-payload">
      <div class="device-payload-head" role="group" aria-label={t.device.payload}>
        <button type="button" aria-pressed={!isHex} onClick={() => setHex(false)}>{t.device.asText}</button>
        <button type="button" aria-pressed={isHex} onClick={() => setHex(true)}>{t.device.asHex}</button>
        <Copy text={text} of={t.device.payload} />
      </div>
      <div class="device-payload-text" role="region" aria-label={t.device.payload} tabIndex={0}>
        <pre class={isHex ? 'hex' : undefined} dir="ltr">{text}</pre>
      </div>
      {bytes.length > most && <p class="muted small">{t.device.firstBytes(f.int(most), f.int(bytes.length))}</p>}
      {entry.payload_truncated && <p class="muted small">{t.device.truncated(f.int(bytes.length), f.int(entry.size))}</p>}
    </div>
  );
}
