//! The shape of the facts table: what is known of each built-in API type and resource, as plain static data.
//!
//! The tables themselves are made from text by the crate `resources`. This file must hold no logic and no kind by name.

/// The position of a type in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u16);

/// One named type.
#[derive(Debug)]
pub struct TypeFact {
    /// The name in OpenAPI, such as `io.k8s.api.core.v1.Container`.
    pub name: &'static str,
    /// Whether it is a struct, another name for a shape, or a choice.
    pub form: Form,
    /// The members in the order of the Go struct, which is the order of JSON output. Inlined structs stand here as one
    /// member with [`FieldFact::inline`] set.
    pub fields: &'static [FieldFact],
    /// The group, version and kind under which it is registered, if it is a kind.
    pub gvk: Option<Gvk>,
    /// Server-side apply replaces the whole object (`x-kubernetes-map-type: atomic`).
    pub map_atomic: bool,
    /// Groups of members of which one is set.
    pub unions: &'static [UnionFact],
}

/// What a named type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An object in JSON, a message in protobuf.
    Struct,
    /// Another name for the shape. A list under a name of its own (`Verbs`, `ExtraValue`) is in protobuf a message
    /// with the items under number 1; in JSON, and in OpenAPI, it is the bare list.
    Alias(Shape),
    /// In JSON the value of whichever member fits its type (`JSONSchemaPropsOrBool`); in protobuf a message.
    Either,
}

/// Group, version and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// Empty for the core group.
    pub group: &'static str,
    /// Such as `v1`.
    pub version: &'static str,
    /// Such as `Pod`.
    pub kind: &'static str,
}

/// One member of a struct.
#[derive(Debug)]
pub struct FieldFact {
    /// The JSON name; empty when the member is inlined.
    pub json: &'static str,
    /// The protobuf number; 0 when the member is not in the protobuf form (`TypeMeta` travels in the envelope).
    pub proto: u16,
    /// The form of the value.
    pub shape: Shape,
    /// A pointer in Go: absence differs from the zero value, and protobuf leaves it out when absent. Scalars that are
    /// no pointers are always written in protobuf.
    pub pointer: bool,
    /// When JSON output leaves the member out.
    pub omit: Omit,
    /// The members of the referred struct stand in this object's JSON; in protobuf it is a message of its own.
    pub inline: bool,
    /// Listed in `required` of the OpenAPI definition.
    pub required: bool,
    /// How apply merges the list.
    pub list: ListKind,
    /// How apply merges the map or object.
    pub map: MapKind,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
    /// The default that the API definition marks, as JSON. Zero values that OpenAPI shows only because the Go type has
    /// them (`""`, `0`, `false` when never omitted, `{}` for a struct that is no pointer) are not repeated here.
    pub default: Option<&'static str>,
    /// The values that OpenAPI lists, for the field or for the items of its list or map.
    pub enums: &'static [&'static str],
}

/// The form of a value. OpenAPI type and format follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A boolean.
    Bool,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// 32 bits, unsigned.
    Uint32,
    /// 64 bits, unsigned.
    Uint64,
    /// A double.
    Float64,
    /// A string.
    String,
    /// Base64 in JSON.
    Bytes,
    /// `metav1.Time`: RFC 3339 with seconds.
    Time,
    /// `metav1.MicroTime`: RFC 3339 with microseconds.
    MicroTime,
    /// `metav1.Duration`: Go's text form.
    Duration,
    /// `resource.Quantity`.
    Quantity,
    /// A number or a string.
    IntOrString,
    /// `runtime.RawExtension`: any object, kept as it came.
    RawExtension,
    /// The `JSON` of apiextensions: any JSON, carried as text in protobuf.
    Json,
    /// Any JSON, never in protobuf (cells of a Table).
    Any,
    /// `metav1.FieldsV1`: a set of managed fields.
    FieldsV1,
    /// A list.
    List(&'static Shape),
    /// An object with free keys.
    Map(&'static Shape),
    /// Another type of the table.
    Ref(TypeId),
}

/// When JSON output leaves a member out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omit {
    /// Always written; an absent list or map is written as `null`.
    Never,
    /// Left out when empty: `false`, 0, `""`, an empty list or map, an absent pointer. Structs are always written.
    Empty,
    /// Left out when it is the zero value, structs too.
    Zero,
}

/// How server-side apply merges a list (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Not said; apply treats it as atomic.
    None,
    /// Replaced as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// Items are found by the values of these members.
    Map(&'static [&'static str]),
}

/// How server-side apply merges a map or object (`x-kubernetes-map-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// Not said: member by member, unless the referred type is atomic.
    None,
    /// Replaced as a whole.
    Atomic,
    /// Member by member, even if the referred type is atomic.
    Granular,
}

/// How a strategic merge patch treats a member (`patchStrategy` and `patchMergeKey`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// Not said: objects merge, lists are replaced.
    None,
    /// A list of scalars that merges.
    Merge,
    /// A list of objects that merges by the value of this member.
    MergeBy(&'static str),
    /// Replaced as a whole.
    Replace,
    /// An object whose members not named in the patch are dropped.
    RetainKeys,
    /// A list that merges by this member; a merged item retains only the keys of the patch.
    MergeRetainKeys(&'static str),
}

/// A union (`x-kubernetes-unions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnionFact {
    /// The member that names the chosen one, if there is one.
    pub discriminator: Option<&'static str>,
    /// Member, and the discriminator's value for it.
    pub members: &'static [(&'static str, &'static str)],
}

/// One resource of the API.
#[derive(Debug)]
pub struct ResourceFact {
    /// Group, version and kind of its objects.
    pub gvk: Gvk,
    /// The type of its objects.
    pub object: TypeId,
    /// The name in the path, such as `pods`.
    pub plural: &'static str,
    /// Such as `pod`.
    pub singular: &'static str,
    /// Such as `po`.
    pub short_names: &'static [&'static str],
    /// Such as `all`.
    pub categories: &'static [&'static str],
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// In the order of discovery.
    pub verbs: &'static [&'static str],
    /// Group and version of the stored form; none for what is not stored.
    pub stored: Option<(&'static str, &'static str)>,
    /// Field selector labels: the label of the request, and the one that the stored kind knows.
    pub selectable: &'static [(&'static str, &'static str)],
    /// The columns of its Table.
    pub columns: &'static [ColumnFact],
    /// Its subresources.
    pub subresources: &'static [SubresourceFact],
}

/// One subresource.
#[derive(Debug)]
pub struct SubresourceFact {
    /// The last step of the path, such as `status`.
    pub name: &'static str,
    /// The kind it takes and gives, as discovery says.
    pub gvk: Gvk,
    /// In the order of discovery.
    pub verbs: &'static [&'static str],
}

/// One column of a Table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnFact {
    /// The heading, such as `Nominated Node`.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// Such as `name`; empty when none.
    pub format: &'static str,
    /// 0 is always shown, higher ones only on demand.
    pub priority: u8,
    /// The field whose description it has, such as `io.k8s.api.core.v1.PodStatus#podIP`; empty when none.
    pub doc: &'static str,
}
