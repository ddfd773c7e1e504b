// Where in the page one is. The address tells it all, so that it can be kept, sent and gone back to.
//   #/                             the overview
//   #/list/GROUP/PLURAL?ns=&q=     a list; the core group is written -
//   #/object/GROUP/PLURAL/NS/NAME/TAB   an object; no namespace is written -

export interface Place {
  page: 'overview' | 'list' | 'object'
  id: string
  namespace: string
  name: string
  tab: string
  filter: string
}

const dash = (text: string | undefined): string => (text === undefined || text === '-' ? '' : decodeURIComponent(text))
const mark = (text: string): string => (text === '' ? '-' : encodeURIComponent(text))

export function parse(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const parts = path.split('/')
  const asked = new URLSearchParams(query)
  const place: Place = { page: 'overview', id: '', namespace: '', name: '', tab: '', filter: asked.get('q') ?? '' }
  if (parts[0] === 'list' && parts[2]) {
    return { ...place, page: 'list', id: `${dash(parts[1])}/${parts[2]}`, namespace: asked.get('ns') ?? '' }
  }
  if (parts[0] === 'object' && parts[4]) {
    const [, group, plural, namespace, name, tab] = parts
    return { ...place, page: 'object', id: `${dash(group)}/${plural}`, namespace: dash(namespace), name: dash(name), tab: tab ?? '' }
  }
  return place
}

export function listAddress(id: string, namespace = '', filter = ''): string {
  const [group = '', plural = ''] = id.split('/')
  const query = new URLSearchParams()
  if (namespace) query.set('ns', namespace)
  if (filter) query.set('q', filter)
  const text = query.toString()
  return `#/list/${mark(group)}/${plural}${text && `?${text}`}`
}

export function objectAddress(id: string, namespace: string, name: string, tab = ''): string {
  const [group = '', plural = ''] = id.split('/')
  return `#/object/${mark(group)}/${plural}/${mark(namespace)}/${mark(name)}${tab && `/${tab}`}`
}

export const route = $state<{ place: Place }>({ place: parse(location.hash) })

addEventListener('hashchange', () => {
  route.place = parse(location.hash)
})

export function go(address: string): void {
  location.hash = address
}

/** Changes the address without a step in the history, as a filter does while it is typed. */
export function replace(address: string): void {
  history.replaceState(null, '', address)
  route.place = parse(address)
}

/** The namespace that lists are narrowed to, kept from page to page; empty for all. */
export const scope = $state({ namespace: localStorage.getItem('skerry.namespace') ?? '' })

export function choose(namespace: string): void {
  scope.namespace = namespace
  localStorage.setItem('skerry.namespace', namespace)
}
