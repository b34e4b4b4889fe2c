// Texts of both languages. A key that a language lacks does not compile: zh-CN has the type of en.
import * as en from './en';
import * as zh from './zh-CN';
import type { Language } from '../format';

export type Texts = typeof en;

const byLanguage: Record<Language, Texts> = { en, 'zh-CN': zh };

export function texts(language: Language): Texts {
  return byLanguage[language];
}
