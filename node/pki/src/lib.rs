//! Authorities, certificates, tokens and kubeconfig files.
//!
//! Pure core: what a certificate or token says. Time comes in as a parameter; keys and serial numbers come from the
//! system's random source, because the crypto library admits no other. Only `folder` touches the disk.
//!
//! It must not know the API server or any object.

pub mod authority;
pub mod csr;
pub mod folder;
pub mod identity;
pub mod key;
pub mod kubeconfig;
pub mod login;
pub mod pem;
pub mod role;
pub mod template;
pub mod tls;
pub mod token;

pub use authority::Authority;
pub use folder::Pki;
pub use identity::Identity;
pub use key::Key;
pub use role::{AuthorityName, Request, Role};
pub use tls::Slot;
