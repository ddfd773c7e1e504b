//! A small table of types for the tests of this crate: every shape and every rule once, no built-in kind.

use crate::facts::{FieldFact, Form, Gvk, ListKind, MapKind, Omit, Patch, Shape, TypeFact, TypeId};
use crate::{Schema, Types};
use std::sync::LazyLock;

const META: TypeId = TypeId(0);
const WIDGET: TypeId = TypeId(1);
const SPEC: TypeId = TypeId(2);
const PART: TypeId = TypeId(3);
const SOURCE: TypeId = TypeId(4);
const STATUS: TypeId = TypeId(5);
const TYPE_META: TypeId = TypeId(6);
const WORDS: TypeId = TypeId(7);
const OR_BOOL: TypeId = TypeId(8);
const STRATEGY: TypeId = TypeId(9);

const fn field(json: &'static str, proto: u16, shape: Shape) -> FieldFact {
    FieldFact {
        json,
        proto,
        shape,
        pointer: false,
        omit: Omit::Empty,
        inline: false,
        required: false,
        list: ListKind::None,
        map: MapKind::None,
        patch: Patch::None,
        default: None,
        enums: &[],
    }
}

const fn pointer(json: &'static str, proto: u16, shape: Shape) -> FieldFact {
    FieldFact { pointer: true, ..field(json, proto, shape) }
}

const fn inline(proto: u16, id: TypeId) -> FieldFact {
    FieldFact { inline: true, ..field("", proto, Shape::Ref(id)) }
}

const fn always(fact: FieldFact) -> FieldFact {
    FieldFact { omit: Omit::Never, required: true, ..fact }
}

const fn patched(patch: Patch, fact: FieldFact) -> FieldFact {
    FieldFact { patch, ..fact }
}

const fn listed(list: ListKind, fact: FieldFact) -> FieldFact {
    FieldFact { list, ..fact }
}

const fn defaulted(default: &'static str, fact: FieldFact) -> FieldFact {
    FieldFact { default: Some(default), ..fact }
}

const fn of(name: &'static str, fields: &'static [FieldFact]) -> TypeFact {
    TypeFact { name, form: Form::Struct, fields, gvk: None, map_atomic: false, unions: &[] }
}

const STRINGS: Shape = Shape::Map(&Shape::String);

static FACTS: &[TypeFact] = &[
    of(
        "io.example.meta.v1.ObjectMeta",
        &[
            field("name", 1, Shape::String),
            field("namespace", 3, Shape::String),
            FieldFact { omit: Omit::Zero, ..field("creationTimestamp", 8, Shape::Time) },
            pointer("deletionGracePeriodSeconds", 10, Shape::Int64),
            field("labels", 11, STRINGS),
            patched(Patch::Merge, listed(ListKind::Set, field("finalizers", 14, Shape::List(&Shape::String)))),
        ],
    ),
    TypeFact {
        gvk: Some(Gvk { group: "example.io", version: "v1", kind: "Widget" }),
        ..of(
            "io.example.v1.Widget",
            &[
                inline(0, TYPE_META),
                field("metadata", 1, Shape::Ref(META)),
                field("spec", 2, Shape::Ref(SPEC)),
                field("status", 3, Shape::Ref(STATUS)),
            ],
        )
    },
    of(
        "io.example.v1.WidgetSpec",
        &[
            defaulted("1", pointer("replicas", 1, Shape::Int32)),
            always(pointer("selector", 2, STRINGS)),
            patched(
                Patch::MergeBy("name"),
                listed(ListKind::Map(&["name"]), always(field("parts", 3, Shape::List(&Shape::Ref(PART))))),
            ),
            field("limits", 4, Shape::Map(&Shape::Quantity)),
            field("data", 5, Shape::Map(&Shape::Bytes)),
            field("port", 6, Shape::IntOrString),
            field("template", 7, Shape::RawExtension),
            pointer("timeout", 8, Shape::Duration),
            field("extra", 9, Shape::Map(&Shape::Ref(WORDS))),
            pointer("more", 10, Shape::Ref(OR_BOOL)),
            field("numbers", 11, Shape::List(&Shape::Int64)),
            field("ratio", 12, Shape::Float64),
            patched(Patch::RetainKeys, field("strategy", 13, Shape::Ref(STRATEGY))),
            field("words", 14, Shape::List(&Shape::String)),
            pointer("paused", 15, Shape::Bool),
            pointer("inner", 16, Shape::Ref(SPEC)),
            pointer("renewed", 17, Shape::MicroTime),
            patched(Patch::MergeRetainKeys("name"), field("volumes", 18, Shape::List(&Shape::Ref(PART)))),
            field("small", 19, Shape::Uint32),
            patched(Patch::Replace, field("whole", 20, Shape::Ref(STRATEGY))),
        ],
    ),
    of(
        "io.example.v1.Part",
        &[
            always(field("name", 1, Shape::String)),
            inline(2, SOURCE),
            defaulted("\"TCP\"", field("protocol", 3, Shape::String)),
            field("args", 4, Shape::List(&Shape::String)),
            field("flag", 5, Shape::Bool),
            patched(
                Patch::MergeBy("key"),
                listed(ListKind::Map(&["key", "protocol"]), field("items", 6, Shape::List(&Shape::Ref(STRATEGY)))),
            ),
        ],
    ),
    of("io.example.v1.PartSource", &[pointer("path", 1, Shape::String), pointer("size", 2, Shape::Quantity)]),
    of(
        "io.example.v1.WidgetStatus",
        &[field("ready", 1, Shape::Bool), field("at", 2, Shape::Time), always(field("count", 3, Shape::Int32))],
    ),
    of("io.example.meta.v1.TypeMeta", &[field("kind", 1, Shape::String), field("apiVersion", 2, Shape::String)]),
    TypeFact { form: Form::Alias(Shape::List(&Shape::String)), ..of("io.example.v1.Words", &[]) },
    TypeFact {
        form: Form::Either,
        ..of("io.example.v1.SpecOrBool", &[field("allows", 1, Shape::Bool), pointer("schema", 2, Shape::Ref(SPEC))])
    },
    of(
        "io.example.v1.Strategy",
        &[
            field("type", 1, Shape::String),
            pointer("rolling", 2, Shape::Ref(SOURCE)),
            field("key", 3, Shape::String),
            defaulted("\"TCP\"", field("protocol", 4, Shape::String)),
            field("value", 5, Shape::String),
        ],
    ),
];

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::new(FACTS));

/// The schema of a widget.
pub(crate) fn widget() -> Schema {
    TYPES.schema(WIDGET)
}

/// The types of the table.
pub(crate) fn types() -> &'static Types {
    &TYPES
}
