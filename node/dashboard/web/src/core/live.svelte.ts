// A collection as a table that stays true: listed page by page, then watched. Events are gathered and shown together,
// so that a storm of changes costs one drawing. Of each row only what is shown is kept.
import { pathOf, type Resource } from './discovery.svelte'
import { Failure, json } from './session.svelte'
import { follow, lines } from './stream'

export interface Column {
  name: string
  type: string
  priority: number
}
export interface Row {
  uid: string
  namespace: string
  name: string
  created: string
  /** Being deleted. */
  going: boolean
  /** When the server told it: ages in its cells count from then. */
  told: number
  cells: unknown[]
}

interface Meta {
  uid: string
  namespace?: string
  name: string
  creationTimestamp: string
  deletionTimestamp?: string
  resourceVersion?: string
}
interface Table {
  columnDefinitions: Column[] | null
  rows: { cells: unknown[]; object?: { metadata: Meta } }[] | null
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number }
}
interface Event {
  type: string
  object: Table & { code?: number; message?: string }
}

const ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io'
/** Objects in one page of a list: the first shows soon, and none is large. */
const PAGE = 500
/** Changes are drawn together at most this often. */
const DRAW_EVERY_MS = 150
/** How long a watch that broke waits at most before it is tried again; it begins with a tenth and doubles. */
const AGAIN_MS_MAX = 20_000

function rowOf(row: { cells: unknown[]; object?: { metadata: Meta } }): Row {
  const meta = row.object?.metadata
  return {
    uid: meta?.uid ?? '',
    namespace: meta?.namespace ?? '',
    name: meta?.name ?? String(row.cells[0] ?? ''),
    created: meta?.creationTimestamp ?? '',
    going: Boolean(meta?.deletionTimestamp),
    told: Date.now(),
    cells: row.cells
  }
}

export class Live {
  columns = $state.raw<Column[]>([])
  rows = $state.raw<Row[]>([])
  /** Listed in whole at least once. */
  complete = $state(false)
  /** The watch stands. */
  watching = $state(false)
  error = $state('')
  /** What the list still lacks, while it is read. */
  missing = $state(0)

  #all = new Map<string, Row>()
  #revision = ''
  #abort = new AbortController()
  #close: () => void = () => {}
  #timer = 0
  #wait = AGAIN_MS_MAX / 10
  #stopped = false

  constructor(
    private resource: Resource,
    private namespace = '',
    private selection: { labels?: string; fields?: string } = {}
  ) {
    void this.#list()
  }

  stop(): void {
    this.#stopped = true
    this.#abort.abort()
    this.#close()
    clearTimeout(this.#timer)
  }

  #path(more: Record<string, string>): string {
    const query = new URLSearchParams(more)
    if (this.selection.labels) query.set('labelSelector', this.selection.labels)
    if (this.selection.fields) query.set('fieldSelector', this.selection.fields)
    return `${pathOf(this.resource, this.namespace)}?${query}`
  }

  async #list(): Promise<void> {
    try {
      const fresh = new Map<string, Row>()
      const first = !this.complete
      let next = ''
      do {
        const path = this.#path(next ? { limit: String(PAGE), continue: next } : { limit: String(PAGE) })
        const table = await json<Table>(path, { accept: ACCEPT, signal: this.#abort.signal })
        if (table.columnDefinitions) this.columns = table.columnDefinitions
        for (const row of table.rows ?? []) {
          const one = rowOf(row)
          fresh.set(one.uid, one)
        }
        this.#revision = table.metadata.resourceVersion
        next = table.metadata.continue ?? ''
        this.missing = next ? (table.metadata.remainingItemCount ?? PAGE) : 0
        if (first) this.rows = [...fresh.values()]
      } while (next)
      this.#all = fresh
      this.rows = [...fresh.values()]
      this.complete = true
      this.error = ''
      this.#wait = AGAIN_MS_MAX / 10
      if (this.resource.verbs.includes('watch')) this.#watch()
    } catch (why) {
      if (this.#stopped) return
      this.error = why instanceof Error ? why.message : String(why)
      const final = why instanceof Failure && why.code >= 400 && why.code < 500 && why.code !== 410 && why.code !== 429
      if (!final) this.#again(() => void this.#list())
    }
  }

  #again(what: () => void): void {
    this.watching = false
    this.#wait = Math.min(this.#wait * 2, AGAIN_MS_MAX)
    this.#timer = setTimeout(what, this.#wait)
  }

  #watch(): void {
    if (this.#stopped) return
    this.watching = true
    let gone = false
    const path = this.#path({ watch: 'true', allowWatchBookmarks: 'true', resourceVersion: this.#revision })
    const read = lines(line => {
      const event: Event = JSON.parse(line)
      if (event.type === 'ERROR') gone = true
      else this.#apply(event)
    })
    const began = Date.now()
    this.#close = follow(
      path,
      {
        text: read,
        ended: () => {
          if (this.#stopped) return
          // A watch that lived was ended by its time; one that died at once is not hurried.
          if (Date.now() - began > AGAIN_MS_MAX) this.#wait = AGAIN_MS_MAX / 20
          if (gone) void this.#list()
          else this.#again(() => this.#watch())
        }
      },
      ACCEPT
    )
  }

  #apply(event: Event): void {
    if (event.object.columnDefinitions) this.columns = event.object.columnDefinitions
    for (const raw of event.object.rows ?? []) {
      const meta = raw.object?.metadata
      if (meta?.resourceVersion) this.#revision = meta.resourceVersion
      if (event.type === 'BOOKMARK') continue
      const row = rowOf(raw)
      if (event.type === 'DELETED') this.#all.delete(row.uid)
      else this.#all.set(row.uid, row)
      this.#draw()
    }
  }

  #drawing = false
  #draw(): void {
    if (this.#drawing) return
    this.#drawing = true
    setTimeout(() => {
      this.#drawing = false
      this.rows = [...this.#all.values()]
    }, DRAW_EVERY_MS)
  }
}

/** A live table for as long as the component that asks is there and what it asks for stays the same. */
export function live(ask: () => { resource: Resource | undefined; namespace?: string; labels?: string; fields?: string } | undefined): {
  readonly table: Live | undefined
} {
  let table = $state.raw<Live>()
  $effect(() => {
    const asked = ask()
    if (!asked?.resource) {
      table = undefined
      return
    }
    const made = new Live(asked.resource, asked.namespace, { labels: asked.labels, fields: asked.fields })
    table = made
    return () => made.stop()
  })
  return {
    get table() {
      return table
    }
  }
}
