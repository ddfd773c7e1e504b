//! Reads the facts files (`*.facts`, format in README.md) into plain values. Used by the build script and by tests.
//!
//! It must know no kind by name and must not guess: a word that it does not know is an error with its line.

/// One file or several: types and resources in the order of the text.
#[derive(Debug, Default)]
pub struct Facts {
    pub types: Vec<Type>,
    pub resources: Vec<Resource>,
}

#[derive(Debug, Default)]
pub struct Type {
    /// The OpenAPI name.
    pub name: String,
    /// `type`, `alias` or `either`.
    pub form: String,
    /// The shape of an alias.
    pub alias: String,
    /// `apiVersion` when it is a kind.
    pub kind: Option<String>,
    pub map_atomic: bool,
    pub unions: Vec<Vec<String>>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Default)]
pub struct Field {
    /// Empty when inlined.
    pub json: String,
    pub proto: u16,
    /// Without the star of a pointer; names are full OpenAPI names.
    pub shape: String,
    pub pointer: bool,
    pub omit: bool,
    pub omit_zero: bool,
    pub required: bool,
    pub list: String,
    pub map: String,
    pub patch: String,
    pub merge_by: String,
    pub enums: Vec<String>,
    pub default: Option<String>,
}

#[derive(Debug, Default)]
pub struct Resource {
    /// `v1` or `group/version`.
    pub group_version: String,
    /// The OpenAPI name of its objects.
    pub object: String,
    pub plural: String,
    pub kind: String,
    pub singular: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub stored: Option<String>,
    /// Label and stored label.
    pub selectable: Vec<(String, String)>,
    pub columns: Vec<Column>,
    pub subresources: Vec<Subresource>,
}

#[derive(Debug)]
pub struct Column {
    pub kind: String,
    pub format: String,
    pub priority: u8,
    pub doc: String,
    pub name: String,
}

#[derive(Debug)]
pub struct Subresource {
    pub name: String,
    pub group_version: String,
    pub kind: String,
    pub verbs: Vec<String>,
}

/// What the indented lines belong to.
enum Block {
    Nothing,
    Type(Type),
    Resource(Resource),
}

/// Reads one file and appends what it holds; the error names the line.
pub fn parse(text: &str, into: &mut Facts) -> Result<(), String> {
    let mut package = String::new();
    let mut group_version = None;
    let mut block = Block::Nothing;
    for (number, line) in text.lines().enumerate() {
        let at = |why: String| format!("line {}: {why}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(member) = line.strip_prefix(' ') {
            match &mut block {
                Block::Type(this) => type_line(this, member, &package).map_err(at)?,
                Block::Resource(this) => resource_line(this, member).map_err(at)?,
                Block::Nothing => return Err(at("a member of nothing".into())),
            }
            continue;
        }
        close(&mut block, into);
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["package", name, version @ ..] => {
                package = (*name).to_owned();
                group_version = version.first().map(|v| (*v).to_owned());
            }
            ["alias", name, shape] => {
                let (name, alias) = (format!("{package}.{name}"), full(shape, &package));
                block = Block::Type(Type { name, form: "alias".into(), alias, ..Type::default() });
            }
            [form @ ("type" | "either"), name, flags @ ..] => {
                let mut this = Type { name: format!("{package}.{name}"), form: (*form).into(), ..Type::default() };
                type_flags(&mut this, flags, group_version.as_deref()).map_err(at)?;
                block = Block::Type(this);
            }
            ["resource", plural, kind, singular] => {
                let group_version = group_version.clone().ok_or_else(|| at("no group version".into()))?;
                let object = format!("{package}.{kind}");
                let (plural, kind, singular) = (plural.to_string(), kind.to_string(), singular.to_string());
                let singular = if singular == "-" { String::new() } else { singular };
                block =
                    Block::Resource(Resource { group_version, object, plural, kind, singular, ..Resource::default() });
            }
            _ => return Err(at("unknown line".into())),
        }
    }
    close(&mut block, into);
    Ok(())
}

fn close(block: &mut Block, into: &mut Facts) {
    match std::mem::replace(block, Block::Nothing) {
        Block::Type(this) => into.types.push(this),
        Block::Resource(this) => into.resources.push(this),
        Block::Nothing => {}
    }
}

fn type_flags(this: &mut Type, flags: &[&str], group_version: Option<&str>) -> Result<(), String> {
    for flag in flags {
        match flag.split_once('=') {
            None if *flag == "kind" => {
                this.kind = Some(group_version.ok_or("a kind without group version")?.to_owned())
            }
            Some(("kind", version)) => this.kind = Some(version.to_owned()),
            None if *flag == "mapatomic" => this.map_atomic = true,
            _ => return Err(format!("unknown word {flag}")),
        }
    }
    Ok(())
}

/// A shape with the name in it made full: `[]Container` becomes `[]io.k8s.api.core.v1.Container`.
fn full(shape: &str, package: &str) -> String {
    let bare = shape.trim_start_matches(['[', ']', '{', '}']);
    let named = bare.starts_with(|c: char| c.is_ascii_uppercase());
    if named { format!("{}{package}.{bare}", &shape[..shape.len() - bare.len()]) } else { shape.to_owned() }
}

fn type_line(this: &mut Type, line: &str, package: &str) -> Result<(), String> {
    // A member of this name would have its number here.
    if let Some(union) = line.strip_prefix("union ")
        && !union.starts_with(|c: char| c.is_ascii_digit())
    {
        this.unions.push(union.split(' ').map(str::to_owned).collect());
        return Ok(());
    }
    let (words, default) = match line.split_once(" default=") {
        Some((words, default)) => (words, Some(default.to_owned())),
        None => (line, None),
    };
    let mut words = words.split(' ');
    let mut next = |what: &str| words.next().ok_or(format!("no {what}"));
    let (json, proto, shape) = (next("name")?, next("number")?, next("shape")?);
    let json = if json == "." { "" } else { json }.to_owned();
    let proto = proto.parse().map_err(|e| format!("the number {proto}: {e}"))?;
    let pointer = shape.starts_with('*');
    let shape = full(shape.trim_start_matches('*'), package);
    let mut field = Field { json, proto, shape, pointer, default, ..Field::default() };
    for word in words {
        field_word(&mut field, word)?;
    }
    this.fields.push(field);
    Ok(())
}

fn field_word(field: &mut Field, word: &str) -> Result<(), String> {
    match word.split_once('=') {
        None => match word {
            "omit" => field.omit = true,
            "omitzero" => field.omit_zero = true,
            "req" => field.required = true,
            _ => return Err(format!("unknown word {word}")),
        },
        Some(("list", kind)) => field.list = kind.to_owned(),
        Some(("map", kind)) => field.map = kind.to_owned(),
        Some(("patch", strategy)) => field.patch = strategy.to_owned(),
        Some(("by", key)) => field.merge_by = key.to_owned(),
        Some(("enum", values)) => field.enums = values.split('|').map(|v| v.replace("%20", " ")).collect(),
        Some(_) => return Err(format!("unknown word {word}")),
    }
    Ok(())
}

fn resource_line(this: &mut Resource, line: &str) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let list = || rest.split(' ').map(str::to_owned).collect::<Vec<_>>();
    match word {
        "namespaced" => this.namespaced = true,
        "short" => this.short_names = list(),
        "categories" => this.categories = list(),
        "verbs" => this.verbs = list(),
        "stored" => this.stored = Some(rest.to_owned()),
        "select" => {
            let both = |label: &str| label.split_once('>').map(|(a, b)| (a.to_owned(), b.to_owned()));
            this.selectable = rest.split(' ').map(|l| both(l).unwrap_or((l.to_owned(), l.to_owned()))).collect();
        }
        "column" => {
            let parts: Vec<&str> = rest.splitn(5, ' ').collect();
            let [kind, format, priority, doc, name] = parts[..] else { return Err("a column has five parts".into()) };
            let priority = priority.parse().map_err(|e| format!("the priority {priority}: {e}"))?;
            let text = |word: &str| if word == "-" { "" } else { word }.to_owned();
            let (kind, format, doc) = (kind.to_owned(), text(format), text(doc));
            this.columns.push(Column { kind, format, priority, doc, name: name.to_owned() });
        }
        "sub" => {
            let parts = list();
            let [name, group_version, kind, verbs @ ..] = parts.as_slice() else {
                return Err("a subresource has a name, a version and a kind".into());
            };
            let (name, group_version, kind) = (name.clone(), group_version.clone(), kind.clone());
            this.subresources.push(Subresource { name, group_version, kind, verbs: verbs.to_vec() });
        }
        _ => return Err(format!("unknown word {word}")),
    }
    Ok(())
}
