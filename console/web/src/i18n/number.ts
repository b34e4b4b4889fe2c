const englishRules = new Intl.PluralRules('en');
const english = new Intl.NumberFormat('en');
const chinese = new Intl.NumberFormat('zh-CN');

/** "1 device", "1,200 devices" */
export function counted(n: number, one: string, more: string): string {
  return `${english.format(n)} ${englishRules.select(n) === 'one' ? one : more}`;
}

/** "1,200 台设备": Chinese has one form. */
export function amount(n: number, words: string): string {
  return `${chinese.format(n)} ${words}`;
}
