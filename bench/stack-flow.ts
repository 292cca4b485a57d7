/** The Node-RED flow of the compared stack: mqtt in → json → function → http request, line protocol to InfluxDB. */
import { GATEWAY_TOPIC } from './publishes.ts';

/**
 * Gathers the points of 5 ms into one write, as B does with its inserts. Most flows write every message on its own,
 * which is slower: the comparison is with a flow by somebody who took care.
 */
const TO_LINES = `
const lines = context.get('lines') || [];
for (const [instrument, readings] of Object.entries(msg.payload)) {
  for (const { ts, values } of readings) {
    const fields = Object.entries(values).map(([name, value]) => name + '=' + value).join(',');
    lines.push('readings,instrument=' + instrument + ' ' + fields + ' ' + ts);
  }
}
if (lines.length > 0 && !context.get('timer')) {
  context.set('timer', setTimeout(() => {
    context.set('timer', undefined);
    context.set('lines', []);
    node.send({ payload: lines.join('\\n'), headers: { 'content-type': 'text/plain' } });
  }, 5));
}
context.set('lines', lines);
`;

export function nodeRedFlow({ mqttPort, writeUrl }: { mqttPort: number; writeUrl: string }): object[] {
  const tab = 'bench-tab';
  const node = (id: string, type: string, to: string | undefined, settings: object) => ({
    id,
    type,
    z: tab,
    name: '',
    x: 0,
    y: 0,
    wires: [to ? [to] : []],
    ...settings,
  });
  return [
    { id: tab, type: 'tab', label: 'bench', disabled: false },
    {
      id: 'bench-broker',
      type: 'mqtt-broker',
      name: '',
      broker: '127.0.0.1',
      port: String(mqttPort),
      clientid: 'node-red-bench',
      autoConnect: true,
      usetls: false,
      protocolVersion: '4',
      keepalive: '60',
      cleansession: false,
    },
    node('bench-in', 'mqtt in', 'bench-json', {
      topic: GATEWAY_TOPIC,
      qos: '1',
      datatype: 'utf8',
      broker: 'bench-broker',
      nl: false,
      rap: true,
      rh: 0,
      inputs: 0,
    }),
    node('bench-json', 'json', 'bench-lines', { property: 'payload', action: 'obj', pretty: false }),
    node('bench-lines', 'function', 'bench-write', {
      func: TO_LINES,
      outputs: 1,
      timeout: 0,
      noerr: 0,
      initialize: '',
      finalize: '',
      libs: [],
    }),
    node('bench-write', 'http request', undefined, {
      method: 'POST',
      ret: 'txt',
      paytoqs: 'ignore',
      url: writeUrl,
      tls: '',
      persist: true,
      proxy: '',
      authType: '',
      senderr: false,
      headers: [],
    }),
  ];
}
