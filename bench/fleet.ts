/** The instruments the benchmark loads: equal-length ids, one district and one gateway for every group of them. */

export interface BenchFleet {
  gateways: number;
  instrumentsPerGateway: number;
}

export interface Credentials {
  username: string;
  password: string;
}

const digits = (value: number, width: number) => String(value).padStart(width, '0');

export const gatewayId = (gateway: number) => `BENCH-GW-${digits(gateway, 5)}`;

export const instrumentId = (gateway: number, index: number) => `BENCH-${digits(gateway, 5)}-${digits(index, 4)}`;

export const gatewayCredentials = (gateway: number): Credentials => ({
  username: gatewayId(gateway),
  password: `bench-secret-${digits(gateway, 5)}`,
});

export function instrumentIds(fleet: BenchFleet, gateway: number): string[] {
  return Array.from({ length: fleet.instrumentsPerGateway }, (_, index) => instrumentId(gateway, index));
}

const COLUMNS =
  'id,kind,role,district,phase,accuracy_class,manufacturer,model,batch,installed_on,owner,region,nominal_voltage_v,max_current_a,gateway';

/** The fleet as instruments.csv. No masters: their registers would have to balance with their users' for no rule to fire. */
export function instrumentsCsv(fleet: BenchFleet): string {
  const lines = [COLUMNS];
  for (let gateway = 0; gateway < fleet.gateways; gateway++) {
    const district = `BENCH-D-${digits(gateway, 5)}`;
    for (const id of instrumentIds(fleet, gateway)) {
      lines.push(`${id},electricity,user,${district},L1,B,bench,b1,1,2024-01-01,,220302,230,60,${gatewayId(gateway)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
