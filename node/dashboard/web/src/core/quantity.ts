// Quantities of the API as numbers, and numbers as people read them.

const UNITS: Record<string, number> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60
}

export function quantity(text: string | number | undefined): number {
  const found = /^([-+0-9.]+(?:[eE][-+]?\d+)?)([numkMGTPE]i?|Ki)?$/.exec(String(text ?? ''))
  return found ? Number(found[1]) * (UNITS[found[2] ?? ''] ?? 1) : 0
}

export function cores(value: number): string {
  return value < 1 ? `${Math.round(value * 1000)}m` : value.toFixed(value < 10 ? 2 : 1)
}

export function bytes(value: number): string {
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let at = 0
  while (value >= 1024 && at < unit.length - 1) {
    value /= 1024
    at++
  }
  return `${value.toFixed(value < 10 && at > 0 ? 1 : 0)} ${unit[at]}`
}
