//! Collects the descriptions of the built-in types from k8s-openapi and packs them, so that no foreign prose is in the
//! repository and the server does not carry the crate.
//!
//! Packed form, before compression: a line `T name` for each type and ` member` for each of its members, sorted, each
//! followed by a tab and the text with `\`, newline and tab escaped.

mod roots;

use flate2::{Compression, write::ZlibEncoder};
use k8s_openapi::schemars::SchemaGenerator;
use serde_json::Value;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=roots.rs");
    let mut generator = SchemaGenerator::default();
    roots::add(&mut generator);
    let definitions = generator.take_definitions(true);
    if definitions.is_empty() {
        return Err("k8s-openapi gave no definitions".into());
    }
    let mut text = String::new();
    for (name, schema) in &definitions {
        line(&mut text, "T ", name, schema);
        for (member, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            line(&mut text, " ", member, schema);
        }
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptions.z");
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes())?;
    std::fs::write(out, packed.finish()?)?;
    Ok(())
}

fn line(out: &mut String, mark: &str, name: &str, schema: &Value) {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    out.push_str(mark);
    out.push_str(name);
    out.push('\t');
    out.push_str(&text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"));
    out.push('\n');
}
