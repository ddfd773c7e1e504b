// One object that stays true: read, then watched by its name.
import { pathOf, type Resource } from './discovery.svelte'
import { json } from './session.svelte'
import { follow, lines } from './stream'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Tree = any

const AGAIN_MS = 3000

export class One {
  object = $state.raw<Tree>(undefined)
  error = $state('')
  gone = $state(false)
  #stopped = false
  #close: () => void = () => {}
  #timer = 0

  constructor(
    private resource: Resource,
    private namespace: string,
    private name: string
  ) {
    void this.read()
  }

  stop(): void {
    this.#stopped = true
    this.#close()
    clearTimeout(this.#timer)
  }

  async read(): Promise<void> {
    try {
      const object = await json<Tree>(pathOf(this.resource, this.namespace, this.name))
      if (this.#stopped) return
      this.object = object
      this.error = ''
      this.#close()
      this.#watch(object.metadata.resourceVersion)
    } catch (why) {
      if (this.#stopped) return
      this.error = why instanceof Error ? why.message : String(why)
      if ((why as { code?: number }).code === 404) this.gone = this.object !== undefined
      else this.#timer = setTimeout(() => void this.read(), AGAIN_MS)
    }
  }

  #watch(revision: string): void {
    if (!this.resource.verbs.includes('watch')) return
    const query = new URLSearchParams({ watch: 'true', resourceVersion: revision, fieldSelector: `metadata.name=${this.name}` })
    const read = lines(line => {
      const event = JSON.parse(line)
      if (event.type === 'ERROR') return
      if (event.type === 'DELETED') this.gone = true
      else this.gone = false
      this.object = event.object
    })
    this.#close = follow(`${pathOf(this.resource, this.namespace)}?${query}`, {
      text: read,
      ended: () => {
        if (!this.#stopped && !this.gone) this.#timer = setTimeout(() => void this.read(), AGAIN_MS)
      }
    })
  }
}
