/** Storage that speaks S3: a file appears when its upload is complete. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { MeterwardenError } from '../errors.ts';
import type { HANDOVER_PROBLEMS } from '../texts/handover.ts';
import { SCHEMA_PATH } from './manifest.ts';
import type { Target } from './target.ts';

/** Of a large file; at most 10 000 of them make one: 156 GiB. */
const PART_BYTES = 16 * 1024 * 1024;
/** Parts in memory at once. */
const PARTS_AT_ONCE = 2;
const ATTEMPTS = 5;
const CONNECT_TIMEOUT_MS = 10_000;
/** Between two bytes of an answer. */
const SILENCE_TIMEOUT_MS = 60_000;

export interface S3Settings {
  /** undefined = Amazon's own. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** undefined = as the environment of the machine gives them to every program. */
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  /** https://endpoint/bucket/key instead of https://bucket.endpoint/key. */
  readonly pathStyle: boolean;
}

export class S3Target implements Target {
  readonly workDir: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #url: string;
  readonly #name: string;

  private constructor(url: string, name: string, { endpoint, region, accessKey, secretKey, pathStyle }: S3Settings) {
    const { host, pathname } = new URL(url);
    this.#url = url;
    this.#name = name;
    this.#bucket = host;
    this.#prefix = decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '');
    // By name, so that the next run finds what a broken one has left.
    this.workDir = join(
      tmpdir(),
      `meterwarden-handover-${createHash('sha256').update(url).digest('hex').slice(0, 16)}`,
    );
    this.#client = new S3Client({
      region,
      ...(endpoint !== undefined && { endpoint }),
      ...(accessKey !== undefined && {
        credentials: { accessKeyId: accessKey, secretAccessKey: secretKey ?? '' },
      }),
      forcePathStyle: pathStyle,
      maxAttempts: ATTEMPTS,
      requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_TIMEOUT_MS },
      // Storage of other makers does not know Amazon's newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  /** `name`: of the setting or option that says where. */
  static async open(url: string, name: string, settings: S3Settings): Promise<S3Target> {
    const target = new S3Target(url, name, settings);
    await target.read(SCHEMA_PATH); // whether the storage, the keys and the bucket are right shows at once
    await rm(target.workDir, { recursive: true, force: true });
    await mkdir(target.workDir, { recursive: true, mode: 0o700 });
    return target;
  }

  async read(path: string): Promise<string | undefined> {
    return this.#refusing(async () => {
      try {
        const { Body } = await this.#client.send(new GetObjectCommand(this.#at(path)));
        return await Body?.transformToString('utf-8');
      } catch (error) {
        if (statusOf(error) === 404 && (error as Error).name !== 'NoSuchBucket') return undefined;
        throw error;
      }
    });
  }

  async write(path: string, text: string): Promise<void> {
    await this.#refusing(() =>
      this.#client.send(new PutObjectCommand({ ...this.#at(path), Body: text, ContentType: 'application/json' })),
    );
  }

  async put(path: string, file: string): Promise<void> {
    await this.#refusing(() =>
      new Upload({
        client: this.#client,
        params: {
          ...this.#at(path),
          Body: createReadStream(file, { highWaterMark: PART_BYTES }),
          ContentType: 'application/vnd.apache.parquet',
        },
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
      }).done(),
    );
    await rm(file);
  }

  async has(path: string, bytes: number): Promise<boolean> {
    return this.#refusing(async () => {
      try {
        const { ContentLength } = await this.#client.send(new HeadObjectCommand(this.#at(path)));
        return ContentLength === bytes;
      } catch (error) {
        if (statusOf(error) === 404) return false;
        throw error;
      }
    });
  }

  async remove(path: string): Promise<void> {
    await this.#refusing(() => this.#client.send(new DeleteObjectCommand(this.#at(path))));
  }

  async close(): Promise<void> {
    this.#client.destroy();
    await rm(this.workDir, { recursive: true, force: true });
  }

  #at(path: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix === '' ? path : `${this.#prefix}/${path}` };
  }

  async #refusing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { name, message, code } = error as Error & { code?: string };
      const status = statusOf(error);
      const answer = name === message || message === '' ? name : `${name}: ${message}`;
      throw new MeterwardenError('unusable_setting', {
        path: this.#name,
        params: {
          value: this.#url,
          bucket: this.#bucket,
          problem: problemOf(name, status, code),
          answer: status === undefined ? (code ?? answer) : answer,
        },
        cause: error,
      });
    }
  }
}

function problemOf(name: string, status: number | undefined, code: string | undefined): keyof typeof HANDOVER_PROBLEMS {
  if (name === 'NoSuchBucket' || status === 404) return 'no_bucket';
  if (status === 401 || status === 403 || name === 'CredentialsProviderError') return 's3_denied';
  return status === undefined && code !== undefined ? 's3_silent' : 's3_answered';
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}
