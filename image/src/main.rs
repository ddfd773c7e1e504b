//! The `skerry` command: builds the image, boots it, talks to it.

fn main() {}
