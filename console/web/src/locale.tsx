import { type ComponentChildren, createContext } from 'preact';
import { useContext, useMemo } from 'preact/hooks';
import { Format } from './format';
import { texts, type Texts } from './i18n';
import { language } from './settings';
import { useStore } from './store';

export interface Locale {
  /** The texts: t.overview.title */
  t: Texts;
  /** Numbers and times: f.int(12345) */
  f: Format;
}

const Context = createContext<Locale>({ t: texts('en'), f: new Format('en') });

export function LocaleProvider(props: { children: ComponentChildren }) {
  const tag = useStore(language);
  const locale = useMemo(() => ({ t: texts(tag), f: new Format(tag) }), [tag]);
  return <Context.Provider value={locale}>{props.children}</Context.Provider>;
}

export function useLocale(): Locale {
  return useContext(Context);
}
