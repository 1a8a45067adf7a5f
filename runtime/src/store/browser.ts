/**
 * As much of a browser as the store of a page needs, so that the rest of the runtime is not compiled as if it ran in
 * one. Names and meanings are those of IndexedDB and of the Web Locks API.
 */

interface Target {
  addEventListener(type: string, listener: () => void): void;
}

export interface IdbRequest<T> extends Target {
  readonly result: T;
  readonly error: Error | null;
  readonly transaction: IdbTransaction | null;
}

export interface IdbOpenRequest extends IdbRequest<IdbDatabase> {
  addEventListener(type: string, listener: (event: { readonly oldVersion: number }) => void): void;
}

export interface IdbDatabase extends Target {
  createObjectStore(name: string, options?: { keyPath?: string; autoIncrement?: boolean }): IdbObjectStore;
  transaction(
    stores: readonly string[],
    mode: "readonly" | "readwrite",
    options?: { durability: "strict" },
  ): IdbTransaction;
  close(): void;
}

export interface IdbTransaction extends Target {
  readonly error: Error | null;
  objectStore(name: string): IdbObjectStore;
  abort(): void;
}

export type IdbKey = string | number | Uint8Array | readonly IdbKey[];
export type IdbRange = object;

export interface IdbCursor<T> {
  readonly value: T;
  continue(): void;
}

export interface IdbObjectStore extends IdbReading {
  createIndex(name: string, keyPath: string): void;
  index(name: string): IdbReading;
  put(value: unknown, key?: IdbKey): IdbRequest<IdbKey>;
  delete(query: IdbKey | IdbRange): IdbRequest<undefined>;
}

export interface IdbReading {
  get<T>(key: IdbKey): IdbRequest<T | undefined>;
  getAll<T>(query?: IdbKey | IdbRange | null, count?: number): IdbRequest<T[]>;
  getAllKeys(query?: IdbKey | IdbRange | null, count?: number): IdbRequest<IdbKey[]>;
  openCursor<T>(query: IdbRange, direction: "prev"): IdbRequest<IdbCursor<T> | null>;
}

export interface Browser {
  readonly indexedDB: { open(name: string, version: number): IdbOpenRequest };
  readonly IDBKeyRange: {
    bound(lower: IdbKey, upper: IdbKey, lowerOpen?: boolean, upperOpen?: boolean): IdbRange;
  };
  readonly navigator: {
    readonly locks: {
      request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<void>;
    };
  };
}

/** Looked up when it is needed: that the module is loaded must not depend on where. */
export const browser = (): Browser => globalThis as unknown as Browser;
