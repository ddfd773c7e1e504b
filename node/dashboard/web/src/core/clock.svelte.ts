// The present, for ages. It ticks only while the page is looked at.

export const clock = $state({ now: Date.now() })

/** Ages are told in seconds while they are small, but nobody reads seconds on a whole table. */
const TICK_MS = 5000

setInterval(() => {
  if (document.visibilityState === 'visible') clock.now = Date.now()
}, TICK_MS)
