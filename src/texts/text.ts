/** Every sentence a person reads exists in both languages; placeholders are `{name}`. */

export const LANGUAGES = ['zh-CN', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];
export const DEFAULT_LANGUAGE: Language = 'zh-CN';

export type Text = Readonly<Record<Language, string>>;
export type Params = Readonly<Record<string, string | number>>;

/** A placeholder without a parameter stays as it is, or becomes `missing`. */
export function say(text: Text, language: Language, params: Params = {}, missing?: string): string {
  return text[language].replace(/\{(\w+)\}/g, (hole, name: string) => String(params[name] ?? missing ?? hole));
}

/** The best of our languages for an Accept-Language header or a locale name. */
export function pickLanguage(wanted: string | undefined, fallback: Language = DEFAULT_LANGUAGE): Language {
  for (const part of (wanted ?? '').toLowerCase().split(',')) {
    const tag = part.split(';')[0]!.trim();
    if (tag.startsWith('zh')) return 'zh-CN';
    if (tag.startsWith('en')) return 'en';
  }
  return fallback;
}
