// What kinds have beyond the generic list and detail: one line each. A kind without a line has everything generic.

export interface Extra {
  /** Where it stands in the side bar, if it does. */
  section?: string
  /** Logs and a shell of its own (a pod), or of the pods that it selects. */
  pods?: 'self' | 'selector' | 'node'
  scale?: boolean
  restart?: boolean
  /** Whose objects keep its earlier revisions. */
  rollback?: string
  /** Kinds whose objects it owns, to look for. */
  children?: string[]
  /** Whether the server can say why it does not run. */
  why?: boolean
  /** Its resource in metrics.k8s.io. */
  metrics?: string
  /** It holds data to show. */
  data?: boolean
  /** It can be cordoned. */
  cordon?: boolean
}

export const EXTRAS: Record<string, Extra> = {
  '/pods': { section: 'Workloads', pods: 'self', why: true, metrics: 'pods' },
  'apps/deployments': { section: 'Workloads', pods: 'selector', scale: true, restart: true, rollback: 'apps/replicasets', children: ['apps/replicasets'], why: true },
  'apps/statefulsets': { section: 'Workloads', pods: 'selector', scale: true, restart: true, children: ['/pods'], why: true },
  'apps/daemonsets': { section: 'Workloads', pods: 'selector', restart: true, children: ['/pods'], why: true },
  'apps/replicasets': { section: 'Workloads', pods: 'selector', scale: true, children: ['/pods'], why: true },
  'batch/jobs': { section: 'Workloads', pods: 'selector', children: ['/pods'], why: true },
  'batch/cronjobs': { section: 'Workloads', children: ['batch/jobs'] },
  'autoscaling/horizontalpodautoscalers': { section: 'Workloads' },
  '/replicationcontrollers': { pods: 'selector', scale: true, children: ['/pods'] },
  '/services': { section: 'Network', pods: 'selector', children: ['discovery.k8s.io/endpointslices'] },
  'discovery.k8s.io/endpointslices': { section: 'Network' },
  'networking.k8s.io/ingresses': { section: 'Network' },
  'networking.k8s.io/networkpolicies': { section: 'Network' },
  '/configmaps': { section: 'Configuration', data: true },
  '/secrets': { section: 'Configuration', data: true },
  '/persistentvolumeclaims': { section: 'Storage', why: true },
  '/persistentvolumes': { section: 'Storage' },
  'storage.k8s.io/storageclasses': { section: 'Storage' },
  '/nodes': { section: 'Cluster', pods: 'node', metrics: 'nodes', cordon: true },
  '/namespaces': { section: 'Cluster', why: true },
  '/events': { section: 'Cluster' },
  '/serviceaccounts': { section: 'Access' },
  'rbac.authorization.k8s.io/roles': { section: 'Access' },
  'rbac.authorization.k8s.io/rolebindings': { section: 'Access' },
  'rbac.authorization.k8s.io/clusterroles': { section: 'Access' },
  'rbac.authorization.k8s.io/clusterrolebindings': { section: 'Access' }
}

export const SECTIONS = ['Workloads', 'Network', 'Configuration', 'Storage', 'Cluster', 'Access']

export const extraOf = (id: string): Extra => EXTRAS[id] ?? {}

/** A kind's name for several, in words: `Ingress` is `Ingresses`, `ConfigMap` is `Config Maps`. */
export function words(kind: string): string {
  const several = /(s|x|ch)$/.test(kind) && !/(points|metrics)$/i.test(kind) ? `${kind}es` : /[^aeiou]y$/.test(kind) ? `${kind.slice(0, -1)}ies` : /s$/.test(kind) ? kind : `${kind}s`
  return several.replace(/([a-z])([A-Z])/g, '$1 $2')
}
