// What a person has chosen for this browser: language and colours.
import type { Language } from './format';
import { store } from './store';

export type Theme = 'auto' | 'light' | 'dark';

function remembered(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // Storage is switched off.
  }
}

function remember(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the tab is closed.
  }
}

function firstLanguage(): Language {
  const chosen = remembered('meterd.language') ?? navigator.languages.find((tag) => /^(zh|en)\b/i.test(tag)) ?? 'en';
  return /^zh\b/i.test(chosen) ? 'zh-CN' : 'en';
}

function firstTheme(): Theme {
  const chosen = remembered('meterd.theme');
  return chosen === 'light' || chosen === 'dark' ? chosen : 'auto';
}

export const language = store<Language>(firstLanguage());
export const theme = store<Theme>(firstTheme());

function apply(): void {
  document.documentElement.lang = language.get();
  document.documentElement.dataset['theme'] = theme.get();
}

apply();
language.subscribe(() => {
  remember('meterd.language', language.get());
  apply();
});
theme.subscribe(() => {
  remember('meterd.theme', theme.get());
  apply();
});
