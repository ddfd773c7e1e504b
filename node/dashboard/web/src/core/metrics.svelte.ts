// Figures of metrics.k8s.io, if discovery names it. It has no watch, so it is asked again while somebody looks.
import { byId, pathOf } from './discovery.svelte'
import { quantity } from './quantity'
import { json } from './session.svelte'

export interface Sample {
  time: number
  cpu: number
  memory: number
}
interface Usage {
  cpu?: string
  memory?: string
}
interface Metrics {
  metadata: { name: string; namespace?: string }
  usage?: Usage
  containers?: { name: string; usage: Usage }[]
}

/** As often as the server measures. */
const EVERY_MS = 15_000
/** Samples kept: half an hour. */
const KEPT = 120

const total = (m: Metrics): Usage[] => (m.usage ? [m.usage] : (m.containers ?? []).map(c => c.usage))

function sample(m: Metrics): Sample {
  const all = total(m)
  return {
    time: Date.now(),
    cpu: all.reduce((sum, u) => sum + quantity(u.cpu), 0),
    memory: all.reduce((sum, u) => sum + quantity(u.memory), 0)
  }
}

/** Samples by object name for as long as the component that asks is there. */
export function measured(ask: () => { plural: string; namespace?: string; name?: string } | undefined) {
  let series = $state.raw<Record<string, Sample[]>>({})
  let error = $state('')
  $effect(() => {
    const asked = ask()
    const resource = asked && byId(`metrics.k8s.io/${asked.plural}`)
    if (!asked || !resource) return
    series = {}
    const look = async (): Promise<void> => {
      if (document.visibilityState !== 'visible') return
      try {
        const path = pathOf(resource, asked.namespace, asked.name)
        const answer = await json<Metrics & { items?: Metrics[] }>(path)
        const next = { ...series }
        for (const one of answer.items ?? [answer]) {
          next[one.metadata.name] = [...(next[one.metadata.name] ?? []), sample(one)].slice(-KEPT)
        }
        series = next
        error = ''
      } catch (why) {
        error = why instanceof Error ? why.message : String(why)
      }
    }
    void look()
    const timer = setInterval(() => void look(), EVERY_MS)
    return () => clearInterval(timer)
  })
  return {
    get series() {
      return series
    },
    get error() {
      return error
    }
  }
}
