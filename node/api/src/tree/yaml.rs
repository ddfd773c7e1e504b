//! YAML to `Tree`, as upstream's clients and server read it: scalars by the rules of YAML 1.1 as go-yaml resolves them
//! (`yes` is true, `0644` is octal), keys made strings, anchors expanded within a bound.

mod scalar;

use super::json::DecodeError;
use super::{DEPTH_MAX, Map, Name, Tree};
use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;

/// Values that one document may hold after its aliases are expanded. A body of 3 MiB holds far fewer; a bomb far more.
pub const YAML_VALUES_MAX: usize = 1_000_000;

/// Duplicate keys that are reported.
const DUPLICATES_MAX: usize = 100;

/// A document that was read.
#[derive(Debug, PartialEq)]
pub struct YamlDecoded {
    /// The value; of duplicate keys the last.
    pub tree: Tree,
    /// What strict reading objects to, in go-yaml's words with line numbers.
    pub objection: Option<String>,
}

impl Tree {
    /// Reads the first YAML document; no document at all is `null`.
    ///
    /// # Errors
    /// Says what is wrong and at which line.
    pub fn from_yaml(bytes: &[u8]) -> Result<YamlDecoded, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        Ok(reader.document()?.unwrap_or(YamlDecoded { tree: Tree::Null, objection: None }))
    }

    /// Reads all documents of a stream; empty ones are left out.
    ///
    /// # Errors
    /// As [`Tree::from_yaml`].
    pub fn from_yaml_stream(bytes: &[u8]) -> Result<Vec<YamlDecoded>, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        let mut documents = Vec::new();
        while let Some(document) = reader.document()? {
            if !document.tree.is_null() {
                documents.push(document);
            }
        }
        Ok(documents)
    }
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Tree, usize)>,
    values: usize,
    depth: usize,
    duplicates: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|e| DecodeError(format!("yaml: invalid UTF-8: {e}")))?;
        let events = Parser::new_from_str(text);
        Ok(Reader { events, anchors: HashMap::new(), values: 0, depth: 0, duplicates: Vec::new() })
    }

    /// The next event that means something; comments are events too.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, DecodeError> {
        loop {
            let next = self.events.next().transpose();
            let next = next.map_err(|e| DecodeError(format!("yaml: line {}: {}", e.marker().line(), e.info())))?;
            if !next.as_ref().is_some_and(|(event, _)| matches!(event, Event::Comment(..))) {
                return Ok(next);
            }
        }
    }

    fn expect(&mut self) -> Result<(Event<'a>, Span), DecodeError> {
        self.next()?.ok_or_else(|| DecodeError("yaml: unexpected end of the document".to_owned()))
    }

    /// The next document, or `None` at the end of the stream.
    fn document(&mut self) -> Result<Option<YamlDecoded>, DecodeError> {
        loop {
            match self.next()? {
                None | Some((Event::StreamEnd, _)) => return Ok(None),
                Some((Event::DocumentStart(..), _)) => break,
                Some(_) => {}
            }
        }
        self.anchors.clear();
        self.values = 0;
        let (event, span) = self.expect()?;
        if matches!(event, Event::DocumentEnd) {
            return Ok(Some(YamlDecoded { tree: Tree::Null, objection: None }));
        }
        let tree = self.value(event, span)?;
        let duplicates = std::mem::take(&mut self.duplicates);
        let objection =
            (!duplicates.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", duplicates.join("\n  ")));
        Ok(Some(YamlDecoded { tree, objection }))
    }

    fn count(&mut self, values: usize) -> Result<(), DecodeError> {
        self.values = self.values.saturating_add(values);
        if self.values > YAML_VALUES_MAX {
            return Err(DecodeError("yaml: document contains excessive aliasing".to_owned()));
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(DecodeError(format!("yaml: exceeded max depth of {DEPTH_MAX}")));
        }
        Ok(())
    }

    fn value(&mut self, event: Event<'a>, span: Span) -> Result<Tree, DecodeError> {
        let before = self.values;
        self.count(1)?;
        let (anchor, tree) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = matches!(style, ScalarStyle::Plain);
                let tag = tag.as_ref().and_then(|t| t.core_suffix());
                let resolved = scalar::resolve(&text, plain, tag);
                (anchor, resolved.map_err(|e| DecodeError(format!("yaml: line {}: {e}", span.start.line())))?)
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence()?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping()?),
            Event::Alias(id) => {
                let (tree, values) = self.anchors.get(&id).cloned().ok_or_else(|| {
                    DecodeError(format!("yaml: line {}: an anchor contains itself", span.start.line()))
                })?;
                self.count(values)?;
                (0, tree)
            }
            other => return Err(DecodeError(format!("yaml: line {}: unexpected {other:?}", span.start.line()))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (tree.clone(), self.values - before));
        }
        Ok(tree)
    }

    fn sequence(&mut self) -> Result<Tree, DecodeError> {
        self.enter()?;
        let mut items = Vec::new();
        loop {
            match self.expect()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => items.push(self.value(event, span)?),
            }
        }
        self.depth -= 1;
        Ok(Tree::List(items))
    }

    fn mapping(&mut self) -> Result<Tree, DecodeError> {
        self.enter()?;
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.expect()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let line = span.start.line();
            let key = self.value(event, span)?;
            let (event, span) = self.expect()?;
            let value_line = span.start.line();
            let value = self.value(event, span)?;
            if merge {
                merged.push((value, value_line));
                continue;
            }
            let name = key_text(&key).ok_or_else(|| {
                DecodeError(format!("yaml: line {line}: unsupported map key of type {}", key.type_name()))
            })?;
            if map.insert(Name::new(&name), value).is_some() && self.duplicates.len() < DUPLICATES_MAX {
                let shown = if key.as_str().is_some() { format!("{name:?}") } else { name };
                self.duplicates.push(format!("line {value_line}: key {shown} already set in map"));
            }
        }
        for (value, line) in merged {
            merge_into(&mut map, value).ok_or_else(|| {
                DecodeError(format!("yaml: line {line}: map merge requires map or sequence of maps as the value"))
            })?;
        }
        self.depth -= 1;
        Ok(Tree::Map(map))
    }
}

/// Adds the fields of a `<<` value that are not there yet.
fn merge_into(map: &mut Map, value: Tree) -> Option<()> {
    match value {
        Tree::Map(more) => {
            for (name, value) in more {
                if !map.contains(&name) {
                    map.insert(name, value);
                }
            }
            Some(())
        }
        Tree::List(items) => items.into_iter().try_for_each(|item| match item {
            Tree::Map(_) => merge_into(map, item),
            _ => None,
        }),
        _ => None,
    }
}

/// A key as the string that JSON needs.
fn key_text(key: &Tree) -> Option<String> {
    match key {
        Tree::Text(text) => Some(text.clone()),
        Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) => Some(key.to_json_text()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
