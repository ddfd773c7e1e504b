// Times as people read them; ages as kubectl writes them (k8s.io/apimachinery/pkg/util/duration).

export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 120) return `${s}s`
  const m = Math.floor(s / 60)
  if (m < 10) return s % 60 ? `${m}m${s % 60}s` : `${m}m`
  if (m < 180) return `${m}m`
  const h = Math.floor(m / 60)
  if (h < 8) return m % 60 ? `${h}h${m % 60}m` : `${h}h`
  if (h < 48) return `${h}h`
  const d = Math.floor(h / 24)
  if (d < 8) return h % 24 ? `${d}d${h % 24}h` : `${d}d`
  if (d < 365 * 2) return `${d}d`
  return `${Math.floor(d / 365)}y${d % 365 ? `${d % 365}d` : ''}`
}

export function age(stamp: string | undefined, now: number): string {
  const then = stamp ? Date.parse(stamp) : NaN
  return Number.isNaN(then) ? '' : duration((now - then) / 1000)
}

/** Seconds of an age such as `3h4m`, for sorting. */
export function secondsOf(text: string): number {
  const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, y: 31536000 }
  let sum = 0
  for (const [, number, unit] of text.matchAll(/(\d+)([smhdy])/g)) sum += Number(number) * (units[unit ?? ''] ?? 0)
  return sum
}
