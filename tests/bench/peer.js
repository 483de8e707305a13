// Our own version of what the best browser explainer does to measure sharpness at every step: plain
// JavaScript arrays, one sample at a time, cold Lanczos with full reorthogonalisation, each
// product from two gradients (central differences), at least 20 products, until the top
// eigenvalue changes by less than 1%. Kept for the comparison in the bench only.

function gaussian(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function network(widths) {
  const layers = [];
  for (let l = 0; l + 1 < widths.length; l++) {
    const scale = 1 / Math.sqrt(widths[l]);
    const rows = Array.from({ length: widths[l + 1] }, () =>
      Array.from({ length: widths[l] }, () => scale * gaussian(Math.random)));
    layers.push({ W: rows, b: rows.map(() => 0) });
  }
  return layers;
}

function flatten(layers) {
  const flat = [];
  for (const { W, b } of layers) {
    for (const row of W) for (let j = 0; j < row.length; j++) flat.push(row[j]);
    for (let i = 0; i < b.length; i++) flat.push(b[i]);
  }
  return flat;
}

function write(layers, flat) {
  let at = 0;
  for (const { W, b } of layers) {
    for (const row of W) for (let j = 0; j < row.length; j++) row[j] = flat[at++];
    for (let i = 0; i < b.length; i++) b[i] = flat[at++];
  }
}

// Gradient of 1/2 mean squared error, tanh between the layers.
function gradient(layers, xs, ys) {
  const grads = layers.map(({ W, b }) => ({
    W: W.map((row) => new Array(row.length).fill(0)), b: new Array(b.length).fill(0),
  }));
  for (let n = 0; n < xs.length; n++) {
    const h = [xs[n]];
    layers.forEach(({ W, b }, l) => {
      const z = new Array(W.length);
      for (let i = 0; i < W.length; i++) {
        const weights = W[i], a = h[l];
        let sum = b[i];
        for (let j = 0; j < a.length; j++) sum += weights[j] * a[j];
        z[i] = l + 1 < layers.length ? Math.tanh(sum) : sum;
      }
      h.push(z);
    });
    let delta = h[layers.length].map((f, k) => (f - ys[n][k]) / xs.length);
    for (let l = layers.length - 1; l >= 0; l--) {
      const back = new Array(h[l].length).fill(0);
      for (let i = 0; i < delta.length; i++) {
        const d = delta[i], weights = layers[l].W[i], sums = grads[l].W[i], a = h[l];
        grads[l].b[i] += d;
        for (let j = 0; j < a.length; j++) {
          sums[j] += d * a[j];
          back[j] += weights[j] * d;
        }
      }
      delta = back.map((value, j) => value * (1 - h[l][j] * h[l][j]));
    }
  }
  return flatten(grads);
}

const dot = (a, b) => { let s = 0; for (let i = 0; i < a.length; i++) s += a[i] * b[i]; return s; };

// Largest eigenvalue of the symmetric tridiagonal matrix, by bisection on Sturm counts.
function tridiagonalTop(alphas, betas) {
  let low = -1e6, high = 1e6;
  for (let k = 0; k < 80; k++) {
    const middle = (low + high) / 2;
    let below = 0, q = 1;
    for (let i = 0; i < alphas.length; i++) {
      const beta = i ? betas[i - 1] : 0;
      q = alphas[i] - middle - (i ? beta * beta / (q || 1e-300) : 0);
      if (q < 0) below++;
    }
    if (below === alphas.length) high = middle; else low = middle;
  }
  return low;
}

function sharpness(layers, xs, ys, epsilon = 1e-5) {
  const theta = flatten(layers);
  let q = theta.map(() => gaussian(Math.random));
  q = q.map((value) => value / Math.sqrt(dot(q, q)));
  const basis = [], alphas = [], betas = [];
  let top = NaN;
  for (let k = 0; k < 100; k++) {
    basis.push(q);
    write(layers, theta.map((t, i) => t + epsilon * q[i]));
    const plus = gradient(layers, xs, ys);
    write(layers, theta.map((t, i) => t - epsilon * q[i]));
    const minus = gradient(layers, xs, ys);
    let z = plus.map((g, i) => (g - minus[i]) / (2 * epsilon));
    alphas.push(dot(z, q));
    for (const v of basis) {
      const share = dot(v, z);
      z = z.map((value, i) => value - share * v[i]);
    }
    const before = top;
    top = tridiagonalTop(alphas, betas);
    if (k + 1 >= 20 && Math.abs(top - before) < 0.01 * Math.abs(before)) break;
    const beta = Math.sqrt(dot(z, z));
    betas.push(beta);
    q = z.map((value) => value / beta);
  }
  write(layers, theta);
  return { top, gradients: 2 * alphas.length };
}

// Seconds a step, and gradients a measurement, of `steps` steps of gradient descent.
function measurePeer({ widths, xs, ys, lr, steps }) {
  const layers = network(widths);
  let gradients = 0;
  const start = performance.now();
  for (let t = 0; t < steps; t++) {
    const g = gradient(layers, xs, ys);
    write(layers, flatten(layers).map((value, i) => value - lr * g[i]));
    gradients += sharpness(layers, xs, ys).gradients;
  }
  return { seconds: (performance.now() - start) / 1000 / steps, gradients: gradients / steps };
}
