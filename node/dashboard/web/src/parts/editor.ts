// The text editor, with only the parts that YAML needs. It lives in a shadow tree, where its styles are sheets and not
// elements: the page's content security policy allows no others.
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { HighlightStyle, StreamLanguage, bracketMatching, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { yaml } from '@codemirror/legacy-modes/mode/yaml'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { EditorState } from '@codemirror/state'
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'

const colours = HighlightStyle.define([
  { tag: tags.atom, color: 'var(--accent-text)' },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--accent-text)' },
  { tag: tags.string, color: 'var(--good)' },
  { tag: [tags.number, tags.bool, tags.keyword], color: 'var(--busy)' },
  { tag: tags.comment, color: 'var(--faint)', fontStyle: 'italic' },
  { tag: tags.meta, color: 'var(--warn)' }
])

const look = EditorView.theme({
  '&': { height: '100%', backgroundColor: 'var(--panel)', color: 'var(--text)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', fontSize: '12px', lineHeight: '18px' },
  '.cm-gutters': { backgroundColor: 'var(--panel)', color: 'var(--faint)', border: 'none', paddingLeft: '8px' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--accent) 7%, transparent)' },
  '.cm-content': { caretColor: 'var(--text)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused': { outline: 'none' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--accent) 25%, transparent) !important'
  },
  '.cm-panels': { backgroundColor: 'var(--sunk)', color: 'var(--text)', borderColor: 'var(--line)' },
  '.cm-textfield, .cm-button': {
    backgroundColor: 'var(--panel)', backgroundImage: 'none', border: '1px solid var(--line-strong)', color: 'var(--text)'
  },
  '.cm-searchMatch': { backgroundColor: 'var(--warn-wash)' }
})

export interface Editor {
  text(): string
  set(text: string): void
  focus(): void
  destroy(): void
}

export function edit(host: HTMLElement, text: string, on: { change: () => void; save: () => void; readOnly?: boolean }): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const inside = document.createElement('div')
  inside.style.height = '100%'
  root.append(inside)
  const state = EditorState.create({
    doc: text,
    extensions: [
      lineNumbers(),
      history(),
      drawSelection(),
      highlightActiveLine(),
      bracketMatching(),
      highlightSelectionMatches(),
      indentUnit.of('  '),
      StreamLanguage.define(yaml),
      syntaxHighlighting(colours),
      look,
      EditorState.readOnly.of(on.readOnly ?? false),
      keymap.of([
        { key: 'Mod-s', run: () => (on.save(), true), preventDefault: true },
        ...searchKeymap,
        ...historyKeymap,
        ...defaultKeymap,
        indentWithTab
      ]),
      EditorView.updateListener.of(update => {
        if (update.docChanged) on.change()
      })
    ]
  })
  const view = new EditorView({ state, parent: inside, root })
  return {
    text: () => view.state.doc.toString(),
    set: next => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    focus: () => view.focus(),
    destroy: () => {
      view.destroy()
      inside.remove()
    }
  }
}
