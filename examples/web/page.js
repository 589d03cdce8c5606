// Drawing, and making of a drawing what the network has learned from.
"use strict";

const SCAN = 32; // pixels of a side of the scans that the data set was made of
const BLOCK = 4; // of them, a side of what became one pixel
const INK = 0.305; // the share of a scan that is ink, whatever the digit: those of the data set differ little
const PENS = [1, 14]; // scan pixels: the thinnest and the widest pen that is tried to get that much ink
const FINE = 4; // a scan pixel is drawn so many times finer, and counts as ink where most of it is
const THRESHOLD = 128;

// What was drawn: strokes of points, in the canvas's own pixels.
const strokes = [];

// The strokes scaled as the data set's were: the digit fills the square in its longer direction and stands in the middle of the other.
function fitted(pen) {
  const points = strokes.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = (SCAN - pen) / Math.max(right - left, bottom - top, 1);
  const middle = (x, low, high) => SCAN / 2 + (x - (low + high) / 2) * scale;
  return strokes.map((stroke) => stroke.map(([x, y]) => [middle(x, left, right), middle(y, top, bottom)]));
}

function draw(context, lines, width, scale) {
  context.lineWidth = width * scale;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const line of lines) {
    context.moveTo(line[0][0] * scale, line[0][1] * scale);
    for (const [x, y] of line) context.lineTo(x * scale, y * scale);
  }
  context.stroke();
}

// The drawing as a scan of 32 x 32 pixels, each of which is ink or paper.
function scanned(pen) {
  const canvas = new OffscreenCanvas(SCAN * FINE, SCAN * FINE);
  draw(canvas.getContext("2d"), fitted(pen), pen, FINE);
  const scan = new OffscreenCanvas(SCAN, SCAN).getContext("2d", { willReadFrequently: true });
  scan.drawImage(canvas, 0, 0, SCAN, SCAN);
  const { data } = scan.getImageData(0, 0, SCAN, SCAN);
  return Array.from({ length: SCAN * SCAN }, (_, pixel) => data[4 * pixel + 3] >= THRESHOLD);
}

// The share of ink in each of 8 x 8 blocks, with the pen that leaves as much ink as the data set has.
function ink() {
  let [thin, wide] = PENS;
  let scan = scanned(thin);
  while (wide - thin > 0.25) {
    const pen = (thin + wide) / 2;
    scan = scanned(pen);
    if (scan.filter(Boolean).length < INK * SCAN * SCAN) thin = pen;
    else wide = pen;
  }
  const side = SCAN / BLOCK;
  const shares = new Float32Array(side * side);
  scan.forEach((isInk, pixel) => {
    const [row, column] = [Math.floor(pixel / SCAN / BLOCK), Math.floor((pixel % SCAN) / BLOCK)];
    if (isInk) shares[row * side + column] += 1 / BLOCK ** 2;
  });
  return shares;
}

function show(probabilities, shares) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  document.getElementById("answer").textContent = strokes.length ? best : "";
  document.querySelectorAll("meter").forEach((meter, digit) => (meter.value = strokes.length ? probabilities[digit] : 0));
  const seen = document.getElementById("seen").getContext("2d");
  const image = seen.createImageData(8, 8);
  shares.forEach((share, pixel) => image.data.set([0, 0, 0, 255 * share], 4 * pixel));
  seen.putImageData(image, 0, 0);
}

function start(recognise) {
  const canvas = document.getElementById("paper");
  const context = canvas.getContext("2d");
  const place = (event) => [event.offsetX * (canvas.width / canvas.clientWidth), event.offsetY * (canvas.height / canvas.clientHeight)];

  const update = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    draw(context, strokes, 20, 1);
    const shares = strokes.length ? ink() : new Float32Array(64);
    show(recognise(shares), shares);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    update();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons || !strokes.length) return;
    strokes.at(-1).push(place(event));
    update();
  });
  document.getElementById("clear").addEventListener("click", () => {
    strokes.length = 0;
    update();
  });
  document.documentElement.dataset.ready = "yes";
}

const packed = document.getElementById("network").textContent.trim();
const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
loadRecogniser(bytes).then(start);
