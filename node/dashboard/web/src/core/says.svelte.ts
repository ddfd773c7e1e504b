// Short messages that come and go: what an action did, or why it did not.

export const said = $state<{ list: { id: number; text: string; bad: boolean }[] }>({ list: [] })

/** Long enough to read two lines; failures stay longer. */
const SHOWN_MS = 5000
let count = 0

export function say(text: string, bad = false): void {
  const id = ++count
  said.list.push({ id, text, bad })
  setTimeout(() => dismiss(id), bad ? SHOWN_MS * 2 : SHOWN_MS)
}

export function dismiss(id: number): void {
  said.list = said.list.filter(one => one.id !== id)
}

/** Does something and says how it went. */
export async function doing(what: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work()
    say(what)
    return true
  } catch (why) {
    say(why instanceof Error ? why.message : String(why), true)
    return false
  }
}
