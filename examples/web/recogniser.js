// The network that graphdl compiled to WebAssembly, for JavaScript: memory is laid out once, and each call is one function.
"use strict";

const PIXELS = 64;
const DIGITS = 10;
const ALIGNMENT = 64;

async function loadRecogniser(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes);
  const { memory, digits, digits_arena_bytes, digits_error, __heap_base } = instance.exports;
  const aligned = (place) => Math.ceil(place / ALIGNMENT) * ALIGNMENT;

  // The program allocates nothing: image, result and scratch memory lie one after the other behind its own data.
  const image = aligned(__heap_base.value);
  const result = aligned(image + 4 * PIXELS);
  const arena = aligned(result + 4 * DIGITS);
  const end = arena + Number(digits_arena_bytes(1n));
  if (end > memory.buffer.byteLength) memory.grow(Math.ceil((end - memory.buffer.byteLength) / 65536));

  const told = (status) => {
    const text = new Uint8Array(memory.buffer, digits_error(status));
    return new TextDecoder().decode(text.slice(0, text.indexOf(0)));
  };

  // The probability of each digit, for 64 shares of ink from 0 to 1, row by row.
  return (ink) => {
    new Float32Array(memory.buffer, image, PIXELS).set(ink);
    const status = digits(1n, image, result, arena);
    if (status) throw new Error(told(status));
    return Array.from(new Float32Array(memory.buffer, result, DIGITS));
  };
}

if (typeof module !== "undefined") module.exports = { loadRecogniser };
