// Which kinds there are: everything comes from aggregated discovery, nothing is assumed.
import { json } from './session.svelte'

export interface Resource {
  group: string
  version: string
  plural: string
  kind: string
  singular: string
  namespaced: boolean
  verbs: string[]
  shortNames: string[]
  subresources: Record<string, string[]>
}

const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

interface Found {
  resource: string
  responseKind?: { kind: string }
  scope: string
  singularResource: string
  verbs: string[]
  shortNames?: string[]
  subresources?: { subresource: string; verbs: string[] }[]
}
interface Groups {
  items: { metadata: { name?: string }; versions: { version: string; resources: Found[] }[] }[]
}

export const kinds = $state<{ all: Resource[]; error: string; version: string }>({ all: [], error: '', version: '' })

/** `group/plural`, the name of a kind in tables and addresses; the core group is empty. */
export const idOf = (r: { group: string; plural: string }): string => `${r.group}/${r.plural}`

export async function discover(): Promise<void> {
  try {
    const [core, groups, version] = await Promise.all([
      json<Groups>('/api', { accept: ACCEPT }),
      json<Groups>('/apis', { accept: ACCEPT }),
      json<{ gitVersion: string }>('/version')
    ])
    const all: Resource[] = []
    const seen = new Set<string>()
    for (const group of [...core.items, ...groups.items]) {
      // Versions come best first.
      for (const { version, resources } of group.versions) {
        for (const r of resources) {
          const found: Resource = {
            group: group.metadata.name ?? '',
            version,
            plural: r.resource,
            kind: r.responseKind?.kind ?? r.resource,
            singular: r.singularResource,
            namespaced: r.scope === 'Namespaced',
            verbs: r.verbs,
            shortNames: r.shortNames ?? [],
            subresources: Object.fromEntries((r.subresources ?? []).map(s => [s.subresource, s.verbs]))
          }
          if (r.verbs.length === 0 || seen.has(idOf(found))) continue
          seen.add(idOf(found))
          all.push(found)
        }
      }
    }
    kinds.all = all
    kinds.version = version.gitVersion
    kinds.error = ''
  } catch (why) {
    kinds.error = why instanceof Error ? why.message : String(why)
  }
}

export function byId(id: string): Resource | undefined {
  return kinds.all.find(r => idOf(r) === id)
}

export function byKind(apiVersion: string, kind: string): Resource | undefined {
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
  return kinds.all.find(r => r.kind === kind && r.group === group)
}

/** The path of a collection or an object. */
export function pathOf(r: Resource, namespace = '', name = '', sub = ''): string {
  const root = r.group ? `/apis/${r.group}/${r.version}` : `/api/${r.version}`
  const scope = r.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  const tail = [name, sub].filter(Boolean).map(encodeURIComponent).join('/')
  return `${root}${scope}/${r.plural}${tail && `/${tail}`}`
}
