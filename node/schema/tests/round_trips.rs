//! Random objects of every built-in type survive every way in and out: decoding twice, normalizing twice, JSON, and
//! protobuf. The generator is seeded; a failure names its seed.

use api::{Map, Tree};
use schema::facts::TypeId;
use schema::node::{Bits, Node};
use schema::{Schema, Types, decode_json, decode_protobuf, decode_tree, default, encode_protobuf, normalize};
use std::sync::LazyLock;

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::new(resources::facts::TYPES));

/// Objects that are made of each type.
const ROUNDS: u64 = 6;

/// Nesting of what is made; deeper values are left out.
const DEPTH: usize = 7;

/// A xorshift generator: the same seed gives the same object everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len() as u64) as usize]
    }

    fn whole(&mut self, bits: Bits) -> Tree {
        let wide = self.roll(u64::MAX).cast_signed();
        Tree::Int(match (bits, self.roll(3)) {
            (_, 0) => 0,
            (Bits::Signed32, _) => i64::from(wide as i32),
            (Bits::Unsigned32, _) => i64::from(wide as u32),
            (Bits::Signed64, _) => wide,
            (Bits::Unsigned64, _) => wide & i64::MAX,
        })
    }

    fn any(&mut self, depth: usize) -> Tree {
        match self.roll(if depth == 0 { 4 } else { 6 }) {
            0 => Tree::Bool(true),
            1 => self.whole(Bits::Signed64),
            2 => Tree::text(self.pick(&["", "a", "\u{e9}\u{1F980}\"\\\n"])),
            3 => Tree::Float(-0.125),
            4 => Tree::List((0..self.roll(3)).map(|_| self.any(depth - 1)).collect()),
            _ => {
                let count = self.roll(3);
                Tree::Map((0..count).map(|i| (format!("k{i}"), self.any(depth - 1))).collect::<Map>())
            }
        }
    }

    fn value(&mut self, node: &Node, depth: usize) -> Tree {
        match node {
            Node::Bool => Tree::Bool(self.roll(2) == 0),
            Node::Int(bits) => self.whole(*bits),
            Node::Float => [Tree::Int(0), Tree::Float(0.5), Tree::Int(-7)][self.roll(3) as usize].clone(),
            Node::Text => Tree::text(self.pick(&["", "a", "web-1", "\u{e9}\u{1F980}"])),
            Node::Bytes => Tree::text(self.pick(&["", "AA==", "AAECAw=="])),
            Node::Time => Tree::text(self.pick(&["2024-02-29T23:59:59Z", "1970-01-01T00:00:00Z"])),
            Node::MicroTime => Tree::text(self.pick(&["2024-02-29T23:59:59.000001Z", "1969-12-31T23:59:59.999999Z"])),
            Node::Duration => Tree::text(self.pick(&["0s", "1h30m", "-1.5s", "1ns"])),
            Node::Quantity => Tree::text(self.pick(&["0", "100m", "1.5Gi", "1e3", "12345678901234567890"])),
            Node::IntOrString if self.roll(2) == 0 => self.whole(Bits::Signed32),
            Node::IntOrString => Tree::text(self.pick(&["", "25%", "http"])),
            Node::Raw(_) => Tree::Map([("x", self.any(2))].into_iter().collect::<Map>()),
            Node::Any => self.any(2),
            Node::List(_) | Node::Map(_) | Node::Object(_) | Node::Either(_) if depth == 0 => Tree::Null,
            Node::List(list) => Tree::List((0..self.roll(3)).map(|_| self.value(&list.item, depth - 1)).collect()),
            Node::Map(inner) => {
                let count = self.roll(3);
                Tree::Map((0..count).map(|i| (format!("k{i}"), self.value(inner, depth - 1))).collect::<Map>())
            }
            Node::Object(object) => {
                let mut map = Map::new();
                for field in &object.fields().fields {
                    if self.roll(3) == 0 {
                        map.insert(&field.name, self.value(&field.node, depth - 1));
                    }
                }
                Tree::Map(map)
            }
            Node::Either(object) => {
                let fields = &object.fields().fields;
                let at = self.roll(fields.len() as u64) as usize;
                self.value(&fields[at].node, depth - 1)
            }
        }
    }
}

/// Whether protobuf carries every field: a few types are never sent that way.
fn in_protobuf(schema: &Schema) -> bool {
    schema.root().object().is_some_and(|o| !o.wire.is_empty())
}

fn check(schema: &Schema, shown: &str, seed: u64) {
    let made = Dice(seed).value(schema.root(), DEPTH);
    let decoded = decode_tree(schema, made).unwrap_or_else(|e| panic!("{shown} {seed}: {e}"));
    assert_eq!(decoded.strict, Vec::<String>::new(), "{shown} {seed}");
    let mut tree = decoded.tree;
    if seed.is_multiple_of(2) {
        default(schema, &mut tree);
        let mut twice = tree.clone();
        default(schema, &mut twice);
        assert_eq!(twice, tree, "{shown} {seed}: defaulting twice");
    }
    normalize(schema, &mut tree);
    let text = tree.to_json_text();
    let mut back = decode_json(schema, text.as_bytes()).unwrap_or_else(|e| panic!("{shown} {seed}: {e}")).tree;
    normalize(schema, &mut back);
    assert_eq!(back.to_json_text(), text, "{shown} {seed}: JSON");
    if in_protobuf(schema) {
        let bytes = encode_protobuf(schema, &tree);
        let mut back = decode_protobuf(schema, &bytes).unwrap_or_else(|e| panic!("{shown} {seed}: {e}")).tree;
        normalize(schema, &mut back);
        assert_eq!(encode_protobuf(schema, &back), bytes, "{shown} {seed}: protobuf");
    }
}

#[test]
fn random_objects_of_every_kind_survive_every_round_trip() {
    let mut kinds = 0;
    for (at, fact) in resources::facts::TYPES.iter().enumerate().filter(|(_, fact)| fact.gvk.is_some()) {
        let schema = TYPES.schema(TypeId(u16::try_from(at).expect("fewer than 65,536 types")));
        kinds += 1;
        for round in 0..ROUNDS {
            check(&schema, fact.name, (at as u64 + 1) * 1000 + round);
        }
    }
    assert!(kinds > 50, "only {kinds} kinds");
}

#[test]
fn every_type_compiles_and_defaults_an_empty_object() {
    for (at, fact) in resources::facts::TYPES.iter().enumerate() {
        let schema = TYPES.schema(TypeId(u16::try_from(at).expect("fewer than 65,536 types")));
        let mut tree = Tree::map();
        default(&schema, &mut tree);
        normalize(&schema, &mut tree);
        let once = tree.clone();
        normalize(&schema, &mut tree);
        assert_eq!(tree, once, "{}", fact.name);
    }
}
