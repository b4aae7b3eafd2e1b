// Arrays as they travel inside JSON: their type, shape and bytes (little-endian, in base64).

/** An array of numbers with the lengths of its axes. */
export type Shaped<Numbers> = Numbers & { shape: number[] };
export type Floats = Shaped<Float32Array>;
export type Integers = Shaped<Int32Array>;
export type Bytes = Shaped<Uint8Array>;

export interface Packed {
  type: string;
  shape: number[];
  data: string;
}

const KINDS = {
  u1: Uint8Array,
  u2: Uint16Array,
  i4: Int32Array,
  f2: Uint16Array,
  f4: Float32Array,
};
const NAMES: Record<string, string> = {
  Uint8Array: 'u1',
  Uint16Array: 'u2',
  Int32Array: 'i4',
  Float32Array: 'f4',
};
const CHUNK = 8192; // bytes that become letters at a time

/** The number that 16 bits stand for (IEEE 754 half precision): sign, 5 bits, 10 of fraction. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  return sign * 2 ** (exponent - 25) * (1024 + fraction);
}

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function fromHalves(buffer: ArrayBuffer): Float32Array {
  const native = (globalThis as { Float16Array?: new (from: ArrayBuffer) => ArrayLike<number> })
    .Float16Array;
  return native
    ? Float32Array.from(new native(buffer))
    : Float32Array.from(new Uint16Array(buffer), fromHalf);
}

function isPacked(value: object): value is Packed {
  return 'data' in value && 'type' in value && String(value.type) in KINDS;
}

/** What was sent, with every packed array in it as a typed array that knows its shape. */
export function unpack<Value>(value: unknown): Value {
  return unpackAny(value) as Value;
}

function unpackAny(value: unknown): unknown {
  if (!value || typeof value !== 'object' || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(unpackAny);
  if (!isPacked(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpackAny(part)]));
  }
  const { buffer } = bytesOf(value.data);
  const numbers =
    value.type === 'f2' ? fromHalves(buffer) : new KINDS[value.type as keyof typeof KINDS](buffer);
  return Object.assign(numbers, { shape: value.shape });
}

/** The reverse: what may be written as JSON. */
export function pack(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    let letters = '';
    for (let i = 0; i < bytes.length; i += CHUNK) {
      letters += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
    }
    const { shape } = value as unknown as Floats;
    return { type: NAMES[value.constructor.name], shape, data: btoa(letters) };
  }
  if (Array.isArray(value)) return value.map(pack);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, pack(part)]));
}

/** One slice along the first axis: a layer of [layers, ...], a head of [heads, ...]. */
export function sliceOf(array: Floats, index: number): Float32Array {
  const width = array.length / array.shape[0];
  return array.subarray(index * width, (index + 1) * width);
}
