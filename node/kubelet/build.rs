//! Makes the CRI's messages, its client, and the server's side for fakes in tests. Needs `protoc`.

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        .btree_map(".")
        // Its secrets must not reach a log; `cri.rs` says how it is shown.
        .skip_debug(["runtime.v1.AuthConfig"])
        .generate_default_stubs(true)
        .compile_protos(&["proto/cri.proto"], &["proto"])
}
