//! What its programs are linked with: addresses to set right at the start as a bitmap, a tenth of the size of a table.
//! Under emulation it is the reading of the table that costs; glibc understands the bitmap since 2.36.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-changed=build.rs");
}
