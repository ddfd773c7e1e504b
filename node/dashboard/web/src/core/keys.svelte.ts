// Keys that work everywhere. A part of the page takes keys first while it is there; text fields keep what is typed.

type Handler = (event: KeyboardEvent) => boolean | void
const handlers: Handler[] = []

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName) || target.shadowRoot !== null)

addEventListener('keydown', event => {
  const chord = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k'
  if (!chord && (event.ctrlKey || event.metaKey || event.altKey)) return
  if (!chord && event.key !== 'Escape' && isTyping(event.target)) return
  for (const handler of [...handlers].reverse()) {
    if (handler(event)) {
      event.preventDefault()
      return
    }
  }
})

/** Takes keys while the component that calls this is there. True means: taken. */
export function keys(handler: Handler): void {
  $effect(() => {
    handlers.push(handler)
    return () => {
      handlers.splice(handlers.indexOf(handler), 1)
    }
  })
}
