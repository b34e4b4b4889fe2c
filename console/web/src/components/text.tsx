// Texts that devices and gateways made: names, topics, payloads.

/** Characters that show nothing, or that change how others are shown: controls, and marks of direction and of width. */
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with what cannot be seen written out, as \u{202e}. Tabs and ends of lines stay. */
export function visible(text: string): string {
  return text.replace(hidden, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);
}

/** A foreign text: nothing in it is hidden, and it does not turn the text around it. */
export function Foreign({ text }: { text: string }) {
  return <bdi>{visible(text)}</bdi>;
}
