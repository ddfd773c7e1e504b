// Which pods and containers an object has: for logs and shells.
import { byId, pathOf } from './discovery.svelte'
import { json } from './session.svelte'
import type { Tree } from './one.svelte'

/** A label selector as the API's query has it; empty when the object selects nothing. */
export function selectorOf(object: Tree): string {
  const selector = object.spec?.selector
  if (!selector) return ''
  const labels: Record<string, string> = selector.matchLabels ?? (selector.matchExpressions ? {} : selector)
  const equal = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  const words: Record<string, (key: string, values: string[]) => string> = {
    In: (key, values) => `${key} in (${values.join(',')})`,
    NotIn: (key, values) => `${key} notin (${values.join(',')})`,
    Exists: key => key,
    DoesNotExist: key => `!${key}`
  }
  const others = (selector.matchExpressions ?? []).map((e: Tree) => words[e.operator]?.(e.key, e.values ?? []) ?? '')
  return [...equal, ...others.filter(Boolean)].join(',')
}

export interface Source {
  namespace: string
  pod: string
  container: string
  /** Its container runs or ran, so that there is a log. */
  begun: boolean
}

export function sourcesOf(pod: Tree): Source[] {
  const states: Tree[] = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? []), ...(pod.status?.ephemeralContainerStatuses ?? [])]
  const all: Tree[] = [...(pod.spec.initContainers ?? []), ...pod.spec.containers, ...(pod.spec.ephemeralContainers ?? [])]
  return all.map(container => {
    const state = states.find(s => s.name === container.name)
    const begun = Boolean(state?.state?.running || state?.state?.terminated || state?.lastState?.terminated)
    return { namespace: pod.metadata.namespace, pod: pod.metadata.name, container: container.name, begun }
  })
}

/** Pods whose logs are read together at most: each is a connection. */
export const PODS_MAX = 20

export async function podsOf(namespace: string, labels: string): Promise<Tree[]> {
  const pods = byId('/pods')
  if (!pods) return []
  const query = new URLSearchParams({ labelSelector: labels, limit: String(PODS_MAX) })
  return (await json<{ items: Tree[] }>(`${pathOf(pods, namespace)}?${query}`)).items ?? []
}
