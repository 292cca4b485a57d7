import { describe, expect, it } from 'vitest';
import { nearest } from '../src/nearest.ts';

describe('nearest', () => {
  const settings = ['HTTP_PORT', 'MQTT_PORT', 'HOST', 'ADMIN_PASSWORD'];

  it.each([
    ['HTTP_PROT', 'HTTP_PORT'],
    ['MQTTPORT', 'MQTT_PORT'],
    ['http_port', 'HTTP_PORT'],
    ['HOSTS', 'HOST'],
    ['ADMIN_PASSWORT', 'ADMIN_PASSWORD'],
    ['HOST', 'HOST'],
    ['', 'HOST'],
  ])('%s → %s', (written, expected) => {
    expect(nearest(written, settings)).toBe(expected);
  });

  it.each([
    ['zh', ['en', 'zh-CN'], 'zh-CN'],
    ['heat', ['head', 'heat_kwh'], 'head'],
    ['volume', ['voltage_v', 'volume_m3'], 'volume_m3'],
    ['', ['zh-CN', 'en'], 'en'],
  ])('%s of %j is the beginning of %s, or another is as near', (written, candidates, expected) => {
    expect(nearest(written, candidates)).toBe(expected);
  });

  it('takes the first of equally near ones, and of none the empty text', () => {
    expect(nearest('cat', ['bat', 'hat'])).toBe('bat');
    expect(nearest('cat', ['hat', 'bat'])).toBe('hat');
    expect(nearest('cat', [])).toBe('');
  });

  it.each([
    ['insertion', 'voltge', ['voltage', 'volume']],
    ['deletion', 'volltage', ['volume', 'voltage']],
    ['substitution', 'voltaqe', ['volume', 'voltage']],
  ])('counts one %s as one', (_edit, written, candidates) => {
    expect(nearest(written, candidates)).toBe('voltage');
  });
});
