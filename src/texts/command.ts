/** Commander's own words in our language; its error messages are left to the caller. */
import type { Command, Help } from 'commander';
import { type Language, say, type Text } from './text.ts';

const WORDS = {
  usage: { 'zh-CN': '用法:', en: 'Usage:' },
  options: { 'zh-CN': '选项:', en: 'Options:' },
  commands: { 'zh-CN': '命令:', en: 'Commands:' },
  arguments: { 'zh-CN': '参数:', en: 'Arguments:' },
  optionsUsage: { 'zh-CN': '[选项]', en: '[options]' },
  help: { 'zh-CN': '显示帮助', en: 'show help' },
  fallback: { 'zh-CN': '默认 {value}', en: 'default {value}' },
  environment: { 'zh-CN': '环境变量 {name}', en: 'environment {name}' },
} as const satisfies Record<string, Text>;

export function speak(command: Command, language: Language): Command {
  const titles: Readonly<Record<string, Text>> = {
    'Usage:': WORDS.usage,
    'Options:': WORDS.options,
    'Commands:': WORDS.commands,
    'Arguments:': WORDS.arguments,
  };
  const help: Partial<Help> = {
    styleTitle: (title) => (titles[title] ? say(titles[title], language) : title),
    subcommandTerm: (sub) => sub.name(),
    optionDescription: ({ description, defaultValue, envVar }) => {
      const notes = [];
      if (defaultValue !== undefined) notes.push(say(WORDS.fallback, language, { value: String(defaultValue) }));
      if (envVar !== undefined) notes.push(say(WORDS.environment, language, { name: envVar }));
      return notes.length > 0 ? `${description} (${notes.join('; ')})` : description;
    },
  };
  return command
    .usage(say(WORDS.optionsUsage, language))
    .helpOption('-h, --help', say(WORDS.help, language))
    .configureHelp(help)
    .configureOutput({ outputError: () => {} })
    .exitOverride();
}
