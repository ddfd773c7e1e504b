// What can be done to an object. Each says what it will do, and is the same request that kubectl would send.
import { pathOf, type Resource } from './discovery.svelte'
import { doing } from './says.svelte'
import { call, json } from './session.svelte'
import { question } from './shell.svelte'
import type { Tree } from './one.svelte'

const MERGE = 'application/merge-patch+json'
const STRATEGIC = 'application/strategic-merge-patch+json'

function patch(path: string, type: string, body: unknown): Promise<Response> {
  return call(`${path}?fieldManager=skerry-dashboard`, { method: 'PATCH', type, body: JSON.stringify(body) })
}

const named = (r: Resource, namespace: string, name: string): string =>
  `${r.kind} ${namespace ? `${namespace}/` : ''}${name}`

export const act = {
  remove(r: Resource, namespace: string, name: string, done?: () => void): void {
    question.now = {
      title: `Delete ${r.kind} ${name}?`,
      text: namespace ? `In namespace ${namespace}. What it owns goes with it.` : 'What it owns goes with it.',
      verb: 'Delete',
      danger: true,
      run: async () => {
        const body = JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' })
        const ok = await doing(`${named(r, namespace, name)} is being deleted`, () =>
          call(pathOf(r, namespace, name), { method: 'DELETE', type: 'application/json', body })
        )
        if (ok) done?.()
      }
    }
  },

  scale(r: Resource, object: Tree): void {
    const { namespace, name } = object.metadata
    question.now = {
      title: `Scale ${name}`,
      text: `It has ${object.spec?.replicas ?? 1} replicas.`,
      verb: 'Scale',
      number: object.spec?.replicas ?? 1,
      run: replicas =>
        doing(`${named(r, namespace, name)} is scaled to ${replicas}`, () =>
          patch(pathOf(r, namespace, name, 'scale'), MERGE, { spec: { replicas } })
        )
    }
  },

  restart(r: Resource, object: Tree): void {
    const { namespace, name } = object.metadata
    question.now = {
      title: `Restart ${name}?`,
      text: 'Its pods are replaced one after the other, as its update strategy says.',
      verb: 'Restart',
      run: () => {
        const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString().replace(/\.\d+/, '') }
        return doing(`${named(r, namespace, name)} restarts`, () =>
          patch(pathOf(r, namespace, name), STRATEGIC, { spec: { template: { metadata: { annotations } } } })
        )
      }
    }
  },

  /** Back to the template of an earlier ReplicaSet, as `kubectl rollout undo` does. */
  rollback(r: Resource, object: Tree, to: Tree): void {
    const { namespace, name } = object.metadata
    const revision = to.metadata.annotations?.['deployment.kubernetes.io/revision']
    question.now = {
      title: `Go back to revision ${revision}?`,
      text: `${name} gets the pod template of ${to.metadata.name} again.`,
      verb: 'Roll back',
      run: () =>
        doing(`${named(r, namespace, name)} goes back to revision ${revision}`, () => {
          const template = structuredClone(to.spec.template)
          if (template.metadata?.labels) delete template.metadata.labels['pod-template-hash']
          const body = [{ op: 'replace', path: '/spec/template', value: template }]
          return patch(pathOf(r, namespace, name), 'application/json-patch+json', body)
        })
    }
  },

  async cordon(r: Resource, object: Tree): Promise<void> {
    const off = !object.spec?.unschedulable
    await doing(`${object.metadata.name} takes ${off ? 'no new pods' : 'pods again'}`, () =>
      patch(pathOf(r, '', object.metadata.name), MERGE, { spec: { unschedulable: off || null } })
    )
  },

  /** Replaces an object by YAML; `dry` only asks whether it would do. */
  put(r: Resource, namespace: string, name: string, yaml: string, dry: boolean): Promise<Tree> {
    const query = `fieldValidation=Strict&fieldManager=skerry-dashboard${dry ? '&dryRun=All' : ''}`
    return json(`${pathOf(r, namespace, name)}?${query}`, { method: 'PUT', type: 'application/yaml', body: yaml })
  },

  create(r: Resource, namespace: string, object: Tree, dry: boolean): Promise<Tree> {
    const query = `fieldValidation=Strict&fieldManager=skerry-dashboard${dry ? '&dryRun=All' : ''}`
    const body = JSON.stringify(object)
    return json(`${pathOf(r, namespace)}?${query}`, { method: 'POST', type: 'application/json', body })
  }
}
