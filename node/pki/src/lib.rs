//! Authorities, certificates, tokens and kubeconfig files.
//!
//! Pure core: what a certificate or token says; keys and time come in as parameters.
//!
//! It must not know the API server or any object.
